# SPDX-License-Identifier: MIT
"""Counting: exactly what was done, by whom and at which privilege level, across wraps."""

from collections import Counter
from dataclasses import dataclass

from harness.checks.adjustments import event_names
from harness.checks.base import (
    FEW,
    Check,
    Equivalence,
    Observation,
    Property,
    inconclusive,
    milliseconds,
    named,
    verdict,
)
from harness.checks.kinship import family
from harness.checks.points import events, groups, points, samples
from harness.guest.pmu_records import Answered
from harness.guest.records import Event, Phase, Read, Sample, VmResult, VmWord, Work
from harness.model import VARIABLES, Scenario, Verdict

EXACT = "counting.exact"
LEVELS = "counting.levels"
WRAP = "counting.wrap"
VM = "counting.vm"

_HARDWARE, _SOFTWARE, _TRACEPOINT, _BREAKPOINT = 0, 1, 2, 5
_CYCLES, _INSTRUCTIONS, _BRANCHES = 0, 1, 4
_PAGE_FAULTS = 2
_WAKEUP = "tracepoint:sched:sched_wakeup"


def _watched(observation: Observation, event: Event, time: int) -> str:
    """Which of the probe's variables a breakpoint watches: the first, until it is placed."""
    placed = [
        phase.name.split()
        for phase in observation.records.of(Phase)
        if phase.time <= time and phase.name.startswith(f"place {event.name} ")
    ]
    return placed[-1][2] if placed else VARIABLES[0]


def _filtered(observation: Observation, event: Event, time: int) -> bool:
    """True if a tracepoint event was told to count none of its kind."""
    told = [
        phase.name
        for phase in observation.records.of(Phase)
        if phase.time <= time and phase.name.startswith(f"filter {event.name} ")
    ]
    refused = {answer.what for answer in observation.records.of(Answered) if answer.errno}
    taken = [name.split()[2] for name in told if name not in refused]
    return taken[-1:] == ["none"]


_TOUCHES = {"touches": VARIABLES[0], "touches-second": VARIABLES[1]}


def _truth(work: Work, event: Event, observation: Observation) -> int | None:
    """How many of an event's kind a piece of work is; None where nothing is known.

    An instruction takes one tick of the instruction clock, where there is one, and
    `cycles_per_ns` cycles.  In user space the svc that disables the event is counted, the one
    that enabled it is not.
    """
    if work.what != "loop" and (event.exclude_user or event.exclude_kernel):
        in_kernel = work.what in ("kernel-faults", "syscalls")
        if event.exclude_kernel if in_kernel else event.exclude_user:
            return 0
    machine = observation.machine
    if event.type == _HARDWARE and event.exclude_kernel and work.what == "loop":
        # Each iteration ends with a branch, and so does the loop: the system call.
        truths = {_INSTRUCTIONS: work.instructions, _BRANCHES: work.times + 1}
        if "instruction-clock" in machine.offers:
            truths[_CYCLES] = work.instructions * machine.cycles_per_ns
        return truths.get(event.config)
    counted = {"faults": _SOFTWARE, "kernel-faults": _SOFTWARE}
    counted |= {"syscalls": _TRACEPOINT, **dict.fromkeys(_TOUCHES, _BREAKPOINT)}
    if counted.get(work.what) != event.type:
        return None
    if event.type == _SOFTWARE and event.config != _PAGE_FAULTS:
        return None
    if work.what in _TOUCHES and _watched(observation, event, work.time) != _TOUCHES[work.what]:
        return 0
    return 0 if _filtered(observation, event, work.time) else work.times


def _known(observation: Observation) -> list[tuple[Work, Event, int, int]]:
    """(work, event, what it counted, what there was) of all work of known size."""
    by_id = events(observation)
    found = []
    for work in observation.records.of(Work):
        before, after = dict(work.before), dict(work.after)
        # An id that nobody opened is for contexts.group to judge.
        for event in (by_id[number] for number in before if number in by_id):
            truth = _truth(work, event, observation)
            if truth is not None:
                found.append((work, event, after.get(event.id, 0) - before[event.id], truth))
    return found


def judge_exact(observation: Observation, _: Observation | None) -> Verdict:
    """Known work is counted exactly, adjusted or not; see _truth(), _shares() and _wakeups()."""
    expected = "each count == what was done"
    names = event_names(observation.records)
    judged, faults = _wakeups(observation)
    for share in _shares(observation):
        judged += 1
        faults += [share.fault] if share.excess else []
    for work, event, counted, truth in _known(observation):
        judged += 1
        if counted != truth:
            faults.append(
                f"{named(names, event.id)} counted {counted} for {work.times} {work.what}, "
                f"which are {truth}: {counted - truth:+d}, by {milliseconds(work.time)}"
            )
    if not judged:
        return inconclusive(EXACT, "no work of known size", expected)
    return verdict(
        EXACT,
        faults,
        measured=f"{judged - len(faults)} of {judged} counts right",
        expected=expected,
        metrics={"counts": judged, "wrong": len(faults)},
    )


