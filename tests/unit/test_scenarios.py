# SPDX-License-Identifier: MIT
"""Scenarios as data: what is refused and how it is said, and what a guest gets to read."""

import pytest
from pydantic import ValidationError

from harness.build.recipe import batch, prelude, script
from harness.model import STEPS, Answer, EventSpec, Scenario, Tool, VersionRange, answer_for

EVENT = {"counts": "cycles", "cpu": 0}
ANSWER = {"refused": "EINVAL", "source": "perf_event_open()"}
ROW = {
    "name": "s",
    "title": "t",
    "checks": ("counting.exact",),
    "events": {"target": EVENT, "many": {**EVENT, "copies": 2}},
    "tasks": {"worker": ("user 5",)},
    "steps": ("run worker", "enable target", "wait worker"),
}


def scenario(**row):
    return Scenario.model_validate({**ROW, **row})


def refused(model, row):
    """What a person is told about a row that is not valid."""
    with pytest.raises(ValidationError) as raised:
        model.model_validate(row)
    return "\n".join(error["msg"] for error in raised.value.errors())


def test_a_scenario_that_is_right_is_taken():
    assert scenario().event_names == ["target", "many1", "many2"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"steps": ("dance 5",)}, "main: unknown step 'dance'; known: user, kernel, "),
        ({"tasks": {"worker": ("dance",)}}, "worker: unknown step 'dance'"),
        ({"steps": ("user",)}, "main: user takes ms: user"),
        ({"steps": ("user 5 6",)}, "main: user takes ms: user 5 6"),
        ({"steps": ("exec now",)}, "main: exec takes nothing: exec now"),
        ({"steps": ("loop target",)}, "main: loop takes event and times: loop target"),
        ({"steps": ("enable nobody",)}, "main: enable nobody: there is no event nobody"),
        ({"steps": ("enable many",)}, "main: enable many: there is no event many"),
        ({"steps": ("enable many3",)}, "there is no event many3"),
        ({"steps": ("run nobody",)}, "main: run nobody: there is no task nobody"),
        ({"tasks": {"worker": ("wait other",)}}, "worker: wait other: there is no task other"),
        ({"steps": ("user soon",)}, "main: user soon: soon is not a number"),
        ({"steps": ("user -5",)}, "main: user -5: -5 is not a number"),
        ({"steps": ("vm 5",)}, "vm needs a machine's virtualization"),
        ({"steps": ("cpu zero",)}, "main: cpu zero: zero is not a number"),
        ({"steps": ("loop target many",)}, "main: loop target many: many is not a number"),
        (
            {"events": {"target": {"counts": "cycles", "task": "nobody"}}},
            "event target: there is no task nobody",
        ),
        (
            {"events": {"target": {**EVENT, "leader": "nobody"}}},
            "event target: there is no leader nobody",
        ),
        (
            {"events": {"target": {**EVENT, "leader": "late"}, "late": EVENT}},
            "event target: there is no leader late before it",
        ),
        ({"events": {"target": {**EVENT, "cpu": 1}}}, "event target: there is no CPU 1 of 1"),
        ({"steps": ("offline 1",)}, "main: offline 1: there is no CPU 1 of 1"),
        ({"steps": (" ",)}, "main: unknown step ''"),
        ({"probe": ("cost", "0")}, "either events and steps, or a probe, or a tool"),
        ({"steps": ()}, "either events and steps, or a probe, or a tool"),
        ({"tool": {"run": "perf-stat"}}, "either events and steps, or a probe, or a tool"),
        ({"reproducer": {"file": "x.c"}}, "or a probe, or a tool, or a reproducer"),
        (
            {"steps": (), "reproducer": {"file": "x.c"}},
            "a reproducer finds no observer: it takes `observe: false`",
        ),
        ({"checks": ()}, "at least 1 item"),
        ({"cpus": 0}, "greater than or equal to 1"),
        ({"trace": ("write",)}, "a trace needs a machine's register-trace, and takes no tool"),
        ({"trace": ("writes",), "needs": ("register-trace",)}, "Input should be 'write', 'read'"),
        ({"pmus": {"test1": {"counters": 1}}}, "pmus are test0, test1, test2, test3, from the"),
        ({"pmus": {"test0": {"counters": 0}}}, "greater than or equal to 1"),
        (
            {"events": {"target": {**EVENT, "counts": "work", "pmu": "test0"}}},
            "event target: there is no PMU test0; pmus has none",
        ),
        ({"steps": ("work test0 5",)}, "there is no PMU test0; known: hardware"),
        ({"steps": ("output target nobody",)}, "output target nobody: there is no event nobody"),
        ({"steps": ("place target third",)}, "place target third: variables are first and second"),
        ({"answers": {"enable target": ANSWER}, "steps": ("user 5",)}, "answers: there is no step"),
        (
            {"answers": {"wait worker": ANSWER}},
            "answers: wait worker: only set, output, enable, disable, reset, refresh, period",
        ),
        (
            {"answers": {"enable target": {**ANSWER, "versions": {"since": "6.2"}}}},
            "answers: enable target: no answer is for kernels 0.0 up to, not including, 6.2; add",
        ),
        ({"titel": "x"}, "Extra inputs are not permitted"),
    ],
)
def test_a_scenario_that_is_wrong_says_what_is(row, said):
    assert said in refused(Scenario, {**ROW, **row})


