# SPDX-License-Identifier: MIT
"""Sampling: every overflow gives its sample, in time, at the rate that was asked for."""

from itertools import pairwise

from harness.checks.adjustments import (
    completed,
    event_names,
    frequency_events,
    on_hardware,
)
from harness.checks.base import Check, Observation, inconclusive, milliseconds, named, verdict
from harness.checks.points import MainStep, events, lateness, main_steps, samples
from harness.guest.records import Callback, Event, Phase, Read, Sample, Throttle
from harness.model import Verdict

RATE = "sampling.rate"
STEP = "sampling.step"
THROTTLE = "sampling.throttle"
REPROGRAM = "sampling.reprogram"
INHERIT = "sampling.inherit"
OVERFLOW = "sampling.overflow"

# CONFIG_HZ_1000 in configs/kconfig/base.config.
_TICK_NS = 1_000_000
# The rate is judged where it had this long to settle.
_SETTLING_NS = 50_000_000


def _number_in(taken: list[Sample], begin: int, end: int) -> int:
    return sum(begin <= sample.time < end for sample in taken)


def judge_rate(observation: Observation, _: Observation | None) -> Verdict:
    """In the second half of the first step of 50 ms or more the asked frequency is met.

    From far too long a period the low-pass filter leaves (7/8)^k of the error
    after k ticks: 50 ticks leave 0.13 %.  The scenario's `rate_tolerance` is
    above that; one sample more or less falls into any window.  Events whose
    overflow the emulator notices late are left out.
    """
    expected = "the asked frequency in the second half of the first long step"
    names = event_names(observation.records)
    long = [s for s in main_steps(observation) if s.end - s.begin >= _SETTLING_NS]
    wanted_events = [
        event
        for event in events(observation).values()
        if event.frequency and not lateness(observation, event)
    ]
    if not long or not wanted_events:
        return inconclusive(RATE, "no frequency-mode event, or no long step", expected)
    begin, end = (long[0].begin + long[0].end) // 2, long[0].end
    seconds = (end - begin) / 1e9
    tolerance = float(observation.scenario.expect.get("rate_tolerance", 0))
    faults, said, metrics = [], [], {"seconds": seconds}
    for event in wanted_events:
        number = _number_in(samples(observation, event.id), begin, end)
        wanted = event.frequency * seconds
        text = f"{event.name} {number / seconds:.0f} Hz"
        said.append(text)
        metrics |= {f"{event.name}_samples": number, f"{event.name}_asked_hz": event.frequency}
        if abs(number - wanted) > 1 + wanted * tolerance:
            faults.append(
                f"{named(names, event.id)}: {number} samples in {seconds * 1e3:.1f} ms, "
                f"{number / seconds:.0f} Hz instead of {event.frequency}"
            )
    return verdict(
        RATE,
        faults,
        measured=f"{', '.join(said)} over {seconds * 1e3:.1f} ms",
        expected=f"the asked frequency, within {tolerance:.0%} and one sample",
        metrics=metrics,
    )


def _least_after(period: int, adjustments: int) -> int:
    """The shortest period that so many adjustments can make of one.

    perf_adjust_period(): delta = (period - sample_period - 7) / 8, the period
    being 0 at the least; so what is left is sample_period - (sample_period + 7)/8.
    """
    for _ in range(adjustments):
        period -= (period + 7) // 8
    return period


def _falls_between(observation: Observation) -> list[tuple[Callback, Callback, int]]:
    """(call, the next call on the same event, samples in between) of frequency-mode events.

    Up to the last read: behind it the rings are emptied, and an overflow that
    comes later leaves no sample.
    """
    records = observation.records
    wanted = frequency_events(records)
    until = max((read.time for read in records.of(Read)), default=0)
    taken: dict[int, list[int]] = {}
    for sample in records.of(Sample):
        taken.setdefault(sample.stream, []).append(sample.time)
    last: dict[int, Callback] = {}
    found = []
    for call in on_hardware(records):
        if not {call.id, call.parent} & wanted:
            continue
        before = last.get(call.id)
        if before is not None and call.time <= until:
            times = taken.get(call.id, [])
            inside = sum(before.time <= time <= call.time for time in times)
            found.append((before, call, inside))
        last[call.id] = call
    return found


