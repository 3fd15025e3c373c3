# SPDX-License-Identifier: MIT
"""What a check is given, and how it says what it found."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness.guest.records import Records
from harness.model import Machine, Scenario, Status, Verdict


@dataclass(frozen=True)
class Observation:
    """The records of one cell, and where they were made."""

    records: Records
    machine: Machine
    scenario: Scenario


Judge = Callable[[Observation, Observation | None], Verdict]


@dataclass(frozen=True)
class Check:
    """A question about an observation; some compare with the reference's."""

    name: str
    question: str
    judge: Judge


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