@pytest.mark.parametrize("step", STEPS)
def test_every_step_is_taken_with_its_words_and_not_without_one(step):
    right = {"event": "many2", "task": "worker", "cgroup": "inside", "cpu": "0"}
    right |= {"pmu": "hardware", "target": "none", "variable": "second"}
    words = [right.get(kind, "7") for kind in STEPS[step]]
    needs = ("virtualization",)
    assert scenario(steps=(" ".join([step, *words]),), needs=needs).steps
    assert f"main: {step} takes " in refused(
        Scenario, {**ROW, "steps": (" ".join([step, *words, "more"]),), "needs": needs}
    )


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"counts": "cycles"}, "an event needs a task, a cpu, or both"),
        (
            {**EVENT, "frequency": 1000, "period": 5},
            "frequency and period exclude each other",
        ),
        (
            {**EVENT, "cgroup": "inside", "task": "self"},
            "an event of a cgroup needs a cpu, and no task",
        ),
        (
            {"counts": "cycles", "cgroup": "inside", "task": "self"},
            "an event of a cgroup needs a cpu, and no task",
        ),
        ({"counts": "cycles", "cgroup": "inside"}, "an event needs a task, a cpu, or both"),
        ({**EVENT, "frequency": 0}, "greater than or equal to 1"),
        ({**EVENT, "period": 0}, "greater than or equal to 1"),
        ({**EVENT, "cpu": -1}, "greater than or equal to 0"),
        ({**EVENT, "copies": 0}, "greater than or equal to 1"),
        ({**EVENT, "counts": "two words"}, "String should match pattern"),
        ({**EVENT, "frequenzy": 1000}, "Extra inputs are not permitted"),
        ({**EVENT, "pmu": "test0"}, "test0 counts clock, work or trace, not cycles"),
        ({**EVENT, "expect": {"refused": "EINVAL"}}, "Field required"),
        ({**EVENT, "expect": {**ANSWER, "refused": "EWRONG"}}, "EWRONG is no error of errno(3)"),
        (
            {**EVENT, "expect": {**ANSWER, "versions": {"before": "6.2"}}},
            "expect: no answer is for kernels 6.2 and newer; add one",
        ),
        (
            {**EVENT, "expect": [ANSWER, {**ANSWER, "versions": {"since": "6.2"}}]},
            "expect: two answers are for kernel 6.2",
        ),
    ],
)
def test_an_event_that_is_wrong_says_what_is(row, said):
    assert said in refused(EventSpec, row)


