# SPDX-License-Identifier: MIT
"""A series for a terminal or a log, and as JUnit: a line for each patch."""

from rich.console import Console, ConsoleRenderable, Group
from rich.table import Table
from rich.text import Text

from harness.model import SeriesResult, Status, Step, StepState, Turn
from harness.report import terminal
from harness.report.terminal import STYLES, line
from harness.verdict.steps import named

# The longest subject that leaves room for what a patch did, on a terminal of 80 columns.
_SUBJECT = 34
STATE_STYLES = {
    StepState.PASS: STYLES[Status.PASS],
    StepState.FAIL: STYLES[Status.FAIL],
    StepState.ERROR: STYLES[Status.ERROR],
    StepState.NOT_RUN: STYLES[Status.SKIP],
    StepState.NOT_REACHED: STYLES[Status.INCONCLUSIVE],
}


def title_of(step: Step) -> str:
    """What a patch is called, without the tag of its mail."""
    name = step.patch.subject or step.patch.stem or step.patch.path
    return name.partition("] ")[2] if name.startswith("[") and "] " in name else name


def did(step: Step) -> list[str]:
    """What a patch did, a line for each kind."""
    lines = []
    broke = [turn.check for turn in step.broke]
    if broke:
        lines.append(f"breaks {named(broke)}")
    for number in dict.fromkeys(turn.broken_by for turn in step.repaired):
        checks = [turn.check for turn in step.repaired if turn.broken_by == number]
        whose = f"patch {number}'s" if number else "the base's"
        lines.append(f"repairs {whose} {named(checks)}")
    if step.moved:
        lines.append(f"{len(step.moved)} cost{'s' if len(step.moved) > 1 else ''} moved")
    lines += [f"warning: {warning}" for warning in step.patch.warnings]
    if step.state in (StepState.NOT_RUN, StepState.NOT_REACHED, StepState.ERROR):
        lines.append(step.headline)
    return lines


def upon(step: Step) -> str:
    """Against which step it was judged, where that is not the one before."""
    return f" (against {step.upon})" if step.upon not in (step.number - 1, step.number) else ""


def where(turn: Turn) -> str:
    """A check with its scenarios."""
    return f"{turn.check} in {', '.join(turn.scenarios)}" if turn.scenarios else turn.check


def _table(result: SeriesResult) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("patch", max_width=_SUBJECT, overflow="ellipsis", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("what it did", overflow="fold")
    table.add_row("0", line(f"{result.base} (base)"), "", "")
    for step in result.steps:
        bold = "bold" if step.number == result.first_bad else ""
        table.add_row(
            str(step.number),
            line((title_of(step), bold)),
            line((f"{step.state.value}{upon(step)}", STATE_STYLES[step.state])),
            line("\n".join(did(step))),
        )
    return table


def _bad(result: SeriesResult, folder: str) -> list[Text]:
    """Of each patch that fails: where, and the command that repeats it."""
    found = []
    for step in result.steps:
        if step.state not in (StepState.FAIL, StepState.ERROR):
            continue
        found.append(line((f"{step.number}  {title_of(step)}", STATE_STYLES[step.state])))
        found += [line(f"    breaks {where(turn)}") for turn in step.broke]
        found.append(line(("    evidence:", "dim"), f" {folder}/{step.folder}/report.html"))
        if step.repeat:
            found.append(line(("    repeat:", "dim"), f"   {step.repeat}"))
    return found


def _total(result: SeriesResult) -> str:
    ran, stored = (
        sum(getattr(step, name) for step in result.steps) for name in ("guests", "stored")
    )
    return f"{ran} guests, {stored} stored; {result.seconds:.0f} s in all"


def render(result: SeriesResult, folder: str) -> ConsoleRenderable:
    """The table, the bad patches, the headline, and where the rest is."""
    headline = line((result.status.value.upper(), STYLES[result.status]), f"  {result.headline}")
    return Group(
        _table(result),
        Text(""),
        *_bad(result, folder),
        headline,
        *(line(("note:", "dim"), f"     {note}") for note in result.notes),
        line(("time:", "dim"), f"     {_total(result)}"),
        line(("evidence:", "dim"), f" {folder}"),
    )


def show(console: Console, result: SeriesResult, folder: str) -> None:
    """Print it."""
    terminal.show(console, render(result, folder))