# Beside its sleeps a task may be woken to begin, and wake others as it ends.
_OTHER_WAKEUPS = 3


def _wakeups(observation: Observation) -> tuple[int, list[str]]:
    """(events, faults) of the tracepoint that tells a task's events on a CPU who is woken.

    Each sleep of the task is one, though another one is on the CPU then: perf_tp_event() goes
    through the events of the task that is woken, too.
    """
    scenario = observation.scenario
    faults, judged = [], 0
    for event in events(observation).values():
        spec = scenario.specs.get(event.name)
        if spec is None or spec.counts != _WAKEUP or event.task not in scenario.tasks:
            continue
        judged += 1
        sleeps = sum(step.startswith("sleep ") for step in scenario.tasks[event.task])
        least, most = (0, 0) if spec.disabled else (sleeps, sleeps + _OTHER_WAKEUPS)
        counted = points(observation, event.leader)[-1].counts.get(event.id, 0)
        if not least <= counted <= most:
            why = "and is disabled" if spec.disabled else f"which slept {sleeps} times"
            faults.append(
                f"{event.name} (id {event.id}) counted {counted} wakeups of {event.task}, {why}"
            )
    return judged, faults


def _spins(scenario: Scenario, task: str) -> list[int]:
    """Instructions of each `spin` of a task: the loop has two for each iteration."""
    steps = [step.split() for step in scenario.tasks.get(task, ())]
    return [2 * int(words[1]) for words in steps if words[0] == "spin"]


@dataclass(frozen=True)
class _Share:
    """What an event counted of its tasks' loops, which are `least`; all of `most` is too much."""

    event: Event
    counted: int
    least: int
    most: int | None
    tasks: tuple[str, ...]

    @property
    def excess(self) -> int:
        """By how much it is too much, or too little, which is less than nothing."""
        if self.counted < self.least:
            return self.counted - self.least
        return max(0, self.counted - self.most + 1) if self.most is not None else 0

    @property
    def fault(self) -> str:
        """That, as a person reads it."""
        return (
            f"{self.event.name} (id {self.event.id}) counted {self.counted}; the loops of "
            f"{', '.join(self.tasks)} are {self.least} instructions"
        )


def _shares(observation: Observation) -> list[_Share]:
    """An event counts its tasks' loops, and no stranger's.

    An inherited event counts those of the tasks that descend from its own.
    Its tasks also execute what is around their loops; that is less than the
    shortest loop of a stranger, so that one of those would show.
    """
    scenario = observation.scenario
    joined = {
        task: [step.split()[1] for step in steps if step.startswith("join ")]
        for task, steps in scenario.tasks.items()
    }
    found = []
    for event in events(observation).values():
        kin = family(observation, event) if event.task and event.inherit else {event.task}
        mine = {
            task
            for task in scenario.tasks
            if task in kin or (event.cgroup and event.cgroup in joined[task])
        }
        least = sum(sum(_spins(scenario, task)) for task in mine)
        if (event.type, event.config) != (_HARDWARE, _INSTRUCTIONS) or not least:
            continue
        counted = points(observation, event.leader)[-1].counts[event.id]
        strangers = [
            loop for task in scenario.tasks if task not in mine for loop in _spins(scenario, task)
        ]
        most = least + min(strangers) if strangers else None
        found.append(_Share(event, counted, least, most, tuple(sorted(mine))))
    return found


def count_deviation(observation: Observation) -> dict[str, float]:
    """By how much each event miscounted all work of known size, as a share of it.

    All of an event's works together: what an interrupt adds to a short one is no measure.
    """
    found = {share.event.name: share.excess / share.least for share in _shares(observation)}
    counted: Counter[str] = Counter()
    truths: Counter[str] = Counter()
    for _, event, count, truth in _known(observation):
        counted[event.name] += count
        truths[event.name] += truth
    return found | {name: (counted[name] - truth) / max(1, truth) for name, truth in truths.items()}


def _still(
    observation: Observation, group: list[Event], last: list[Read]
) -> list[tuple[int, dict[int, int]]]:
    """(time, counts) of a group at each sample, and at the last read: while it does not count."""
    found: list[Read | Sample] = [*last]
    for event in group:
        found += samples(observation, event.id)
    return [(record.time, dict(record.counts)) for record in found]


def _levels(observation: Observation) -> list[tuple[int, int, int, list[Event], list[Read]]]:
    """(both, user, kernel, group, its last read) of each group of these three, by id."""
    found = []
    for leader, group in groups(observation).items():
        parts = {(event.exclude_user, event.exclude_kernel): event.id for event in group}
        if set(parts) == {(False, False), (False, True), (True, False)}:
            last = [read for read in observation.records.of(Read) if read.id == leader][-1:]
            ids = (parts[False, False], parts[False, True], parts[True, False])
            found.append((*ids, group, last))
    return found