def judge_step(observation: Observation, _: Observation | None) -> Verdict:
    """A period falls by an eighth at most in one adjustment.

    In a tick that is what happens between its stop and its start; elsewhere only
    an overflow adjusts, and each one gives a sample.
    """
    expected = "no period below 7/8 of the one before it"
    names = event_names(observation.records)
    faults, judged, least = [], 0, 1.0
    for adjustment, pause, resume in completed(observation.records):
        judged += 1
        before, after = pause.period[1], resume.period[0]
        least = min(least, after / before if before else 1.0)
        if after < _least_after(before, 1):
            when = milliseconds(adjustment.tick.time)
            faults.append(
                f"{named(names, adjustment.event)}: the period fell from {before} to {after} in "
                f"the tick at {when}"
            )
    for earlier, later, overflows in _falls_between(observation):
        before, after = earlier.period[1], later.period[0]
        if not later.tick and after < _least_after(before, overflows):
            faults.append(
                f"{named(names, later.id)}: the period fell from {before} to {after} by "
                f"{milliseconds(later.time)}, with {overflows} overflows since the last call"
            )
    if not judged:
        return inconclusive(STEP, "no event was adjusted", expected)
    return verdict(
        STEP,
        faults,
        measured=f"{judged} adjustments, the steepest to {least:.4f} of the period",
        expected=expected,
        metrics={"adjustments": judged, "steepest": round(least, 6)},
    )


def _alternation_faults(throttles: list[Throttle], name: str, end: int) -> list[str]:
    """THROTTLE and UNTHROTTLE of one event that do not take turns, or come too late."""
    faults = []
    if throttles[0].kind != "throttle":
        faults.append(f"{name}: UNTHROTTLE first, at {milliseconds(throttles[0].time)}")
    for before, after in pairwise(throttles):
        if before.kind == after.kind:
            faults.append(f"{name}: {after.kind.upper()} twice, at {milliseconds(after.time)}")
        elif before.kind == "throttle" and after.time - before.time > 2 * _TICK_NS:
            faults.append(
                f"{name}: throttled at {milliseconds(before.time)}, let go at "
                f"{milliseconds(after.time)}, two ticks later"
            )
    last = throttles[-1]
    if last.kind == "throttle" and end - last.time > 2 * _TICK_NS:
        faults.append(
            f"{name}: throttled at {milliseconds(last.time)} and never let go, though it was "
            f"enabled until {milliseconds(end)}"
        )
    return faults


def _crowded_ticks(
    observation: Observation, taken: list[Sample], name: str, allowed: int
) -> list[str]:
    """Ticks in which an event took more samples than perf_event_max_sample_rate allows."""
    ticks = [call.time for call in observation.records.of(Callback) if call.call == "tick"]
    return [
        f"{name}: {number} samples in the tick from {milliseconds(begin)}"
        for begin, end in pairwise(ticks)
        if (number := _number_in(taken, begin, end)) > allowed
    ]


def judge_throttle(observation: Observation, _: Observation | None) -> Verdict:
    """A tick takes no more samples than allowed, and the next one lets the event go on."""
    expected = "THROTTLE and UNTHROTTLE by turns; samples a tick <= allowed; it goes on"
    records = observation.records
    names = event_names(records)
    allowed = int(observation.scenario.expect.get("samples_per_tick", 0))
    steps = main_steps(observation)
    faults, number = [], 0
    for event in events(observation).values():
        throttles = [throttle for throttle in records.of(Throttle) if throttle.stream == event.id]
        taken = samples(observation, event.id)
        name = named(names, event.id)
        faults += _crowded_ticks(observation, taken, name, allowed)
        if not throttles:
            continue
        number += sum(throttle.kind == "throttle" for throttle in throttles)
        end = next((s.begin for s in steps if s.words[0] == "disable"), steps[-1].end)
        faults += _alternation_faults(throttles, name, end)
        released = [throttle for throttle in throttles if throttle.kind == "unthrottle"]
        if released and not _number_in(taken, released[0].time, end):
            faults.append(
                f"{name}: no sample after {milliseconds(released[0].time)}: it never went on"
            )
    if not number and not faults:
        return inconclusive(THROTTLE, "no event was throttled", expected)
    return verdict(
        THROTTLE,
        faults,
        measured=f"throttled {number} times, {len(faults)} faults",
        expected=expected,
        metrics={"throttled": number, "allowed": allowed},
    )


