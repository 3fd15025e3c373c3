# SPDX-License-Identifier: MIT
"""A run's results as JUnit XML: one test case for each check of the candidate in a scenario.

The reference's verdicts are beside them as text: a reference that fails where
it is expected to must not turn a CI job red.
"""

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from harness.machine.crash import clean
from harness.model import RunResult, Status
from harness.report.table import Row, rows

_RESULTS = {
    Status.FAIL: Failure,
    Status.ERROR: Error,
    Status.INCONCLUSIVE: Error,
    Status.SKIP: Skipped,
}


def _case(row: Row) -> TestCase:
    case = TestCase(row.check, classname=row.scenario)
    verdict = row.candidate
    lines = [f"measured: {verdict.measured}", f"expected: {verdict.expected}", *verdict.evidence]
    if row.reference:
        lines.append(f"reference: {row.reference.status.value}: {row.reference.measured}")
    lines.append(f"repeat: {row.repeat}")
    text = clean("\n".join(lines).encode())
    if verdict.status is Status.PASS:
        case.system_out = text
    else:
        kind = _RESULTS[verdict.status]
        result = kind(clean(verdict.measured.encode()), verdict.status.value)
        result.text = text
        case.result = [result]
    return case


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


def render(result: RunResult) -> str:
    """The XML document."""
    suite = TestSuite(result.plan)
    suite.timestamp = result.started
    for case in [*map(_case, rows(result)), *_claims(result), *_failures(result)]:
        suite.add_testcase(case)
    suite.time = result.seconds
    document = JUnitXml("pmu-harness")
    document.add_testsuite(suite)
    text: bytes = document.tostring()  # type: ignore[no-untyped-call]
    return text.decode()
