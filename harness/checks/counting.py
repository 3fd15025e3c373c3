# SPDX-License-Identifier: MIT
"""Counting: exactly what was done, only while it is enabled, and split by privilege level."""

from harness.checks.adjustments import event_names
from harness.checks.base import Check, Observation, inconclusive, milliseconds, named, verdict
from harness.checks.points import MainStep, events, groups, main_steps, points, samples
from harness.guest.records import Event, Read, Signals, Work
from harness.model import Scenario, Verdict

EXACT = "counting.exact"
LEVELS = "counting.levels"
CONTROL = "counting.control"
WRAP = "counting.wrap"

_HARDWARE, _SOFTWARE, _TRACEPOINT, _BREAKPOINT = 0, 1, 2, 5
_CYCLES, _INSTRUCTIONS = 0, 1
_PAGE_FAULTS = 2


def _truth(work: Work, event: Event, cycles_per_ns: int) -> int | None:
    """How many of an event's kind a piece of work is; None where nothing is known.

    An instruction takes one tick of the instruction clock, and `cycles_per_ns`
    cycles.  In user space the svc that disables the event is counted, the one
    that enabled it is not.
    """
    if work.what != "loop" and (event.exclude_user or event.exclude_kernel):
        in_kernel = work.what in ("kernel-faults", "syscalls")
        if event.exclude_kernel if in_kernel else event.exclude_user:
            return 0
    if event.type == _HARDWARE and event.exclude_kernel and work.what == "loop":
        per = {_INSTRUCTIONS: 1, _CYCLES: cycles_per_ns}.get(event.config)
        return None if per is None else work.instructions * per
    counted = {"faults": _SOFTWARE, "kernel-faults": _SOFTWARE}
    counted |= {"syscalls": _TRACEPOINT, "touches": _BREAKPOINT}
    if counted.get(work.what) != event.type:
        return None
    if event.type == _SOFTWARE and event.config != _PAGE_FAULTS:
        return None
    return work.times


def judge_exact(observation: Observation, _: Observation | None) -> Verdict:
    """Known work is counted exactly, adjusted or not; see _truth() and _shares()."""
    expected = "each count == what was done"
    known = events(observation)
    names = event_names(observation.records)
    judged, faults = _shares(observation)
    for work in observation.records.of(Work):
        before, after = dict(work.before), dict(work.after)
        for event in (known[number] for number in before):
            truth = _truth(work, event, observation.machine.cycles_per_ns)
            if truth is None:
                continue
            judged += 1
            counted = after[event.id] - before[event.id]
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


def _spins(scenario: Scenario, task: str) -> list[int]:
    """Instructions of each `spin` of a task: the loop has two for each iteration."""
    steps = [step.split() for step in scenario.tasks.get(task, ())]
    return [2 * int(words[1]) for words in steps if words[0] == "spin"]


def _shares(observation: Observation) -> tuple[int, list[str]]:
    """(events judged, faults): an event counts its tasks' loops, and no stranger's.

    Its tasks also execute what is around their loops; that is less than the
    shortest loop of a stranger, so that one of those would show.
    """
    scenario = observation.scenario
    joined = {
        task: [step.split()[1] for step in steps if step.startswith("join ")]
        for task, steps in scenario.tasks.items()
    }
    faults, judged = [], 0
    for event in events(observation).values():
        mine = {
            task
            for task in scenario.tasks
            if task == event.task or (event.cgroup and event.cgroup in joined[task])
        }
        least = sum(sum(_spins(scenario, task)) for task in mine)
        if (event.type, event.config) != (_HARDWARE, _INSTRUCTIONS) or not least:
            continue
        judged += 1
        counted = points(observation, event.leader)[-1].counts[event.id]
        strangers = [
            loop for task in scenario.tasks if task not in mine for loop in _spins(scenario, task)
        ]
        most = least + min(strangers) if strangers else None
        if counted < least or (most is not None and counted >= most):
            faults.append(
                f"{event.name} (id {event.id}) counted {counted}; the loops of "
                f"{', '.join(sorted(mine))} are {least} instructions"
            )
    return judged, faults


