# SPDX-License-Identifier: MIT
"""A run's results as rows: scenario x check, the reference beside the candidate."""

import re
from dataclasses import dataclass

from harness.model import (
    NOT_MEASURED,
    CellResult,
    Change,
    GuestEnd,
    Role,
    RunResult,
    Status,
    Verdict,
)
from harness.verdict.blame import change

# A word as shlex.quote() and bash's $'' have it.
_WHICH = re.compile(r"--(?:scenario|reproducer) (?:\$?'(?:[^'\\]|\\.)*'|\S+)")


@dataclass(frozen=True)
class Row:
    """One check in one scenario; `reference` is None where nothing is compared.

    `started` is False if nobody got as far as the candidate's guest; `seconds` are those of
    each role's guests, None for what was not run again.
    """

    scenario: str
    check: str
    reference: Verdict | None
    candidate: Verdict
    change: Change | None
    started: bool
    repeat: str
    seconds: dict[Role, float | None]

    @property
    def measured(self) -> bool:
        """False if the candidate's guest did not get so far: its health says why."""
        return not self.candidate.measured.startswith(NOT_MEASURED)

    @property
    def is_cost(self) -> bool:
        """True for a cost, beside the reference's."""
        return "change" in self.candidate.metrics

    @property
    def quiet(self) -> bool:
        """True if there is nothing to look at: both passed, and no cost moved."""
        both = (self.reference, self.candidate)
        passed = all(verdict is None or verdict.status is Status.PASS for verdict in both)
        return passed and not self.candidate.metrics.get("change")


def subject_names(result: RunResult) -> dict[Role, str]:
    """The names of the reference, if there is one, and of the candidate."""
    return {cell.cell.role: cell.cell.subject for cell in result.cells}


def rows(result: RunResult) -> list[Row]:
    """All rows, in the plan's order."""
    references = {
        cell.cell.scenario: cell for cell in result.cells if cell.cell.role is Role.REFERENCE
    }
    found = []
    for cell in result.cells:
        if cell.cell.role is Role.CANDIDATE:
            found += _cell_rows(cell, references.get(cell.cell.scenario))
    return found


def repeats(result: RunResult) -> list[str]:
    """The command that repeats what is the candidate's fault, or does not decide.

    One for all scenarios and reproducers, where their commands differ in nothing else.
    """
    blamed = (Change.BROKEN, Change.UNDECIDED, None)
    wanted = [
        row.repeat
        for row in rows(result)
        if row.candidate.status not in (Status.PASS, Status.SKIP)
        and row.change in blamed
        and row.measured
        and row.started
    ]
    together: dict[tuple[str, str], list[str]] = {}
    for command in dict.fromkeys(wanted):
        which = _WHICH.search(command)
        if which is None:
            together[command, ""] = []
            continue
        around = command[: which.start()], command[which.end() :]
        together.setdefault(around, []).append(which[0])
    return [f"{before}{' '.join(names)}{rest}" for (before, rest), names in together.items()]


def by_scenario(shown: list[Row]) -> dict[str, list[Row]]:
    """Rows by their scenario, in order."""
    found: dict[str, list[Row]] = {}
    for row in shown:
        found.setdefault(row.scenario, []).append(row)
    return found


def times(all_rows: list[Row]) -> str:
    """How long a scenario's guests took, each role's; `stored` for what was not run again."""
    taken = all_rows[0].seconds.values()
    return " / ".join("stored" if seconds is None else f"{seconds:.1f} s" for seconds in taken)


def counts(verdicts: list[Verdict | None]) -> dict[str, int]:
    """How many verdicts there are of each status that there is, from best to worst."""
    present = [verdict.status for verdict in verdicts if verdict is not None]
    return {status.value: present.count(status) for status in Status if status in present}


def tally(verdicts: list[Verdict | None]) -> str:
    """The counts as a person reads them: `9 pass, 1 fail`."""
    return ", ".join(f"{number} {status}" for status, number in counts(verdicts).items())


def _cell_rows(candidate: CellResult, reference: CellResult | None) -> list[Row]:
    before = {verdict.check: verdict for verdict in reference.verdicts} if reference else {}
    return [
        Row(
            scenario=candidate.cell.scenario,
            check=verdict.check,
            reference=before.get(verdict.check),
            candidate=verdict,
            change=change(before.get(verdict.check), verdict) if reference else None,
            started=candidate.outcome.end is not GuestEnd.NOT_STARTED,
            repeat=candidate.repeat,
            seconds={
                result.cell.role: None if result.reused else result.seconds
                for result in (reference, candidate)
                if result is not None
            },
        )
        for verdict in candidate.verdicts
    ]
