# SPDX-License-Identifier: MIT
"""Overflow: each one gives its sample in time, and can be set anew."""

from harness.checks.adjustments import event_names
from harness.checks.base import (
    Check,
    Equivalence,
    Observation,
    inconclusive,
    milliseconds,
    named,
    verdict,
)
from harness.checks.points import MainStep, events, lateness, main_steps, number_in, samples
from harness.guest.records import Event, Sample
from harness.model import Verdict

REPROGRAM = "sampling.reprogram"
OVERFLOW = "sampling.overflow"


def _next_overflow(
    observation: Observation, event: Event, step: MainStep
) -> tuple[int, int, int] | None:
    """(count at the first overflow after the period was set, its least, its most)."""
    period = int(step.words[2])
    counts = [
        dict(sample.counts)[event.id]
        for sample in samples(observation, event.id)
        if sample.time > step.begin and not _ends_old_period(observation, event, step, sample)
    ]
    if not counts:
        return None
    return counts[0], step.before[event.id] + period, step.after[event.id] + period


def _ends_old_period(
    observation: Observation, event: Event, step: MainStep, sample: Sample
) -> bool:
    """True if a sample of the step is the one that was due before the step set another period.

    The step begins before the system call does, and an overflow may come in between.
    """
    if not step.begin < sample.time <= step.end:
        return False
    orders = [s for s in main_steps(observation) if s.words[:2] == step.words[:2]]
    before = [order for order in orders if order.begin < step.begin]
    old = int(before[-1].words[2]) if before else event.period
    since = before[-1].end if before else 0
    last = [s for s in samples(observation, event.id) if since < s.time <= step.begin][-1:]
    return any(dict(sample.counts)[event.id] == dict(s.counts)[event.id] + old for s in last)


def _reprogram_fault(observation: Observation, event: Event, step: MainStep) -> str:
    """What is wrong with the first overflow after PERF_EVENT_IOC_PERIOD; or nothing.

    The ioctl sets period_left to 0 (bad7192b842c, perf: Fix PERF_EVENT_IOC_PERIOD
    to force-reset the period), so that the new period begins at the count of that
    moment, which lies between the reads around it.
    """
    period = int(step.words[2])
    found = _next_overflow(observation, event, step)
    if not found:
        return f"no overflow after the period was set to {period} at {milliseconds(step.begin)}"
    first, least, most = found
    if least <= first <= most:
        return ""
    return (
        f"the period was set to {period} at {milliseconds(step.begin)}, when the count was "
        f"{step.before[event.id]} to {step.after[event.id]}; the next overflow came at {first}"
    )


def _new_rate(
    observation: Observation, event: Event, step: MainStep, steps: list[MainStep]
) -> tuple[int, float]:
    """(samples, samples due) in the second half of the work after a frequency was set."""
    work = next(s for s in steps if s.begin > step.begin and s.words[0] == "user")
    begin = (work.begin + work.end) // 2
    wanted = int(step.words[2]) * (work.end - begin) / 1e9
    return number_in(samples(observation, event.id), begin, work.end), wanted


def _refrequency_fault(
    observation: Observation, event: Event, step: MainStep, steps: list[MainStep]
) -> str:
    """What is wrong with the rate after PERF_EVENT_IOC_PERIOD in frequency mode; or nothing."""
    frequency = int(step.words[2])
    number, wanted = _new_rate(observation, event, step, steps)
    tolerance = float(observation.scenario.expect.get("rate_tolerance", 0))
    if abs(number - wanted) <= 1 + wanted * tolerance:
        return ""
    return f"after {frequency} Hz was asked for, {number} samples where {wanted:.0f} were due"


def order_deviation(observation: Observation) -> dict[str, float]:
    """By how much what followed each order missed it: a period's end or a rate, as a share.

    A period that never ended is missed by all of it.
    """
    by_name = {event.name: event for event in events(observation).values()}
    steps = main_steps(observation)
    found = {}
    for step in (step for step in steps if step.words[0] == "period"):
        event = by_name[step.words[1]]
        name = f"{event.name} {step.words[2]}"
        if event.frequency:
            number, wanted = _new_rate(observation, event, step, steps)
            found[name] = number / wanted - 1
        elif overflow := _next_overflow(observation, event, step):
            first, least, most = overflow
            found[name] = (first - min(max(first, least), most)) / int(step.words[2])
        else:
            found[name] = 1.0
    return found


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


def overflow_deviation(observation: Observation) -> dict[str, float]:
    """How many samples there are too many for the periods that ended, as a share of these."""
    steps = main_steps(observation)
    final = steps[-1].after if steps else {}
    found = {}
    for event in events(observation).values():
        owed = final.get(event.id, 0) // event.period if event.period else 0
        if owed:
            found[event.name] = len(samples(observation, event.id)) / owed - 1
    return found


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
    Check(
        REPROGRAM,
        "Does a new period begin when it is set?",
        judge_reprogram,
        Equivalence(order_deviation),
    ),
    Check(
        OVERFLOW,
        "Does each overflow give its sample in time?",
        judge_overflow,
        Equivalence(overflow_deviation),
    ),
)
