# SPDX-License-Identifier: MIT
"""Known issues of a person's: errata of their own, each with a reason, a link and an expiry."""

import re
from collections.abc import Callable, Container, Sequence
from datetime import date
from pathlib import Path

from harness.ask.catalog import load_yaml, nearest, parse_row
from harness.errors import PlanError
from harness.model import Erratum, KnownIssue


def known_issues(
    files: Sequence[Path],
    say: Callable[[str], None],
    *,
    taken: Container[str] = (),
    today: date | None = None,
) -> tuple[Erratum, ...]:
    """What the rows of such files excuse; of one that has expired nothing, which is said.

    Raises PlanError for a row that is none, and for a name that is `taken`.
    """
    now = today or date.today()
    found: dict[str, Erratum] = {}
    for path in files:
        rows = load_yaml(path) or {}
        if not isinstance(rows, dict):
            raise PlanError(f"{path} holds no mapping", evidence=path)
        for name, data in rows.items():
            issue = parse_row(KnownIssue, data, path)
            if name in taken or name in found:
                raise PlanError(f"{path}: there is a known defect {name} already", evidence=path)
            _see_that_it_can_match(issue, name, path)
            if issue.expires < now:
                say(f"known issue {name} expired on {issue.expires}: it excuses nothing")
                continue
            found[name] = issue.erratum(str(name))
    return tuple(found.values())


def _see_that_it_can_match(issue: KnownIssue, name: str, path: Path) -> None:
    """Raise PlanError for a check that there is not, or what is no regular expression."""
    from harness.checks import CHECKS  # noqa: PLC0415 (takes long)

    try:
        re.compile(issue.matching)
    except re.error as error:
        raise PlanError(f"{path}: {name}: no regular expression", why=str(error)) from error
    for check in (check for checks in issue.excuses.values() for check in checks):
        if check not in CHECKS:
            raise PlanError(f"{path}: {name}: unknown check {check}{nearest(check, [*CHECKS])}")
