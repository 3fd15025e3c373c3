# SPDX-License-Identifier: MIT
"""Contexts, groups and rotation: the checks on a kernel in small, which a test breaks."""

import json
from collections.abc import Callable

import pytest

from harness.checks import CHECKS, Observation
from harness.guest.callback_records import Callback
from harness.guest.records import Read, Records, Sample, Work, parse
from harness.model import Scenario, Status
from tests.unit.changes import a, every, fault, judge, undecided
from tests.unit.small_kernel import TICK_NS, SmallKernel

# Scenarios with nothing but a CPU's own events on one CPU.
WHOLE = ("rotation", "rotation-groups", "rotation-hardware", "pinned", "exclusive-groups")


@pytest.fixture
def performed(catalog) -> Callable[..., Observation]:
    """What a kernel in small makes of a scenario of the suite's, or of a row."""

    def perform(scenario: str | dict, kernel: type[SmallKernel] = SmallKernel) -> Observation:
        if isinstance(scenario, str):
            row = catalog.scenarios[scenario]
        else:
            given = {"name": "s", "title": "t", "checks": ("contexts.work",), **scenario}
            row = Scenario.model_validate(given)
        machine = catalog.machines["aarch64-tcg"]
        return Observation(kernel(row).records, machine, row, "6.12")

    return perform


@pytest.mark.parametrize("name", WHOLE)
def test_a_kernel_that_keeps_its_promises_passes_every_check(performed, name):
    observation = performed(name)
    for check in observation.scenario.checks:
        verdict = CHECKS[check].judge(observation, None)
        assert verdict.status is Status.PASS, (check, verdict.evidence)


# --- kernels that break one --------------------------------------------------


class SkipsTheLast(SmallKernel):
    def first(self, pmu):
        return next((e for e in reversed(pmu.flexible) if e.state == "active"), None)


class StartsNoTimer(SmallKernel):
    def start_timer(self, pmu):
        pass


class NeverStops(SmallKernel):
    def rotate(self, pmu):
        if pmu.needed:
            super().rotate(pmu)
            return
        self.log("rotate", pmu)
        self.log("rotate-end", pmu, ret=1)
        pmu.due = self.next_due(pmu)


class RotatesNeedlessly(SmallKernel):
    def rotate(self, pmu):
        pmu.needed = bool(pmu.flexible)
        super().rotate(pmu)


class RotatesAll(SmallKernel):
    def rotate(self, pmu):
        self.others = [p for p in self.pmus.values() if p is not pmu and p.flexible]
        super().rotate(pmu)

    def first(self, pmu):
        for other in self.others:
            self.resched(other, pinned=False)
        return super().first(pmu)


class RotatesPinned(SmallKernel):
    def first(self, pmu):
        for leader in pmu.pinned:
            self.group_off(pmu, leader)
        self.sched_in(pmu, pmu.pinned)
        return super().first(pmu)


class ForgetsTheInterval(SmallKernel):
    def next_due(self, pmu):
        shown, pmu.interval = pmu.interval, TICK_NS
        due = super().next_due(pmu)
        pmu.interval = shown
        return due


class SharesTheInterval(SmallKernel):
    def set_interval(self, pmu, ms):
        for one in self.pmus.values():
            one.interval = ms * 1_000_000
        super().set_interval(pmu, ms)


class LeavesTimersOut(SmallKernel):
    def perform(self, step):
        if step == "timers":
            for pmu in self.pmus.values():
                pmu.due = None
        super().perform(step)


class LetsPinnedWait(SmallKernel):
    def no_place(self, pmu, leader):
        if not leader.spec.pinned:
            super().no_place(pmu, leader)


class PutsFlexibleFirst(SmallKernel):
    def resched(self, pmu, *, pinned):
        for leader in (*pmu.flexible, *pmu.pinned):
            self.group_off(pmu, leader)
        self.sched_in(pmu, pmu.flexible)
        self.sched_in(pmu, pmu.pinned)


class KeepsErrors(SmallKernel):
    def enable(self, event):
        if event.state != "error":
            super().enable(event)


class ReadsErrors(SmallKernel):
    def read(self, event):
        state, event.state = event.state, "off" if event.state == "error" else event.state
        super().read(event)
        event.state = state


class LeavesPartOfAGroup(SmallKernel):
    def group_on(self, pmu, leader):
        return all(self.add(pmu, event) for event in leader.group if event.state == "inactive")


class LetsAllGoOn(SmallKernel):
    def may_go_on(self, pmu, leader):
        return True


class StaysExclusive(SmallKernel):
    def may_go_on(self, pmu, leader):
        mine = any(other.spec.exclusive for other in pmu.flexible)
        return not mine or leader.spec.exclusive


