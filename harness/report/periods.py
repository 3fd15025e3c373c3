# SPDX-License-Identifier: MIT
"""The periods of perf record's samples over time, reference and candidate on the same axes."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor, log10

from harness.checks.adjustments import adjustments
from harness.guest.records import Records
from harness.guest.tool_records import Period

WIDTH, HEIGHT = 560, 160
_DRAWN = 4000


@dataclass(frozen=True)
class Side:
    """One cell: its samples as a line to draw, and what its callback log counts."""

    samples: int
    adjustments: int
    releases: int
    shortest: int
    longest: int
    points: str
    released: tuple[float, ...]


@dataclass(frozen=True)
class Chart:
    """One scenario: sides by subject, on axes that they share."""

    sides: dict[str, Side]
    duration_ms: float
    decades: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class _Axes:
    """Time from the first sample, to the right; the period's decades, upwards."""

    duration: int
    low: int
    high: int

    def x(self, time: int) -> float:
        return round(WIDTH * time / max(1, self.duration), 1)

    def y(self, period: int) -> float:
        share = (log10(max(1, period)) - self.low) / max(1, self.high - self.low)
        return round(HEIGHT * (1 - share), 1)


def chart(records: Mapping[str, Records]) -> Chart | None:
    """The chart of one scenario, from the records of its cells by subject; None without samples."""
    sampled = {subject: held.of(Period) for subject, held in records.items()}
    sampled = {subject: samples for subject, samples in sampled.items() if samples}
    if not sampled:
        return None
    every = [sample.period for samples in sampled.values() for sample in samples]
    axes = _Axes(
        duration=max(samples[-1].time - samples[0].time for samples in sampled.values()),
        low=floor(log10(max(1, min(every)))),
        high=ceil(log10(max(10, *every))),
    )
    sides = {
        subject: _side(records[subject], samples, axes) for subject, samples in sampled.items()
    }
    decades = tuple((10**power, axes.y(10**power)) for power in range(axes.low, axes.high + 1))
    return Chart(sides, axes.duration / 1e6, decades)


def _side(records: Records, samples: list[Period], axes: _Axes) -> Side:
    found = adjustments(records)
    released = [call for one in found for call in one.calls if call.call == "del"]
    begin = samples[0].time
    drawn = samples[:: ceil(len(samples) / _DRAWN)]
    return Side(
        samples=len(samples),
        adjustments=len(found),
        releases=len(released),
        shortest=min(sample.period for sample in samples),
        longest=max(sample.period for sample in samples),
        points=" ".join(f"{axes.x(one.time - begin)},{axes.y(one.period)}" for one in drawn),
        released=tuple(axes.x(call.time - begin) for call in released[:_DRAWN]),
    )