@pytest.mark.parametrize(
    "row",
    [
        EVENT,
        {"counts": "raw:0x11", "task": "self"},
        {"counts": "tracepoint:syscalls:sys_enter_getppid", "task": "self", "cpu": 1},
        {**EVENT, "cgroup": "inside", "frequency": 1000},
    ],
)
def test_an_event_that_is_right_is_taken(row):
    spec = EventSpec.model_validate(row)
    assert spec.model_dump(exclude_defaults=True) == row


# --- what a guest reads ------------------------------------------------------


@pytest.fixture
def rich():
    """A bit of everything."""
    return scenario(
        cpus=2,
        sysctl={"kernel.perf_event_max_sample_rate": 10000},
        observe=("perf_swevent", "perf_tracepoint"),
        registers=True,
        events={
            "leader": {
                "counts": "instructions",
                "cpu": 0,
                "frequency": 1000,
                "pinned": True,
                "exclude_kernel": True,
                "disabled": True,
            },
            "holder": {
                "counts": "cycles",
                "task": "self",
                "leader": "leader",
                "exclude_user": True,
                "watched": True,
                "copies": 2,
            },
            "inside": {"counts": "raw:0x11", "cpu": 1, "cgroup": "inside", "period": 100000},
            "virtual": {**EVENT, "exclude_host": True},
            "calls": {
                "counts": "tracepoint:syscalls:sys_enter_getppid",
                "task": "worker",
                "cpu": 0,
                "inherit": True,
                "enable_on_exec": True,
                "exclusive": True,
                "signals": True,
            },
        },
        tasks={"worker": ("join inside", "user 40", "exec"), "child": ("spin 1000",)},
        steps=("enable leader", "run worker", "refresh holder2 5", "wait worker"),
    )


def test_a_script_is_what_the_guest_reads(rich):
    """Keys in one order, only what is not a default: script.h reads them so."""
    assert script(rich) == (
        "event leader counts=instructions cpu=0 frequency=1000 disabled=1 pinned=1"
        " exclude_kernel=1\n"
        "event holder1 counts=cycles task=self leader=leader exclude_user=1 watched=1\n"
        "event holder2 counts=cycles task=self leader=leader exclude_user=1 watched=1\n"
        "event inside counts=raw:0x11 cpu=1 cgroup=inside period=100000\n"
        "event virtual counts=cycles cpu=0 exclude_host=1\n"
        "event calls counts=tracepoint:syscalls:sys_enter_getppid task=worker cpu=0"
        " enable_on_exec=1 exclusive=1 inherit=1 signals=1\n"
        "task worker\n"
        " join inside\n"
        " user 40\n"
        " exec\n"
        "task child\n"
        " spin 1000\n"
        "main\n"
        " enable leader\n"
        " run worker\n"
        " refresh holder2 5\n"
        " wait worker\n"
    )


def test_a_batch_sets_the_rate_before_what_forbids_it(rich):
    assert batch(rich) == (
        "sysctl kernel/perf_event_max_sample_rate 10000\n"
        "sysctl-if-any kernel/perf_user_access 1\n"
        "sysctl kernel/perf_cpu_time_max_percent 0\n"
        "load pmu_observer.ko also=perf_swevent,perf_tracepoint registers=1\n"
        "probe drive\n"
    )


def test_test_pmus_are_loaded_before_what_observes_them():
    """A column for each parameter that is not its default; a value for each PMU."""
    pmus = {"test0": {"counters": 2, "task": True}, "test1": {"counters": 4, "interrupt": True}}
    assert batch(scenario(pmus=pmus, observe=("perf_swevent",))) == (
        "sysctl kernel/perf_cpu_time_max_percent 0\n"
        "load pmu_test.ko counters=2,4 task=1,0 interrupt=0,1\n"
        "load pmu_observer.ko also=perf_swevent,test0,test1\n"
        "probe drive\n"
    )


