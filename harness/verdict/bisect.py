# SPDX-License-Identifier: MIT
"""What a bisection looks for, and what it takes a commit for."""

from collections.abc import Sequence

from harness.model import Change, Role, RunResult, Status, Trying
from harness.verdict.compare import compare
from harness.verdict.steps import BUILDS

Wanted = tuple[tuple[str, str], ...]


def unbuilt(result: RunResult) -> bool:
    """True if a kernel was not made, and that is its own fault."""
    return bool(result.failures) and result.status is Status.FAIL


def wanted(good: RunResult, bad: RunResult, checks: Sequence[str] = ()) -> Wanted:
    """(scenario, check) of what the bad end fails and the good one does not.

    Only those of `checks` or of their families, where any are named; for a kernel that does
    not build, that.
    """
    if unbuilt(bad):
        return (("", BUILDS),)
    return tuple(
        (one.scenario, one.check)
        for one in compare(good, bad).changes
        if one.change is Change.BROKEN and _asked(one.check, checks)
    )


def _asked(check: str, checks: Sequence[str]) -> bool:
    return not checks or any(check == name or check.startswith(f"{name}.") for name in checks)


def taken(good: RunResult, result: RunResult, looked_for: Wanted) -> Trying:
    """What a commit is taken for: bad if it fails any of what is looked for.

    To be skipped is what does not build or boot, where that is not what is looked for, and
    what was not measured.
    """
    if ("", BUILDS) in looked_for:
        return Trying.BAD if unbuilt(result) else Trying.GOOD
    if result.failures:
        return Trying.SKIP
    changed = {(one.scenario, one.check): one.change for one in compare(good, result).changes}
    if any(changed.get(key) is Change.BROKEN for key in looked_for):
        return Trying.BAD
    said = {
        (cell.cell.scenario, verdict.check): verdict.status
        for cell in result.cells
        if cell.cell.role is Role.CANDIDATE
        for verdict in cell.verdicts
    }
    decided = (Status.PASS, Status.FAIL)
    measured = all(said.get(key) in decided for key in looked_for)
    return Trying.GOOD if measured else Trying.SKIP
