# SPDX-License-Identifier: MIT
"""A run's results as KTAP: a test for each scenario, whose subtests are the checks.

The format is that of Documentation/dev-tools/ktap.rst in the kernel, version 1.
"""

from harness.machine.crash import clean
from harness.model import RunResult, Status
from harness.report.blame import Case, cases

_VERSION = "KTAP version 1"
_OK = {Status.PASS: "", Status.SKIP: " # SKIP"}
_INDENT = "  "
_EVIDENCE = 5


def _words(text: str) -> str:
    """One line, without what would begin a directive or drive a terminal."""
    return " ".join(clean(text.encode()).replace("#", "%").split())


def _result(number: int, name: str, status: Status, said: str, *, still: bool) -> str:
    """A test case result line."""
    name = _words(name)
    if still and status is Status.SKIP:
        return f"ok {number} {name} # XFAIL {_words(said)}"
    if status in _OK:
        why = f"{_OK[status]} {_words(said)}" if status is Status.SKIP else ""
        return f"ok {number} {name}{why}"
    if status is Status.FAIL:
        return f"not ok {number} {name} # {_words(said)}"
    return f"not ok {number} {name} # ERROR {_words(said)}"


def _check(number: int, case: Case) -> list[str]:
    """The result line of a check, below what was seen."""
    verdict = case.row.candidate
    seen = verdict.evidence[:_EVIDENCE] if verdict.status is not Status.PASS else ()
    lines = [f"# {case.row.check}: {_words(text)}" for text in seen]
    return [*lines, _result(number, case.row.check, case.counts_as, case.said, still=case.still)]


def _worst(members: list[Case]) -> Status:
    """A test fails if one of its subtests does, and is skipped if all are."""
    found = {case.counts_as for case in members}
    order = (Status.FAIL, Status.ERROR, Status.INCONCLUSIVE, Status.PASS)
    return next((status for status in order if status in found), Status.SKIP)


def render(result: RunResult) -> str:
    """The document; a run that ended before its guests is one test that failed."""
    groups: dict[str, list[Case]] = {}
    for case in cases(result):
        groups.setdefault(case.row.scenario, []).append(case)
    whole = bool(result.failures) or not result.exercised
    lines = [_VERSION, f"1..{len(groups) + whole}", f"# {_words(result.headline)}"]
    for number, (scenario, members) in enumerate(groups.items(), 1):
        inner = [_VERSION, f"1..{len(members)}"]
        for position, case in enumerate(members, 1):
            inner += _check(position, case)
        lines += [f"{_INDENT}{line}" for line in inner]
        lines.append(_result(number, scenario, _worst(members), "", still=False).rstrip(" #"))
    if whole:
        status = Status.SKIP if result.status is Status.PASS else result.status
        lines.append(_result(len(groups) + 1, "run", status, result.headline, still=False))
    return "\n".join(lines) + "\n"
