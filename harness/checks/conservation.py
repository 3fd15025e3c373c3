# SPDX-License-Identifier: MIT
"""Conservation: no count is lost, made up or hidden while a period is adjusted."""

from itertools import pairwise

from harness.checks.base import Check, Observation, inconclusive, milliseconds, verdict
from harness.guest.records import Read, Sample
from harness.model import Verdict

TWIN = "conservation.twin"
GROWTH = "conservation.growth"
TIMES = "conservation.times"

# Times come from a clock of 62.5 MHz (Arm's generic timer as QEMU has it).
_CLOCK_STEP_NS = 16


def _points(observation: Observation) -> list[Read | Sample]:
    """All reads of the target's group, its samples' included, in the order of time."""
    records = observation.records
    points: list[Read | Sample] = [*records.of(Read), *records.of(Sample)]
    return sorted(points, key=lambda point: (point.enabled, point.value))


def judge_twin(observation: Observation, _: Observation | None) -> Verdict:
    """A counting twin in the same group keeps a constant distance to the target."""
    expected = "a constant difference to the counting twin"
    points = _points(observation)
    if len(points) < 2:
        return inconclusive(TWIN, f"{len(points)} reads", expected)
    first = points[0].value - points[0].twin
    faults = [
        f"at {milliseconds(point.time)} the target counted {point.value} and its twin "
        f"{point.twin}: difference {point.value - point.twin}, at first {first}"
        for point in points
        if point.value - point.twin != first
    ]
    differences = [point.value - point.twin for point in points]
    return verdict(
        TWIN,
        faults,
        measured=f"difference {min(differences)} to {max(differences)} in {len(points)} reads, "
        f"{points[-1].value} counted",
        expected=expected,
        metrics={"reads": len(points), "least": min(differences), "most": max(differences)},
    )


def judge_growth(observation: Observation, _: Observation | None) -> Verdict:
    """Counts grow, no faster than the CPU; the samples' periods do not exceed the count."""
    expected = "counts grow, at most one for each cycle; sum of periods <= count"
    points = _points(observation)
    if len(points) < 2:
        return inconclusive(GROWTH, f"{len(points)} reads", expected)
    faults = []
    rate = observation.machine.cycles_per_ns
    for before, after in pairwise(points):
        grown = after.value - before.value
        most = (after.enabled - before.enabled + _CLOCK_STEP_NS) * rate
        if not 0 <= grown <= most:
            faults.append(
                f"the count went from {before.value} to {after.value} in "
                f"{after.enabled - before.enabled} ns, by {milliseconds(after.time)}"
            )
    periods = sum(sample.period for sample in observation.records.of(Sample))
    total = max(point.value for point in points)
    if periods > total:
        faults.append(f"the samples' periods sum up to {periods}, the count is {total}")
    return verdict(
        GROWTH,
        faults,
        measured=f"{len(faults)} leaps in {len(points)} reads; periods {periods} of {total}",
        expected=expected,
        metrics={"reads": len(points), "periods": periods, "count": total},
    )


def judge_times(observation: Observation, _: Observation | None) -> Verdict:
    """Enabled equals running: counters suffice, so the event was always on one."""
    expected = "time_running == time_enabled"
    points = _points(observation)
    if not points:
        return inconclusive(TIMES, "no reads", expected)
    faults = [
        f"at {milliseconds(point.time)}: enabled {point.enabled} ns, running {point.running} ns"
        for point in points
        if point.enabled != point.running
    ]
    last = max(points, key=lambda point: point.enabled)
    return verdict(
        TIMES,
        faults,
        measured=f"running {last.running} of {last.enabled} ns",
        expected=expected,
        metrics={"enabled_ns": last.enabled, "running_ns": last.running},
    )


CHECKS = (
    Check(TWIN, "Does the event count what a twin counts that is not adjusted?", judge_twin),
    Check(GROWTH, "Do counts only grow, and never leap?", judge_growth),
    Check(TIMES, "Was the event on a counter all the time?", judge_times),
)