def judge_levels(observation: Observation, _: Observation | None) -> Verdict:
    """In one group, user and kernel add up to both.

    True of a sample, for which the handler stops the PMU, and of a read when the
    group is disabled.  A read of a running group is not looked at: its members
    are read one after the other, by a kernel that counts.
    """
    expected = "count of user + count of kernel == count of both"
    names = event_names(observation.records)
    faults, judged = [], 0
    for leader, group in groups(observation).items():
        parts = {(event.exclude_user, event.exclude_kernel): event.id for event in group}
        if set(parts) != {(False, False), (False, True), (True, False)}:
            continue
        both, user, kernel = parts[False, False], parts[False, True], parts[True, False]
        last = [read for read in observation.records.of(Read) if read.id == leader][-1:]
        still = [(read.time, dict(read.counts)) for read in last]
        still += [
            (sample.time, dict(sample.counts))
            for event in group
            for sample in samples(observation, event.id)
        ]
        judged += len(still)
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
    if longest < 2 * half:
        return inconclusive(WRAP, f"no more than {longest} cycles: no wrap", expected)
    return verdict(
        WRAP,
        faults,
        measured=f"{judged - len(faults)} of {judged} reads with the clock, {longest} cycles",
        expected=expected,
        metrics={"reads": judged, "wrong": len(faults), "cycles": longest},
    )


def judge_control(observation: Observation, _: Observation | None) -> Verdict:
    """ENABLE, DISABLE, REFRESH, RESET and enable_on_exec do what perf_event_open(2) says."""
    expected = "counts only while enabled; REFRESH n gives n samples; RESET zeroes the count only"
    names = event_names(observation.records)
    steps = main_steps(observation)
    faults: list[str] = []
    judged = 0
    for event in observation.records.of(Event):
        if event.task not in ("", "self"):
            continue
        found = [*_stillness(observation, event, steps), *_refreshes(observation, event, steps)]
        found += _resets(observation, event, steps)
        found += _signal_faults(observation, event, steps)
        judged += sum(event.name in step.words for step in steps)
        faults += [f"{named(names, event.id)}: {fault}" for fault in found]
    execs, found = _late_starts(observation)
    faults += found
    judged += execs
    if not judged:
        return inconclusive(CONTROL, "no event was controlled", expected)
    return verdict(
        CONTROL,
        faults,
        measured=f"{judged} orders, {len(faults)} not followed",
        expected=expected,
        metrics={"orders": judged, "wrong": len(faults)},
    )


def _enabled_during(observation: Observation, event: Event, steps: list[MainStep]) -> list[bool]:
    """For each step, whether the event and its leader are enabled all through it."""
    spec = observation.scenario.events.get(event.name)
    leader = events(observation)[event.leader].name
    above = observation.scenario.events.get(leader)
    switches = {event.name: not (spec and spec.disabled), leader: not (above and above.disabled)}
    found = []
    for step in steps:
        verb, target = step.words[0], step.words[1] if len(step.words) > 1 else ""
        if target in switches and verb in ("enable", "disable", "refresh"):
            switches[target] = verb == "enable"
        found.append(all(switches.values()))
    return found


def _stillness(observation: Observation, event: Event, steps: list[MainStep]) -> list[str]:
    """Counts and samples of steps in which the event should be still, or should count."""
    if any(step.words[0] == "refresh" and event.name in step.words for step in steps):
        return []
    faults = []
    states = _enabled_during(observation, event, steps)
    leader = events(observation)[event.leader].name
    for step, enabled in zip(steps, states, strict=True):
        if step.words == ("enable", event.name) and step.after[event.id] < step.before[event.id]:
            faults.append(
                f"ENABLE at {milliseconds(step.begin)} set its count back from "
                f"{step.before[event.id]} to {step.after[event.id]}"
            )
        if {event.name, leader} & set(step.words) or event.id not in step.before:
            continue
        if _is_reset(observation, event, step):
            continue
        grown = step.after[event.id] - step.before[event.id]
        inside = sum(step.begin <= s.time < step.end for s in samples(observation, event.id))
        when = f"'{' '.join(step.words)}' at {milliseconds(step.begin)}"
        if not enabled and (grown or inside):
            faults.append(f"disabled, it counted {grown} and took {inside} samples in {when}")
        if enabled and not grown and step.words[0] == "user":
            faults.append(f"enabled, it counted nothing in {when}")
    return faults