def _reprogram_fault(observation: Observation, event: Event, step: MainStep) -> str:
    """What is wrong with the first overflow after PERF_EVENT_IOC_PERIOD; or nothing.

    The ioctl sets period_left to 0 (bad7192b842c, perf: Fix PERF_EVENT_IOC_PERIOD
    to force-reset the period), so that the new period begins at the count of that
    moment, which lies between the reads around it.
    """
    period = int(step.words[2])
    later = [sample for sample in samples(observation, event.id) if sample.time > step.begin]
    if not later:
        return f"no overflow after the period was set to {period} at {milliseconds(step.begin)}"
    first = dict(later[0].counts)[event.id]
    least, most = step.before[event.id] + period, step.after[event.id] + period
    if least <= first <= most:
        return ""
    return (
        f"the period was set to {period} at {milliseconds(step.begin)}, when the count was "
        f"{step.before[event.id]} to {step.after[event.id]}; the next overflow came at {first}"
    )


def _refrequency_fault(
    observation: Observation, event: Event, step: MainStep, steps: list[MainStep]
) -> str:
    """What is wrong with the rate after PERF_EVENT_IOC_PERIOD in frequency mode; or nothing."""
    frequency = int(step.words[2])
    work = next(s for s in steps if s.begin > step.begin and s.words[0] == "user")
    begin = (work.begin + work.end) // 2
    wanted = frequency * (work.end - begin) / 1e9
    number = _number_in(samples(observation, event.id), begin, work.end)
    tolerance = float(observation.scenario.expect.get("rate_tolerance", 0))
    if abs(number - wanted) <= 1 + wanted * tolerance:
        return ""
    return f"after {frequency} Hz was asked for, {number} samples where {wanted:.0f} were due"


def judge_reprogram(observation: Observation, _: Observation | None) -> Verdict:
    """After PERF_EVENT_IOC_PERIOD the next overflow comes a new period later."""
    expected = "next overflow == count at the ioctl + the new period; the asked frequency"
    names = event_names(observation.records)
    by_name = {event.name: event for event in events(observation).values()}
    steps = main_steps(observation)
    orders = [step for step in steps if step.words[0] == "period"]
    faults = []
    for step in orders:
        event = by_name[step.words[1]]
        if event.frequency:
            fault = _refrequency_fault(observation, event, step, steps)
        else:
            fault = _reprogram_fault(observation, event, step)
        if fault:
            faults.append(f"{named(names, event.id)}: {fault}")
    if not orders:
        return inconclusive(REPROGRAM, "no period was set", expected)
    return verdict(
        REPROGRAM,
        faults,
        measured=f"{len(orders) - len(faults)} of {len(orders)} orders followed",
        expected=expected,
        metrics={"orders": len(orders), "wrong": len(faults)},
    )


def _periods_around(observation: Observation, parent: int, time: int) -> set[int]:
    """The periods that a parent can have had at a time, by the calls and samples around it."""
    records = observation.records
    calls = [call for call in records.of(Callback) if call.is_event and call.id == parent]
    before = [call for call in calls if call.time <= time][-1:]
    after = [call for call in calls if call.time > time][:1]
    between = {
        sample.period
        for sample in records.of(Sample)
        if sample.stream == parent
        and (not before or sample.time >= before[0].time)
        and (not after or sample.time <= after[0].time)
    }
    return between | {call.period[1] for call in before} | {call.period[0] for call in after}


