# SPDX-License-Identifier: MIT
"""A run's results as JUnit XML: one test case for each check of the candidate in a scenario.

Red is what the candidate is blamed for.  The reference's verdicts are beside its own as text;
what fails on both is skipped, and so is what was not measured, where another case says why.
"""

from itertools import chain

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from harness.machine.crash import clean
from harness.model import RunResult, SeriesResult, Status, Step, StepState
from harness.report.blame import Case, cases
from harness.report.outline import changed, moved, remarks
from harness.verdict.coverage import summary

# As many lines that never ran have a property.
_NEVER = 50

_RESULTS: dict[Status, type[Failure | Error | Skipped]] = {
    Status.FAIL: Failure,
    Status.ERROR: Error,
    Status.INCONCLUSIVE: Error,
    Status.SKIP: Skipped,
}


def _case(found: Case) -> TestCase:
    """A row's case, with what became of it."""
    row, verdict = found.row, found.row.candidate
    case = TestCase(row.check, classname=row.scenario)
    lines = [f"measured: {verdict.measured}", f"expected: {verdict.expected}", *verdict.evidence]
    if row.reference and row.change:
        lines.append(f"reference: {row.reference.status.value}: {row.reference.measured}")
        lines.append(f"change: {row.change.value}")
    lines.append(f"repeat: {row.repeat}")
    text = clean("\n".join(lines).encode())
    kind = _RESULTS.get(found.counts_as)
    if kind is None:
        case.system_out = text
    else:
        result = kind(clean(found.said.encode()), verdict.status.value)
        result.text = text
        case.result = [result]
    return case


def _cases(result: RunResult) -> list[TestCase]:
    """A case for each row."""
    return [_case(found) for found in cases(result)]


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
    suite.add_testcases(list(chain(*cases)))
    suite.time = result.seconds
    document = JUnitXml("pmu-harness")
    document.add_testsuite(suite)
    text: bytes = document.tostring()  # type: ignore[no-untyped-call]
    return text.decode()


_STEPS: dict[StepState, type[Failure | Error | Skipped]] = {
    StepState.FAIL: Failure,
    StepState.ERROR: Error,
    StepState.NOT_RUN: Skipped,
    StepState.NOT_REACHED: Skipped,
}


def _step(step: Step) -> TestCase:
    """A patch of a series as a case."""
    name = step.patch.subject or step.patch.stem or step.patch.path
    case = TestCase(clean(f"{step.number}: {name}".encode()), classname="series")
    case.time = step.seconds
    lines = [step.headline, *(f"breaks {turn.check}" for turn in step.broke)]
    lines += [f"repairs {turn.check} of patch {turn.broken_by}" for turn in step.repaired]
    text = clean("\n".join([*lines, f"repeat: {step.repeat}"]).encode())
    kind = _STEPS.get(step.state)
    if kind is None:
        case.system_out = text
    else:
        result = kind(clean(step.headline.encode()), step.state.value)
        result.text = text
        case.result = [result]
    return case


def render_series(result: SeriesResult) -> str:
    """The XML document of a series: a case for each patch."""
    suite = TestSuite(result.plan)
    suite.timestamp = result.started
    suite.add_property("verdict", clean(result.headline.encode()))
    for step in result.steps:
        suite.add_testcase(_step(step))
    suite.time = result.seconds
    document = JUnitXml("pmu-harness")
    document.add_testsuite(suite)
    text: bytes = document.tostring()  # type: ignore[no-untyped-call]
    return text.decode()