class ReadsInReverse(SmallKernel):
    def read(self, event):
        event.siblings.reverse()
        super().read(event)
        event.siblings.reverse()


class ReadsAnOldSibling(SmallKernel):
    def update(self, event):
        if event.leader is event or event.state != "active":
            super().update(event)


class RestsOrphans(SmallKernel):
    def promote(self, event):
        for sibling in event.siblings:
            self.delete(self.pmus[sibling.pmu], sibling)
            self.switch(sibling, "off")
        super().promote(event)


class CountsWaitingAsRunning(SmallKernel):
    def update(self, event):
        if event.state == "inactive":
            event.running += self.now - event.stamp
        super().update(event)


class CountsWaitingNotAtAll(SmallKernel):
    def update(self, event):
        if event.state == "inactive":
            event.stamp = self.now
        super().update(event)


class LosesTheLastCounts(SmallKernel):
    def delete(self, pmu, event, state="inactive"):
        event.begun = self.value(event)
        super().delete(pmu, event, state)


class ForgetsCounts(SmallKernel):
    def enable(self, event):
        event.count = 0
        super().enable(event)


class LeavesThePage(SmallKernel):
    """The page's running goes on after the event was taken off."""

    def page(self, event):
        event.running += 50_000 if event.counter < 0 else 0
        super().page(event)
        row = self.written[-1]
        if event.counter < 0 and row.kind == "page":
            event.running -= 50_000
            self.written[-1] = row.model_copy(
                update={"running": (row.running[0], row.running[1] - 50_000, row.running[2])}
            )


class KeepsTheIndex(SmallKernel):
    def page(self, event):
        super().page(event)
        row = self.written[-1]
        if row.kind == "page" and event.counter < 0:
            self.written[-1] = row.model_copy(update={"index": (1, 1)})


class TakesWhatItShouldRefuse(SmallKernel):
    def answer(self, what, errno):
        super().answer(what, 0)


@pytest.mark.parametrize(
    ("kernel", "scenario", "check", "said"),
    [
        (SkipsTheLast, "rotation", "contexts.shares", "5 groups share test0"),
        (StartsNoTimer, "rotation", "contexts.interval", "no timer came within 1.200 ms"),
        (StartsNoTimer, "rotation", "contexts.shares", "ran for 0.000 ms of"),
        (StaysExclusive, "exclusive-groups", "contexts.shares", "other1 (id 4) ran for 0.000 ms"),
        (RestsOrphans, "rotation-groups", "contexts.shares", "a2 (id 2) ran for 0.000 ms"),
        (NeverStops, "rotation", "contexts.rotation", "had nothing to rotate at"),
        (RotatesNeedlessly, "rotation", "contexts.rotation", "every event had found a place"),
        (RotatesAll, "rotation", "contexts.rotation", "of test2: del in the rotation of test0"),
        (RotatesPinned, "rotation-hardware", "contexts.rotation", "is pinned: del in the rotation"),
        (LeavesTimersOut, "rotation", "contexts.rotation", "0 timers run at"),
        (ForgetsTheInterval, "rotation", "contexts.interval", "1.000 ms instead of 7.000 ms"),
        (SharesTheInterval, "rotation", "contexts.interval", "test0 on CPU 0 rotated at"),
        (SharesTheInterval, "rotation", "contexts.interval", "test0 shows an interval of 7 ms"),
        (LetsPinnedWait, "pinned", "contexts.pinned", "want more than its 2 counters"),
        (PutsFlexibleFirst, "pinned", "contexts.pinned", "one (id 3) is pinned and gives nothing"),
        (KeepsErrors, "pinned", "contexts.pinned", "three (id 5) at"),
        (ReadsErrors, "pinned", "contexts.pinned", "gave counts, and its group found no place"),
        (LeavesPartOfAGroup, "rotation-groups", "contexts.group", "of its group on none"),
        (LetsAllGoOn, "exclusive-groups", "contexts.exclusive", "first (id 1) and second (id 2)"),
        (ReadsInReverse, "rotation-groups", "contexts.group", "gave the events [8, 10, 9]"),
        (ReadsAnOldSibling, "rotation-groups", "contexts.group", "of its group by 0"),
        (CountsWaitingAsRunning, "rotation", "contexts.times", "the log has it on a counter for"),
        (CountsWaitingNotAtAll, "rotation", "contexts.times", "is enabled, and was so for"),
        (ForgetsCounts, "rotation-groups", "contexts.times", "had the count of c2 (id 7) fall"),
        (LosesTheLastCounts, "rotation", "contexts.times", "has clock1 (id 1) count"),
        (LeavesThePage, "rotation", "contexts.page", "index 0, 0"),
        (KeepsTheIndex, "rotation", "contexts.page", "index 1, 1 on no counter"),
        (
            TakesWhatItShouldRefuse,
            "rotation",
            "contexts.answers",
            "set test0 perf_event_mux_interval_ms 0: taken, not refused with EINVAL (perf_event_",
        ),
    ],
)
def test_a_kernel_that_breaks_a_promise_fails_the_check(performed, kernel, scenario, check, said):
    verdict = CHECKS[check].judge(performed(scenario, kernel), None)
    assert verdict.status is Status.FAIL
    assert said in "\n".join(verdict.evidence)


