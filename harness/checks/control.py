# SPDX-License-Identifier: MIT
"""Control: ENABLE, DISABLE, REFRESH, RESET and enable_on_exec do what they say."""

from harness.checks.adjustments import event_names
from harness.checks.base import (
    Check,
    Observation,
    Recurrence,
    inconclusive,
    milliseconds,
    named,
    verdict,
)
from harness.checks.points import (
    MainStep,
    events,
    groups,
    lateness,
    main_steps,
    number_in,
    points,
    samples,
)
from harness.guest.records import Event, Sample, Signals
from harness.model import Verdict

CONTROL = "counting.control"


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
    group = {member.name for member in groups(observation)[event.leader]}
    switches = {event.name: not (spec and spec.disabled), leader: not (above and above.disabled)}
    found = []
    for step in steps:
        verb, target = step.words[0], step.words[1] if len(step.words) > 1 else ""
        if target in switches and verb in ("enable", "disable", "refresh"):
            switches[target] = verb == "enable"
        if target in group and verb in ("enable-group", "disable-group"):
            switches = dict.fromkeys(switches, verb == "enable-group")
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
        if step.words[0].endswith("-group"):
            continue
        if _is_reset(observation, event, step):
            continue
        grown = step.after[event.id] - step.before[event.id]
        inside = number_in(samples(observation, event.id), step.begin, step.end)
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
        got = number_in(samples(observation, event.id), step.begin, end)
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
    earlier, later = _around_reset(observation, event, step)
    if not earlier or not later:
        return [f"no sample on both sides of RESET at {milliseconds(step.begin)}"]
    last, first = dict(earlier[-1].counts)[event.id], dict(later[0].counts)[event.id]
    faults = []
    then = last + event.period - first
    least = step.before[event.id]
    if not least - lateness(observation, event) <= then <= least + most:
        faults.append(
            f"the first sample after RESET at {milliseconds(step.begin)} came at {first}, as if "
            f"the count had been {then}; it was {least} to {least + most}"
        )
    second = dict(later[1].counts)[event.id] if len(later) > 1 else first + event.period
    if second - first != event.period and not lateness(observation, event):
        faults.append(
            f"the second sample after RESET at {milliseconds(step.begin)} came "
            f"{second - first} behind the first"
        )
    return faults


def _around_reset(
    observation: Observation, event: Event, step: MainStep
) -> tuple[list[Sample], list[Sample]]:
    """An event's samples before and behind a RESET.

    The step begins before the system call does, and a sample may come in between: the first
    one behind it is the one whose count is less than that of the sample before it.
    """
    taken = samples(observation, event.id)
    counts = [dict(sample.counts)[event.id] for sample in taken]
    begun = sum(sample.time < step.begin for sample in taken)
    fallen = (
        place for place in range(max(begun, 1), len(taken)) if counts[place] < counts[place - 1]
    )
    first = next(fallen, begun)
    return taken[:first], taken[first:]


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
    # A task that the host does not let run for some milliseconds gets fewer samples.
    Check(
        CONTROL,
        "Do ENABLE, DISABLE, REFRESH and RESET do what they say?",
        judge_control,
        Recurrence(),
    ),
)