def judge_inherit(observation: Observation, _: Observation | None) -> Verdict:
    """A child starts at its parent's period, not at 1.

    inherit_event() copies the parent's sample_period of that moment
    (75c9f3284a7f, perf_events: Fix sample_period transfer on inherit).
    """
    expected = "a child's first period == its parent's when it was made"
    records = observation.records
    names = event_names(records)
    made = [p.time for p in records.of(Phase) if p.name.startswith(("fork ", "thread "))]
    first: dict[int, Callback] = {}
    for call in records.of(Callback):
        if call.is_event and call.parent in frequency_events(records):
            first.setdefault(call.id, call)
    faults = []
    for parent in dict.fromkeys(call.parent for call in first.values()):
        # Ids are given in the order of making, and so are the forks.
        children = sorted(call.id for call in first.values() if call.parent == parent)
        for child, time in zip(children, made, strict=False):
            allowed = _periods_around(observation, parent, time)
            if first[child].period[0] not in allowed:
                faults.append(
                    f"{named(names, child)} started at period {first[child].period[0]}; "
                    f"{named(names, parent)} was at {sorted(allowed)}, at {milliseconds(time)}"
                )
    if not first:
        return inconclusive(INHERIT, "no event in frequency mode was inherited", expected)
    periods = [call.period[0] for call in first.values()]
    return verdict(
        INHERIT,
        faults,
        measured=f"{len(periods)} children, started at {min(periods)} to {max(periods)}",
        expected=expected,
        metrics={"children": len(periods), "wrong": len(faults)},
    )


def _overflow_faults(event: Event, taken: list[Sample], late: int, name: str) -> list[str]:
    """Samples that do not come where the period ends.

    `late` is how many counts late the emulator may notice an overflow; where that
    is a whole period and more, the kernel begins the next one at the sample
    (armpmu_event_set_period() in drivers/perf/arm_pmu.c).
    """
    faults = []
    due = event.period
    for number, sample in enumerate(taken, 1):
        value = dict(sample.counts)[event.id]
        skid = value - due
        if not 0 <= skid <= late:
            faults.append(
                f"{name}: sample {number} at {milliseconds(sample.time)} came at {value}, "
                f"{skid:+d} from where its period ended"
            )
        due = value + event.period if skid >= event.period else due + event.period
    return faults


def judge_overflow(observation: Observation, _: Observation | None) -> Verdict:
    """At a fixed period the k-th sample comes at k periods, and none is missing.

    Where it may come late, it is no later than that, and none need come for
    each period.
    """
    expected = "the k-th sample at k periods, none missing"
    names = event_names(observation.records)
    steps = main_steps(observation)
    final = steps[-1].after if steps else {}
    faults, number, due, latest = [], 0, 0, 0
    for event in events(observation).values():
        if not event.period:
            continue
        late = lateness(observation, event)
        taken = samples(observation, event.id)
        number += len(taken)
        name = named(names, event.id)
        latest = max(latest, late)
        faults += _overflow_faults(event, taken, late, name)
        owed = final.get(event.id, 0) // event.period
        due += owed
        if late < event.period and len(taken) != owed:
            faults.append(f"{name}: {len(taken)} samples for {owed} periods")
    if not due:
        return inconclusive(OVERFLOW, "no period ended", expected)
    return verdict(
        OVERFLOW,
        faults,
        measured=f"{number} samples for {due} periods",
        expected=expected + (f"; at most {latest} late" if latest else ""),
        metrics={"samples": number, "periods": due},
    )


CHECKS = (
    Check(RATE, "Does the sampling rate come to what was asked for?", judge_rate),
    Check(STEP, "Does the period fall no faster than the kernel's filter allows?", judge_step),
    Check(THROTTLE, "Is a throttled event let go again, and none too early?", judge_throttle),
    Check(REPROGRAM, "Does a new period begin when it is set?", judge_reprogram),
    Check(INHERIT, "Does a child start at its parent's period?", judge_inherit),
    Check(OVERFLOW, "Does each overflow give its sample in time?", judge_overflow),
)
