# SPDX-License-Identifier: MIT
"""What a check is given, and how it says what it found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.guest.records import Records
from harness.model import Machine, Scenario, Status, Verdict

EVIDENCE_LINES = 5


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
    """Pass without faults, else fail with the first of them as evidence."""
    evidence = list(faults[:EVIDENCE_LINES])
    if len(faults) > len(evidence):
        evidence.append(f"... and {len(faults) - len(evidence)} more")
    return Verdict(
        check=check,
        status=Status.FAIL if faults else Status.PASS,
        measured=measured,
        expected=expected,
        evidence=tuple(evidence),
        metrics=metrics or {},
    )


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
        evidence=tuple(faults[:EVIDENCE_LINES]),
    )
