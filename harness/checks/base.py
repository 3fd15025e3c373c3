# SPDX-License-Identifier: MIT
"""What a check is given, and how it says what it found."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness.guest.records import Clock, Records
from harness.model import Machine, Scenario, Status, Verdict


@dataclass(frozen=True)
class Observation:
    """The records of one cell, where they were made, and by which kernel release."""

    records: Records
    machine: Machine
    scenario: Scenario
    version: str

    @property
    def tick_ns(self) -> int:
        """From one tick to the next, as the guest's clock tells it.

        Earlier guests did not say; theirs was CONFIG_HZ_1000.
        """
        clocks = self.records.of(Clock)
        return clocks[0].tick_ns if clocks else 1_000_000


Judge = Callable[[Observation, Observation | None], Verdict]
# Numbers by what they are of; none where nothing was measured.
Measure = Callable[[Observation], Mapping[str, float]]


# The bound where a guest has few opportunities: eight guests with one each come to 0.31.
FEW = 0.35
# Where all scenarios are asked, of which many have none: no violation is a pass.
ANY = 1.0


@dataclass(frozen=True)
class Property:
    """What no noise of a host can upset: one violation in any repetition is a fail.

    `of` is the metric that says how many opportunities there were.  They are added up, and
    a pass takes so many that the rate of violations is at most `most`: the upper bound of
    Clopper and Pearson.
    """

    of: str
    most: float = 0.05

    @property
    def name(self) -> str:
        """As a person reads it."""
        return f"property; Clopper-Pearson, at most {self.most:.0%}"


@dataclass(frozen=True)
class Recurrence:
    """A property that noise can upset: a fail only if violated in each repetition.

    If in some only, it is not decided; the exact binomial test against one half says how
    many repetitions that takes.
    """

    name: str = "exact binomial test"


@dataclass(frozen=True)
class Equivalence:
    """Deviations, as shares of what is expected, that lie within the machine's tolerance.

    Each repetition measures one of each kind; Wilcoxon's signed-rank test, both sides.
    """

    measure: Measure
    name: str = "Wilcoxon signed-rank test"


@dataclass(frozen=True)
class NoMore:
    """A cost that is no higher than the reference's, but for the machine's tolerance.

    Each repetition measures one in `unit`; Mann and Whitney's U test.
    """

    measure: Measure
    unit: str
    name: str = "Mann-Whitney U test"


Test = Property | Recurrence | Equivalence | NoMore


@dataclass(frozen=True)
class Check:
    """A question about an observation; some compare with the reference's.

    `judge` answers it where runs are exact; `test` says how the answers of repetitions are
    put together (harness/verdict/repetitions.py), and what is measured where `==` says nothing.
    """

    name: str
    question: str
    judge: Judge
    test: Test


def milliseconds(ns: int) -> str:
    """A time of the guest's as a person reads it."""
    return f"{ns / 1e6:.3f} ms"


def verdict(
    check: str,
    faults: Sequence[str],
    *,
    measured: str,
    expected: str,
    metrics: dict[str, int | float] | None = None,
) -> Verdict:
    """Pass without faults, else fail with all of them as evidence."""
    return Verdict(
        check=check,
        status=Status.FAIL if faults else Status.PASS,
        measured=measured,
        expected=expected,
        evidence=tuple(faults),
        metrics=metrics or {},
    )


def named(names: Mapping[int, str], event: int) -> str:
    """An event as a person knows it."""
    return f"{names.get(event, 'event')} (id {event})"


def inconclusive(check: str, measured: str, expected: str) -> Verdict:
    """Valid data that does not decide."""
    return Verdict(check=check, status=Status.INCONCLUSIVE, measured=measured, expected=expected)


def disagreement(check: str, faults: Sequence[str], expected: str) -> Verdict:
    """Two witnesses that contradict each other: an error that shows both."""
    return Verdict(
        check=check,
        status=Status.ERROR,
        measured="the witnesses disagree",
        expected=expected,
        evidence=tuple(faults),
    )