# --- whose work it is ---------------------------------------------------------


TASKS = {
    "pmus": {"test0": {"counters": 8, "task": True}},
    "tasks": {
        "worker": ("join inside", "work test0 10", "fork child", "user 5", "work test0 20"),
        "child": ("work test0 100", "user 5", "work test0 200"),
        "stranger": ("work test0 1000",),
    },
    "steps": ("work test0 1", "run worker", "fork stranger", "user 20", "work test0 2"),
    "events": {
        "wide": {"pmu": "test0", "counts": "work", "cpu": 0},
        "own": {"pmu": "test0", "counts": "work", "task": "self"},
        "task": {"pmu": "test0", "counts": "work", "task": "worker"},
        "heir": {"pmu": "test0", "counts": "work", "task": "worker", "inherit": True},
        "inside": {"pmu": "test0", "counts": "work", "cpu": 0, "cgroup": "inside"},
        "off": {"pmu": "test0", "counts": "work", "cpu": 0, "disabled": True},
    },
    "checks": ("contexts.work",),
}
COUNTED = {"wide": 1333, "own": 3, "task": 30, "heir": 330, "inside": 330, "off": 0}


def records_of(counted: dict[str, int], ended: dict[str, int] | None = None) -> Records:
    """What a guest writes of TASKS whose events counted so much in the end."""
    ids = {name: number for number, name in enumerate(TASKS["events"], 1)}
    lines: list[dict] = []
    for name, spec in TASKS["events"].items():
        row = {"kind": "event", "name": name, "id": ids[name], "leader": ids[name], "type": 100}
        row |= {"task": spec.get("task", ""), "cpu": spec.get("cpu", -1), "config": 2}
        row |= {"cgroup": spec.get("cgroup", ""), "period": 0, "frequency": 0}
        flags = ("exclude_kernel", "exclude_user", "pinned", "exclusive")
        row |= dict.fromkeys(flags, False) | {"inherit": "inherit" in spec}
        lines.append(row)
    said = [
        ("main", "work test0 1"),
        ("main", "run worker"),
        ("worker", "join inside"),
        ("worker", "work test0 10"),
        ("main", "fork stranger"),
        ("worker", "fork child"),
        ("stranger", "work test0 1000"),
        ("main", "user 20"),
        ("child", "work test0 100"),
        ("worker", "user 5"),
        ("child", "user 5"),
        ("worker", "work test0 20"),
        ("child", "work test0 200"),
        ("main", "work test0 2"),
        ("stranger", "user 1"),
        ("worker", "wait child"),
        ("worker", "user 1"),
        ("main", "wait stranger"),
        ("main", "user 1"),
    ]
    for number, task in enumerate(("main", *TASKS["tasks"]), 50):
        lines.append({"kind": "task", "name": task, "tid": number, "time": 1})
    for time, (task, name) in enumerate(said, 1):
        row = {"kind": "phase", "phase": time, "name": name, "task": task}
        lines.append(row | {"time": time * 1_000_000})
    times = {"time": 20_000_000, "phase": 9, "enabled": 0, "running": 0}
    for name, count in counted.items():
        lines.append({"kind": "read", "id": ids[name], "counts": [(ids[name], count)], **times})
    for task, count in (ended or {}).items():
        row = {"kind": "ended", "id": ids["heir"], "enabled": 0, "running": 0}
        tid = 50 + ["main", *TASKS["tasks"]].index(task)
        lines.append(row | {"tid": tid, "counts": [(ids["heir"], count)]})
    return parse("\n".join(json.dumps(line) for line in lines).encode())


@pytest.fixture
def worked(catalog):
    """An observation of TASKS."""

    def observation(counted, ended=None):
        scenario = Scenario.model_validate({"name": "s", "title": "t", **TASKS})
        machine = catalog.machines["aarch64-tcg"]
        return Observation(records_of(counted, ended), machine, scenario, "6.12")

    return observation


def test_each_event_counts_the_work_of_its_cpu_its_task_its_heirs_and_its_cgroup(worked):
    verdict = CHECKS["contexts.work"].judge(worked(COUNTED, {"child": 300, "worker": 30}), None)
    assert verdict.status is Status.PASS
    assert verdict.metrics["counts"] == 8