def test_what_may_be_refused_and_what_is_opened_late_are_marked():
    asked = scenario(
        pmus={"test0": {"counters": 2}},
        events={
            "target": {**EVENT, "counts": "work", "pmu": "test0", "expect": ANSWER},
            "many": {**EVENT, "copies": 2},
        },
        steps=("set test0 perf_event_mux_interval_ms 0", "open many2", "work test0 5"),
        answers={"set test0 perf_event_mux_interval_ms 0": ANSWER},
    )
    assert script(asked) == (
        "event target counts=pmu:test0:work cpu=0 may_be_refused=1\n"
        "event many1 counts=cycles cpu=0\n"
        "event many2 counts=cycles cpu=0 late=1\n"
        "task worker\n"
        " user 5\n"
        "main\n"
        " ?set test0 perf_event_mux_interval_ms 0\n"
        " open many2\n"
        " work test0 5\n"
    )


def test_each_kernel_has_its_answer():
    before = Answer(refused="EINVAL", versions=VersionRange(before="6.2"), source="x")
    since = Answer(versions=VersionRange(since="6.2"), source="y")
    assert answer_for((since, before), "6.1.192") is before
    assert answer_for((since, before), "6.12.1") is since
    assert (before.errno, before.said) == (22, "refused with EINVAL")
    assert (since.errno, since.said) == (0, "taken")


def test_the_rest_of_a_machines_counters_is_not_less_for_other_pmus(catalog):
    row = scenario(
        pmus={"test0": {"counters": 2}},
        events={
            "other": {**EVENT, "counts": "work", "pmu": "test0", "copies": 3},
            "target": EVENT,
            "many": {**EVENT, "copies": "rest"},
        },
        steps=("user 5",),
    )
    machine = catalog.machines["aarch64-tcg"]
    assert row.for_machine(machine).events["many"].copies == machine.counters.cycles - 1


def test_rings_records_and_raw_fields_are_words_of_an_event():
    asked = scenario(
        events={
            "target": {**EVENT, "ring": 1, "lost": True, "backward": True, "wakeup": 3},
            "many": {**EVENT, "records": ["comm", "task"]},
            "raw": {**EVENT, "flags": 16, "attr": {"bits": 1 << 63, "size": 16}},
        },
        steps=("drain target", "map target 4", "read"),
        quiet=True,
        tasks={},
    )
    assert script(asked) == (
        "quiet\n"
        "event target counts=cycles cpu=0 ring=1 backward=1 wakeup=3 lost=1\n"
        "event many counts=cycles cpu=0 records=comm,task\n"
        "event raw counts=cycles cpu=0 flags=16 attr.bits=9223372036854775808 attr.size=16\n"
        "main\n"
        " drain target\n"
        " map target 4\n"
        " read\n"
    )


def test_a_field_that_an_attr_has_not_is_none():
    assert "Input should be 'type', 'size'" in refused(EventSpec, {**EVENT, "attr": {"colour": 1}})


def test_a_probe_has_no_script():
    probe = {k: v for k, v in ROW.items() if k not in ("events", "tasks", "steps")}
    alone = Scenario.model_validate({**probe, "probe": ("cost", "0", "10"), "observe": False})
    assert script(alone) == ""
    assert batch(alone) == "sysctl kernel/perf_cpu_time_max_percent 0\nprobe cost 0 10\n"


def test_a_tool_is_served_and_has_no_script():
    row = {k: v for k, v in ROW.items() if k not in ("events", "tasks", "steps")}
    tool = Scenario.model_validate({**row, "tool": Tool(run="perf-stat")})
    assert script(tool) == ""
    assert "probe" not in batch(tool)
    assert batch(tool).splitlines()[-2:] == ["load pmu_observer.ko", "serve"]


def test_what_most_batches_begin_with_is_a_prelude(catalog):
    """To the letter: a module with parameters is another one."""
    usual = "sysctl kernel/perf_cpu_time_max_percent 0\nload pmu_observer.ko\n"
    found = {name: prelude(row) for name, row in catalog.scenarios.items()}
    assert set(found.values()) == {"", usual}
    assert found["cycles-cpu"] == usual
    assert found["breakpoint-frequency"] == found["reproducer"] == found["cost-cycles"] == ""
    for name, row in catalog.scenarios.items():
        assert batch(row).startswith(found[name])
    assert list(found.values()).count(usual) > len(found) / 2
