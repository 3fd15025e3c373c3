# SPDX-License-Identifier: MIT
"""Cost: how many guest instructions one period adjustment takes."""

from itertools import pairwise
from statistics import median

from harness.checks.base import Check, Observation, inconclusive, verdict
from harness.guest.records import Interruption
from harness.model import Verdict

COST = "cost.adjustment"


def _kernel_instructions(observation: Observation, phase: str) -> float | None:
    """Median of what the kernel executed in one tick: the time between two ticks,
    in cycles, less what user space executed in it.

    With an instruction clock this is exact but for the loop that sees the tick
    (10 instructions); the median over all ticks levels that out.
    """
    rate = observation.machine.cycles_per_ns
    marks = [mark for mark in observation.records.of(Interruption) if mark.phase == phase]
    taken = [
        (after.clock - before.clock) * 1_000_000_000 * rate // before.hz
        - (after.user - before.user)
        for before, after in pairwise(marks)
    ]
    return median(taken) if taken else None


def adjustment_cost(observation: Observation) -> float | None:
    """Instructions by which a tick is longer that adjusts one event; None if not measured."""
    baseline = _kernel_instructions(observation, "baseline")
    adjusting = _kernel_instructions(observation, "adjusting")
    if baseline is None or adjusting is None:
        return None
    return adjusting - baseline


def judge_cost(observation: Observation, reference: Observation | None) -> Verdict:
    """An adjustment costs no more than the reference's, within `cost_tolerance`."""
    mine = adjustment_cost(observation)
    theirs = adjustment_cost(reference) if reference else None
    if mine is None or (reference and theirs is None):
        return inconclusive(COST, "no ticks were timed", "instructions per adjustment")
    measured = f"{mine:.0f} instructions per adjustment"
    metrics: dict[str, int | float] = {"instructions": mine}
    if theirs is None:
        return verdict(
            COST, [], measured=measured, expected="(the reference's own)", metrics=metrics
        )
    tolerance = float(observation.scenario.expect.get("cost_tolerance", 0))
    most = theirs * (1 + tolerance)
    change = mine - theirs
    metrics |= {"reference": theirs, "change": change}
    return verdict(
        COST,
        [f"{change:+.0f} instructions against the reference's {theirs:.0f}"] if mine > most else [],
        measured=f"{measured} ({change:+.0f})",
        expected=f"at most {most:.0f} (reference {theirs:.0f})",
        metrics=metrics,
    )


CHECKS = (Check(COST, "What does one adjustment cost, in guest instructions?", judge_cost),)