def _refreshes(observation: Observation, event: Event, steps: list[MainStep]) -> list[str]:
    """REFRESH n: n overflows, then disabled."""
    faults = []
    for number, step in enumerate(steps):
        if step.words[0] != "refresh" or step.words[1] != event.name:
            continue
        asked = int(step.words[2])
        own = [s.begin for s in steps[number + 1 :] if event.name in s.words]
        end = min(own, default=steps[-1].end)
        got = sum(step.begin <= s.time < end for s in samples(observation, event.id))
        if got != asked:
            faults.append(f"REFRESH {asked} at {milliseconds(step.begin)} gave {got} samples")
    return faults


def _signal_faults(observation: Observation, event: Event, steps: list[MainStep]) -> list[str]:
    """Each overflow of REFRESH n delivers a signal, the last one POLL_HUP."""
    said = [signals for signals in observation.records.of(Signals) if signals.id == event.id]
    orders = [int(step.words[2]) for step in steps if step.words[:2] == ("refresh", event.name)]
    if not said or not orders:
        return []
    due = (sum(orders) - len(orders), len(orders))
    got = (said[0].arrived, said[0].hup)
    if got == due:
        return []
    return [f"{due[0]} POLL_IN and {due[1]} POLL_HUP were due, {got[0]} and {got[1]} came"]


def _resets(observation: Observation, event: Event, steps: list[MainStep]) -> list[str]:
    """RESET: the count begins anew, the period that runs and the times do not.

    The count when it was reset is what the last sample before it and the first
    one behind it leave: last + period - first.  It lies between the reads around.
    """
    faults = []
    rate = observation.machine.cycles_per_ns
    for step in steps:
        if not _is_reset(observation, event, step):
            continue
        most = (step.end - step.begin) * rate
        if step.after[event.id] > most:
            faults.append(f"RESET at {milliseconds(step.begin)} left {step.after[event.id]}")
        times = [
            point.enabled
            for point in points(observation, event.leader)
            if step.begin <= point.time <= step.end
        ]
        before = [
            point.enabled for point in points(observation, event.leader) if point.time < step.begin
        ]
        if times and before and min(times) < max(before):
            faults.append(f"RESET at {milliseconds(step.begin)} set time_enabled back")
        faults += _period_after_reset(observation, event, step, most)
    return faults


def _is_reset(observation: Observation, event: Event, step: MainStep) -> bool:
    """True if a step resets the event, by itself or with its group."""
    names = {member.name for member in groups(observation)[event.leader]}
    if step.words[0] == "reset-group":
        return step.words[1] in names
    return step.words == ("reset", event.name)


def _period_after_reset(
    observation: Observation, event: Event, step: MainStep, most: int
) -> list[str]:
    if not event.period:
        return []
    taken = samples(observation, event.id)
    earlier = [sample for sample in taken if sample.time < step.begin]
    later = [sample for sample in taken if sample.time >= step.begin]
    if not earlier or not later:
        return [f"no sample on both sides of RESET at {milliseconds(step.begin)}"]
    last, first = dict(earlier[-1].counts)[event.id], dict(later[0].counts)[event.id]
    then = last + event.period - first
    least = step.before[event.id]
    if least <= then <= least + most:
        return []
    return [
        f"the first sample after RESET at {milliseconds(step.begin)} came at {first}, as if the "
        f"count had been {then}; it was {least} to {least + most}"
    ]


def _late_starts(observation: Observation) -> tuple[int, list[str]]:
    """(number, faults) of events that exec enables: not before, and surely then."""
    faults, number = [], 0
    for event in observation.records.of(Event):
        spec = observation.scenario.events.get(event.name)
        if spec is None or not spec.enable_on_exec or spec.task is None:
            continue
        number += 1
        steps = observation.scenario.tasks[spec.task]
        idle = sum(int(s.split()[1]) for s in steps[: steps.index("exec")] if s[:5] == "user ")
        busy = sum(int(s.split()[1]) for s in steps[steps.index("exec") :] if s[:5] == "user ")
        enabled = points(observation, event.leader)[-1].enabled
        if not busy * 1_000_000 <= enabled < (busy + idle) * 1_000_000:
            faults.append(
                f"{event.name} (id {event.id}) was enabled for {milliseconds(enabled)}: {idle} ms "
                f"before exec, {busy} ms after it"
            )
    return number, faults


CHECKS = (
    Check(EXACT, "Is known work counted exactly?", judge_exact),
    Check(LEVELS, "Do user and kernel add up to both?", judge_levels),
    Check(WRAP, "Is no wrap of a counter lost?", judge_wrap),
    Check(CONTROL, "Do ENABLE, DISABLE, REFRESH and RESET do what they say?", judge_control),
)
