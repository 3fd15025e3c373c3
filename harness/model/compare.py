# SPDX-License-Identifier: MIT
"""What moved between two runs, and what is told of a bisection."""

from enum import Enum
from typing import Literal

from harness.model.base import Frozen
from harness.model.results import Changed
from harness.model.verdict import Status


class RunHead(Frozen):
    """Which run is compared: its candidate, what was planned, when, and what it came to."""

    subject: str
    plan: str
    started: str
    status: Status
    headline: str
    place: str = ""


class NumberMoved(Frozen):
    """A number that a check measured in both runs, and that is another one in the second.

    Where a machine's runs differ, both are medians, and chance does not explain the difference.
    """

    scenario: str
    check: str
    name: str
    before: int | float
    after: int | float


class Comparison(Frozen):
    """What moved from one run's candidate to another's: what `compare --json` prints.

    `alike` counts the verdicts that did not; `only_before` and `only_after` name the scenarios
    that one of them lacks.
    """

    schema_version: Literal[1] = 1
    before: RunHead
    after: RunHead
    status: Status
    changes: tuple[Changed, ...] = ()
    numbers: tuple[NumberMoved, ...] = ()
    only_before: tuple[str, ...] = ()
    only_after: tuple[str, ...] = ()
    alike: int = 0


class Trying(Enum):
    """What a bisection takes a commit for."""

    GOOD = "good"
    BAD = "bad"
    # Its kernel does not build or boot, or its data do not decide.
    SKIP = "skip"


class Tried(Frozen):
    """A commit that a bisection asked for; `folder` is its run's, relative to the bisection's."""

    commit: str
    subject: str
    taken: Trying
    headline: str
    folder: str


class Bisection(Frozen):
    """What a bisection came to: what `bisect.json` holds.

    `wanted` are the (scenario, check) that the bad end fails and the good one does not;
    `first_bad` is empty where only skipped commits are left, which are `suspects` then.
    """

    schema_version: Literal[1] = 1
    command: str
    good: str
    bad: str
    wanted: tuple[tuple[str, str], ...]
    tried: tuple[Tried, ...]
    first_bad: str = ""
    suspects: tuple[str, ...] = ()
    about: str = ""
    seconds: float = 0.0
