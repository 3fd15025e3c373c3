# SPDX-License-Identifier: MIT
"""Sampling: the rate comes to what was asked for, by steps that the kernel's filter allows."""

from harness.checks.adjustments import completed
from harness.checks.base import Check, Observation, inconclusive, milliseconds, verdict
from harness.guest.records import Phase, Sample
from harness.model import Verdict

RATE = "sampling.rate"
STEP = "sampling.step"


def judge_rate(observation: Observation, _: Observation | None) -> Verdict:
    """In the second half of the first phase the asked frequency is met.

    From far too long a period the low-pass filter leaves (7/8)^k of the error
    after k ticks: 50 ticks leave 0.13 %.  The scenario's `rate_tolerance` is
    above that; one sample more or less falls into any window.
    """
    expected = "the asked frequency in the second half of the first phase"
    records = observation.records
    target, phases = records.event("target"), records.of(Phase)
    if target is None or not target.frequency or len(phases) < 2:
        return inconclusive(RATE, "no frequency-mode event, or no second phase", expected)
    begin = (phases[0].time + phases[1].time) // 2
    seconds = (phases[1].time - begin) / 1e9
    number = sum(begin <= sample.time < phases[1].time for sample in records.of(Sample))
    wanted = target.frequency * seconds
    slack = 1 + wanted * float(observation.scenario.expect.get("rate_tolerance", 0))
    measured = f"{number} samples in {seconds * 1e3:.1f} ms: {number / seconds:.0f} Hz"
    expected = f"{wanted - slack:.1f} to {wanted + slack:.1f} samples ({target.frequency} Hz)"
    faults = [measured] if abs(number - wanted) > slack else []
    return verdict(
        RATE,
        faults,
        measured=measured,
        expected=expected,
        metrics={"samples": number, "seconds": seconds, "asked_hz": target.frequency},
    )


def judge_step(observation: Observation, _: Observation | None) -> Verdict:
    """A period falls by an eighth at most in one adjustment.

    perf_adjust_period(): delta = (period - sample_period - 7) / 8, the period
    being 0 at the least; so what is left is sample_period - (sample_period + 7)/8.
    """
    expected = "no period below 7/8 of the one before it"
    faults, judged, least = [], 0, 1.0
    for adjustment, pause, resume in completed(observation.records):
        judged += 1
        before, after = pause.period[1], resume.period[0]
        least = min(least, after / before if before else 1.0)
        if after < before - (before + 7) // 8:
            when = milliseconds(adjustment.tick.time)
            faults.append(f"the period fell from {before} to {after} in the tick at {when}")
    if not judged:
        return inconclusive(STEP, "no event was adjusted", expected)
    return verdict(
        STEP,
        faults,
        measured=f"{judged} adjustments, the steepest to {least:.4f} of the period",
        expected=expected,
        metrics={"adjustments": judged, "steepest": round(least, 6)},
    )


CHECKS = (
    Check(RATE, "Does the sampling rate come to what was asked for?", judge_rate),
    Check(STEP, "Does the period fall no faster than the kernel's filter allows?", judge_step),
)
