# SPDX-License-Identifier: MIT
"""What a reader wants to know first: what broke, what is fixed, which numbers moved."""

from collections.abc import Iterable
from dataclasses import dataclass

from harness.model import Change, Part, PatchInfo, RunResult, Status, TouchedFile
from harness.report.table import rows

# In this order they are told.
ORDER = (
    *(Change.BROKEN, Change.UNDECIDED, Change.FIXED),
    *(Change.STILL_FAILING, Change.NEW, Change.GONE),
)


@dataclass(frozen=True)
class Told:
    """What became of one check, in which scenarios; what it said of the first of them."""

    change: Change
    check: str
    scenarios: tuple[str, ...]
    reference: str
    candidate: str


@dataclass(frozen=True)
class Moved:
    """A cost that is another one than the reference's."""

    check: str
    scenario: str
    measured: str


@dataclass(frozen=True)
class Number:
    """A number that a check measured on both, and that is another one on the candidate."""

    check: str
    scenario: str
    name: str
    reference: int | float
    candidate: int | float

    @property
    def share(self) -> str:
        """By how much it moved, of the reference's."""
        if not self.reference:
            return ""
        return f"{(self.candidate - self.reference) / self.reference:+.1%}"


def changed(result: RunResult) -> list[Told]:
    """The run's changes, each check once for each kind of change, the worst first."""
    found: dict[tuple[Change, str], list[str]] = {}
    said: dict[tuple[Change, str], tuple[str, str]] = {}
    for one in result.changes:
        key = (one.change, one.check)
        found.setdefault(key, []).append(one.scenario)
        said.setdefault(key, (one.reference, one.candidate))
    told = [Told(*key, tuple(scenarios), *said[key]) for key, scenarios in found.items()]
    return sorted(told, key=lambda one: ORDER.index(one.change))


def moved(result: RunResult) -> list[Moved]:
    """The costs that moved and are no failure, in the order of their scenarios."""
    return [
        Moved(row.check, row.scenario, row.candidate.measured)
        for row in rows(result)
        if row.candidate.metrics.get("change") and row.candidate.status is Status.PASS
    ]


def numbers(result: RunResult) -> list[Number]:
    """All numbers that moved, in the order of their scenarios; the costs among them."""
    return [
        Number(row.check, row.scenario, name, row.reference.metrics[name], value)
        for row in rows(result)
        if row.reference
        for name, value in row.candidate.metrics.items()
        if row.reference.metrics.get(name, value) != value
    ]


def unbuilt(result: RunResult) -> list[TouchedFile]:
    """The changed files that are not in a guest."""
    inside = (Part.IMAGE, Part.SELFTESTS)
    return [file for file in result.touched if file.part not in inside]


def patches(result: RunResult) -> list[PatchInfo]:
    """The candidate's patches, where anything is known of them but their files."""
    return [patch for patch in result.patches if patch.subject or patch.notes or patch.warnings]


def remarks(result: RunResult) -> list[tuple[str, str]]:
    """(kind, text) of what was done with the patches: warnings first, then notes."""
    several = len(result.patches) > 1

    def told(patch: PatchInfo, text: str) -> str:
        return f"{patch.subject or patch.path}: {text}" if several else text

    found = [
        (kind, told(patch, text))
        for kind in ("warning", "note")
        for patch in result.patches
        for text in (patch.warnings if kind == "warning" else patch.notes)
    ]
    return [*found, *(("note", note) for note in result.notes)]


def some(names: Iterable[str], number: int = 3) -> str:
    """The first few names, and how many more there are."""
    listed = list(names)
    more = len(listed) - number
    return ", ".join(listed[:number]) + (f" and {more} more" if more > 0 else "")
