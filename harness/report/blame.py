# SPDX-License-Identifier: MIT
"""What each verdict is to a machine that reads: red is what the candidate is blamed for.

What fails on both is no failure there, and so is what was not measured, where another says why.
"""

from dataclasses import dataclass

from harness.checks import ALWAYS
from harness.model import HEALTH, Change, RunResult, Status
from harness.report.table import Row, by_scenario, rows

# What a guest is asked whatever its scenario: these say why the rest was not measured.
_GIVEN = (HEALTH, *ALWAYS)


@dataclass(frozen=True)
class Case:
    """A check of the candidate in a scenario, and what it counts as.

    `still` is True for what fails on the reference as well.
    """

    row: Row
    counts_as: Status
    still: bool

    @property
    def said(self) -> str:
        """What was measured, and that it is nobody's fault, where it is."""
        measured = self.row.candidate.measured
        return f"fails on the reference as well: {measured}" if self.still else measured


def cases(result: RunResult) -> list[Case]:
    """A case for each row, in the order of the scenarios."""
    explained = bool(result.failures or result.ended) or not result.exercised
    found = []
    for scenario in by_scenario(rows(result)).values():
        # A guest that the kernel ended, or stopped: its own case says so.
        ended = explained or any(
            row.candidate.status is Status.FAIL for row in scenario if row.check in _GIVEN
        )
        for row in scenario:
            unmeasured = not row.measured or not row.started
            still = row.change is Change.STILL_FAILING
            left = (unmeasured and ended) or (still and not result.strict)
            found.append(Case(row, Status.SKIP if left else row.candidate.status, still))
    return found