@pytest.mark.parametrize("name", COUNTED)
def test_work_of_another_is_not_its_own(worked, name):
    said = fault("contexts.work", worked({**COUNTED, name: COUNTED[name] + 100}))
    assert f"{name} (id " in said
    assert f"had counted {COUNTED[name] + 100} by TIME; {COUNTED[name]} units of work" in said


def test_what_a_child_counted_is_told_of_that_child(worked):
    said = fault("contexts.work", worked(COUNTED, {"child": 30, "worker": 300}))
    assert "heir (id 4) counted 30 for the task child, which did 300 units of work" in said
    assert "heir (id 4) counted 300 for the task worker, which did 30 units of work" in said


# --- periods ------------------------------------------------------------------


PERIODIC = {
    "pmus": {"test0": {"counters": 1, "interrupt": True}},
    "events": {"target": {"pmu": "test0", "counts": "work", "cpu": 0, "period": 100}},
    "steps": ("work test0 250", "work test0 100"),
    "checks": ("contexts.periods",),
}


def sampled(performed, *counts: int) -> Observation:
    """Work of 350 units, with samples at these counts."""
    observation = performed(PERIODIC)
    rows = [record for record in observation.records.all if record.kind != "sample"]
    for number, count in enumerate(counts):
        row = {"kind": "sample", "id": 1, "stream": 1, "tid": 1, "cpu": 0, "time": number + 1}
        row |= {"period": 100, "enabled": 0, "running": 0, "counts": ((1, count),)}
        rows.append(Sample.model_validate(row))
    machine, scenario = observation.machine, observation.scenario
    return Observation(Records(rows), machine, scenario, observation.version)


def test_each_period_gives_its_sample_at_its_unit(performed):
    verdict = CHECKS["contexts.periods"].judge(sampled(performed, 100, 200, 300), None)
    assert verdict.status is Status.PASS
    assert verdict.metrics["samples"] == 3


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((100, 200), "target (id 1): 2 samples of 350 counts, 3 were due"),
        ((100, 200, 300, 350), "target (id 1): 4 samples of 350 counts, 3 were due"),
        ((100, 250, 300), "target (id 1): a sample came at 250, and was due at 200"),
    ],
)
def test_a_sample_that_is_missing_or_late(performed, counts, said):
    assert said in fault("contexts.periods", sampled(performed, *counts))


# --- what says nothing --------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ("contexts.answers", "no call was a question"),
        ("contexts.shares", "no step in which it is known who wants counters"),
        ("contexts.interval", "no PMU was over-committed"),
        ("contexts.rotation", "no PMU was over-committed"),
        ("contexts.group", "no group"),
        ("contexts.exclusive", "no exclusive event was on a counter"),
        ("contexts.pinned", "no pinned event was read"),
        ("contexts.page", "no page was looked at"),
        ("contexts.periods", "no period of known work ended"),
    ],
)
def test_one_event_that_fits_decides_nothing(performed, check, said):
    calm = {
        "pmus": {"test0": {"counters": 2}},
        "events": {"target": {"pmu": "test0", "counts": "work", "cpu": 0}},
        "steps": ("work test0 5",),
    }
    assert undecided(check, performed(calm)) == said


def test_no_read_decides_nothing_of_times(performed):
    observation = performed("rotation")
    none = Observation(Records([]), observation.machine, observation.scenario, "6.12")
    assert undecided("contexts.times", none) == "0 reads"
    assert undecided("contexts.work", none) == "no event counted work"


def test_a_log_without_the_timers_is_no_rotation(performed):
    """Guests of earlier observers have none."""
    observation = performed("rotation-hardware")
    rows = [
        record
        for record in observation.records.all
        if not (isinstance(record, Callback) and record.call.startswith("rotate"))
        and record.kind != "timers"
    ]
    old = Observation(Records(rows), observation.machine, observation.scenario, "6.12")
    assert undecided("contexts.rotation", old) == "no PMU was over-committed"


def test_an_event_that_nobody_opened_is_a_fault_and_no_crash(observe):
    """In a read, and in what was read around work."""

    def renamed(field):
        return lambda record: tuple((i + 1000 * (i == 2), n) for i, n in getattr(record, field))

    stranger = [
        every(a(Work, id=2), before=renamed("before"), after=renamed("after")),
        every(a(Read, id=2), counts=renamed("counts")),
    ]
    changed = observe("6.12/groups-moved", *stranger)
    assert "gave the events [1002, " in fault("contexts.group", changed)
    assert judge("counting.exact", changed).metrics["counts"] > 0