def level_gap(observation: Observation) -> dict[str, float]:
    """By how much user and kernel differ from both at the end, as a share of both."""
    by_id = events(observation)
    found = {}
    for both, user, kernel, _, last in _levels(observation):
        for counts in (dict(read.counts) for read in last):
            if counts[both]:
                gap = counts[user] + counts[kernel] - counts[both]
                found[by_id[both].name] = gap / counts[both]
    return found


def judge_levels(observation: Observation, _: Observation | None) -> Verdict:
    """In one group, user and kernel add up to both.

    True of a sample, for which the handler stops the PMU, and of a read when the
    group is disabled.  A read of a running group is not looked at: its members
    are read one after the other, by a kernel that counts.  Neither part is nothing:
    a task that runs leaves user space to end it.
    """
    expected = "count of user + count of kernel == count of both"
    names = event_names(observation.records)
    faults, judged = [], 0
    for both, user, kernel, group, last in _levels(observation):
        still = _still(observation, group, last)
        judged += len(still)
        faults += [
            f"{named(names, part)} counted nothing in {read.running} ns"
            for read in last
            for part in (user, kernel)
            if read.running and not dict(read.counts)[part]
        ]
        faults += [
            f"{named(names, both)} counted {counts[both]} at {milliseconds(time)}; user "
            f"{counts[user]} and kernel {counts[kernel]} are {counts[user] + counts[kernel]}"
            for time, counts in still
            if counts[both] != counts[user] + counts[kernel]
        ]
    if not judged:
        return inconclusive(LEVELS, "no group of user, kernel and both", expected)
    return verdict(
        LEVELS,
        faults,
        measured=f"{judged - len(faults)} of {judged} reads add up",
        expected=expected,
        metrics={"reads": judged, "wrong": len(faults)},
    )


def judge_wrap(observation: Observation, _: Observation | None) -> Verdict:
    """No wrap of a counter is lost while nobody reads it.

    A cycles event that excludes nothing counts the clock, but for the moments in
    which the kernel stops the PMU to change something.  What a lost wrap takes
    away is half of the counter's range or more.
    """
    expected = "cycles within half a counter of the time that it ran"
    names = event_names(observation.records)
    rate, half = observation.machine.cycles_per_ns, observation.machine.largest_left
    faults, judged, longest = [], 0, 0
    for event in events(observation).values():
        everything = not event.exclude_kernel and not event.exclude_user
        if (event.type, event.config) != (_HARDWARE, _CYCLES) or not everything:
            continue
        for point in points(observation, event.leader):
            judged += 1
            longest = max(longest, point.running * rate)
            missing = point.running * rate - point.counts[event.id]
            if abs(missing) >= half:
                faults.append(
                    f"{named(names, event.id)} at {milliseconds(point.time)} counted "
                    f"{point.counts[event.id]} cycles in {point.running} ns: {-missing:+d}"
                )
    if longest < 2 * half and not faults:
        return inconclusive(WRAP, f"no more than {longest} cycles: no wrap", expected)
    return verdict(
        WRAP,
        faults,
        measured=f"{judged - len(faults)} of {judged} reads with the clock, {longest} cycles",
        expected=expected,
        metrics={"reads": judged, "wrong": len(faults), "cycles": longest},
    )


def _vm_fault(result: VmResult) -> str:
    when = milliseconds(result.time)
    if result.what == "counted":
        return (
            f"by {when} its counter {result.counter} had counted {result.got} for "
            f"{result.wanted}: {result.got - result.wanted:+d}"
        )
    return (
        f"by {when} its counter {result.counter} had interrupted {result.got} times "
        f"for {result.wanted} overflows"
    )


def judge_vm(observation: Observation, _: Observation | None) -> Verdict:
    """A virtual machine counts exactly what it executed, and each overflow interrupts it once.

    Its counters are events of KVM's (kvm_pmu_create_perf_event() in arch/arm64/kvm/pmu-emul.c,
    pmc_reprogram_counter() in arch/x86/kvm/pmu.c) that count nothing but the virtual machine.
    """
    expected = "each loop counted exactly, one interrupt for each overflow"
    results = observation.records.of(VmResult)
    words = observation.records.of(VmWord)
    faults = [_vm_fault(result) for result in results if result.got != result.wanted]
    if any(not word.text.startswith("pmu ") for word in words):
        faults += [f"it said at {milliseconds(word.time)}: {word.text}" for word in words]
    if not results and not faults:
        return inconclusive(VM, "no virtual machine came to a result", expected)
    return verdict(
        VM,
        faults,
        measured=f"{sum(r.got == r.wanted for r in results)} of {len(results)} results right",
        expected=expected,
        metrics={"results": len(results), "wrong": len(faults)},
    )


CHECKS = (
    Check(EXACT, "Is known work counted exactly?", judge_exact, Equivalence(count_deviation)),
    Check(LEVELS, "Do user and kernel add up to both?", judge_levels, Equivalence(level_gap)),
    Check(WRAP, "Is no wrap of a counter lost?", judge_wrap, Property("reads", most=FEW)),
    Check(VM, "Does a virtual machine count what it executes?", judge_vm, Property("results")),
)
