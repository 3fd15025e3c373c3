# SPDX-License-Identifier: MIT
"""What became of a check over time."""

from harness.model.base import Frozen
from harness.model.verdict import Status


class Point(Frozen):
    """What one run said."""

    started: str
    folder: str
    status: Status
    measured: str
    metrics: dict[str, int | float] = {}


class Trend(Frozen):
    """A check of one subject in one scenario on one machine, from the oldest run on."""

    check: str
    kernel: str
    subject: str
    machine: str
    scenario: str
    points: tuple[Point, ...]
