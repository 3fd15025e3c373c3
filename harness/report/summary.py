# SPDX-License-Identifier: MIT
"""A run's, or a series', results as a GitHub job summary, and as annotations of the job's log.

Workflow commands are those of "Workflow commands for GitHub Actions": `::error title=T::TEXT`,
with %, line ends and, in properties, colons and commas written as %XX.
"""

from collections.abc import Iterator
from html import escape

from harness.machine.crash import clean
from harness.model import Change, RunResult, SeriesResult, Status, Step, StepState
from harness.report.outline import changed, remarks, some, unbuilt
from harness.report.steps import did, title_of
from harness.report.table import repeats

_SIGNS = {
    Status.PASS: "✅",
    Status.FAIL: "❌",
    Status.ERROR: "⚠️",
    Status.SKIP: "⏭️",
    Status.INCONCLUSIVE: "⚠️",
}
_STEP_SIGNS = {
    StepState.PASS: "✅",
    StepState.FAIL: "❌",
    StepState.ERROR: "⚠️",
    StepState.NOT_RUN: "⏭️",
    StepState.NOT_REACHED: "⏭️",
}
# GitHub shows ten annotations of a kind in a step.
_ANNOTATIONS = 10


def _cell(text: str) -> str:
    """Text in a table: nothing of it is markup, HTML or a column."""
    plain = " ".join(clean(text.encode()).split())
    marks = {"|": "&#124;", "`": "&#96;", "*": "&#42;", "_": "&#95;", "[": "&#91;", "\\": "&#92;"}
    shown = escape(plain, quote=False)
    for mark, entity in marks.items():
        shown = shown.replace(mark, entity)
    return shown


def _code(text: str) -> str:
    return f"<code>{_cell(text)}</code>"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _table(*head: str) -> list[str]:
    return ["", _row(*head), _row(*("---" for _ in head))]


def render(result: RunResult) -> str:
    """The summary of a run, in GitHub's Markdown."""
    word = result.status.value.upper() if result.exercised else "NOT EXERCISED"
    lines = [f"## {_SIGNS[result.status]} {word}: {_cell(result.headline)}", "", _cell(result.plan)]
    told = changed(result)
    if told:
        lines += _table("change", "check", "scenarios", "reference", "candidate")
        for one in told:
            where = _cell(some(one.scenarios))
            said = (_cell(one.reference), _cell(one.candidate))
            lines.append(_row(one.change.value, _code(one.check), where, *said))
    left = unbuilt(result)
    if left:
        lines += _table("file", "is", "why")
        lines += [_row(_code(file.path), file.part.value, _cell(file.why)) for file in left]
    lines += [f"\n> {kind}: {_cell(text)}" for kind, text in remarks(result)]
    lines += [f"\n<pre>{escape(clean(text.encode()))}</pre>" for text in result.failures]
    for command in repeats(result):
        lines += ["", f"Repeat it: {_code(command)}"]
    return "\n".join(lines) + "\n"


def render_series(result: SeriesResult) -> str:
    """The summary of a series: a row for each patch."""
    word = result.status.value.upper()
    lines = [f"## {_SIGNS[result.status]} {word}: {_cell(result.headline)}", "", _cell(result.plan)]
    lines += _table("#", "patch", "verdict", "what it did")
    for step in result.steps:
        said = "<br>".join(_cell(text) for text in did(step))
        verdict = f"{_STEP_SIGNS[step.state]} {step.state.value}"
        lines.append(_row(str(step.number), _cell(title_of(step)), verdict, said))
    lines += [f"\nRepeat {step.number}: {_code(step.repeat)}" for step in _bad(result)]
    return "\n".join(lines) + "\n"


def _bad(result: SeriesResult) -> list[Step]:
    return [step for step in result.steps if step.repeat]


def _data(text: str) -> str:
    """Text of a workflow command."""
    plain = clean(text.encode())
    return plain.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _command(kind: str, title: str, text: str) -> str:
    name = _data(title).replace(":", "%3A").replace(",", "%2C")
    return f"::{kind} title={name}::{_data(text)}"


def annotations(result: RunResult) -> Iterator[str]:
    """A line for what the candidate broke, or what does not decide."""
    kinds = {Change.BROKEN: "error", Change.UNDECIDED: "warning"}
    if result.failures or not result.exercised:
        yield _command(_kind(result.status), "pmu-harness", result.headline)
        return
    told = [one for one in changed(result) if one.change in kinds]
    for one in told[:_ANNOTATIONS]:
        text = f"{some(one.scenarios)}: {one.reference} -> {one.candidate}"
        yield _command(kinds[one.change], f"{one.change.value} {one.check}", text)
    if not told and result.status is not Status.PASS:
        yield _command(_kind(result.status), "pmu-harness", result.headline)


def annotations_of_series(result: SeriesResult) -> Iterator[str]:
    """A line for each patch that is at fault or without a verdict."""
    bad = [step for step in result.steps if step.state in (StepState.FAIL, StepState.ERROR)]
    for step in bad[:_ANNOTATIONS]:
        kind = "error" if step.state is StepState.FAIL else "warning"
        text = "\n".join(did(step)) or step.headline
        yield _command(kind, f"patch {step.number}: {title_of(step)}", text)


def _kind(status: Status) -> str:
    return {Status.FAIL: "error", Status.PASS: "notice"}.get(status, "warning")
