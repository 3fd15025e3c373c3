# SPDX-License-Identifier: MIT
"""A run's results as JUnit XML: one test case for each check of the candidate in a scenario.

Red is what the candidate is blamed for.  The reference's verdicts are beside its own as text;
what fails on both is skipped, and so is what was not measured, where another case says why.
"""

from itertools import chain

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from harness.checks import ALWAYS
from harness.machine.crash import clean
from harness.model import Change, RunResult, Status
from harness.report.outline import changed, moved, remarks
from harness.report.table import Row, by_scenario, rows
from harness.verdict.coverage import summary
from harness.verdict.judge import HEALTH

# What a guest is asked whatever its scenario: these say why the rest was not measured.
_GIVEN = (HEALTH, *ALWAYS)

# As many lines that never ran have a property.
_NEVER = 50

_RESULTS: dict[Status, type[Failure | Error | Skipped]] = {
    Status.FAIL: Failure,
    Status.ERROR: Error,
    Status.INCONCLUSIVE: Error,
    Status.SKIP: Skipped,
}


def _case(row: Row, *, kind: type[Failure | Error | Skipped] | None) -> TestCase:
    """A row's case, with what became of it: passed where `kind` is None."""
    case = TestCase(row.check, classname=row.scenario)
    verdict = row.candidate
    lines = [f"measured: {verdict.measured}", f"expected: {verdict.expected}", *verdict.evidence]
    if row.reference and row.change:
        lines.append(f"reference: {row.reference.status.value}: {row.reference.measured}")
        lines.append(f"change: {row.change.value}")
    lines.append(f"repeat: {row.repeat}")
    text = clean("\n".join(lines).encode())
    if kind is None:
        case.system_out = text
    else:
        still = row.change is Change.STILL_FAILING
        said = f"fails on the reference as well: {verdict.measured}" if still else verdict.measured
        result = kind(clean(said.encode()), verdict.status.value)
        result.text = text
        case.result = [result]
    return case


def _cases(result: RunResult) -> list[TestCase]:
    """A case for each row."""
    explained = bool(result.failures) or not result.exercised
    cases = []
    for scenario in by_scenario(rows(result)).values():
        # A guest that the kernel ended, or stopped: its own case says so.
        ended = explained or any(
            row.candidate.status is Status.FAIL for row in scenario if row.check in _GIVEN
        )
        for row in scenario:
            unmeasured = not row.measured or not row.started
            still = row.change is Change.STILL_FAILING and not result.strict
            kind = _RESULTS.get(row.candidate.status)
            cases.append(_case(row, kind=Skipped if (unmeasured and ended) or still else kind))
    return cases


def _unexercised(result: RunResult) -> list[TestCase]:
    """A case that says that nothing was judged."""
    if result.exercised:
        return []
    case = TestCase("run", classname="run")
    kind = Skipped if result.status is Status.PASS else Error
    found = kind(clean(result.headline.encode()), "not exercised")
    files = [f"{file.path}: {file.part.value}: {file.why}" for file in result.touched]
    found.text = clean("\n".join(files).encode())
    case.result = [found]
    return [case]


def _claims(result: RunResult) -> list[TestCase]:
    cases = []
    for check, held in result.claim.items():
        case = TestCase(check, classname="claim")
        if not held:
            case.result = [Failure(f"the claim does not hold for {check}", "claim")]
        cases.append(case)
    return cases


def _failures(result: RunResult) -> list[TestCase]:
    cases = []
    for failure in result.failures:
        case = TestCase("run", classname="run")
        error = Failure(result.headline) if result.status is Status.FAIL else Error(result.headline)
        error.text = clean(failure.encode())
        case.result = [error]
        cases.append(case)
    return cases


def _about_patches(result: RunResult) -> list[tuple[str, str]]:
    """Properties: what each patch is, and what was done to have it apply."""
    found = [("series", result.title)] if result.title else []
    for number, patch in enumerate(result.patches, 1):
        who = [patch.subject, patch.author, patch.message_id and f"<{patch.message_id}>"]
        found.append((f"patch {number}", ", ".join(filter(None, who)) or patch.path))
    return found + remarks(result)


def _about_coverage(result: RunResult) -> list[tuple[str, str]]:
    """Properties: how many of the changed lines ran, and which never did."""
    if result.coverage is None:
        return []
    never = [(f"never ran: {line.place}", line.function) for line in result.coverage.never]
    return [("coverage", summary(result.coverage)), *never[:_NEVER]]


def render(result: RunResult) -> str:
    """The XML document."""
    suite = TestSuite(result.plan)
    suite.timestamp = result.started
    for told in changed(result):
        suite.add_property(f"{told.change.value}: {told.check}", ", ".join(told.scenarios))
    for cost in moved(result):
        suite.add_property(f"moved: {cost.check}: {cost.scenario}", cost.measured)
    for name, value in (*_about_patches(result), *_about_coverage(result)):
        suite.add_property(clean(name.encode()), clean(value.encode()))
    cases = (_cases(result), _claims(result), _unexercised(result), _failures(result))
    for case in chain(*cases):
        suite.add_testcase(case)
    suite.time = result.seconds
    document = JUnitXml("pmu-harness")
    document.add_testsuite(suite)
    text: bytes = document.tostring()  # type: ignore[no-untyped-call]
    return text.decode()
