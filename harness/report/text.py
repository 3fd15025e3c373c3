# SPDX-License-Identifier: MIT
"""A run's results for a terminal or a log."""

from rich.console import Console, ConsoleRenderable, Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.judge import HEALTH
from harness.machine.crash import clean
from harness.model import Role, RunResult, Status, Verdict
from harness.report.table import Row, rows, subject_names

STYLES = {
    Status.PASS: "green",
    Status.SKIP: "cyan",
    Status.INCONCLUSIVE: "yellow",
    Status.ERROR: "magenta",
    Status.FAIL: "bold red",
}


_EVIDENCE_LINES = 4


def safe(text: str) -> str:
    """Guest-made text without what would drive a terminal."""
    return escape(clean(text.encode()))


def _said(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    style = STYLES[verdict.status]
    return f"[{style}]{verdict.status.value}[/] {safe(verdict.measured)}"


def _table(result: RunResult, shown: list[Row]) -> Table:
    names = subject_names(result)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("scenario", no_wrap=True)
    table.add_column("check", no_wrap=True)
    if Role.REFERENCE in names:
        table.add_column(f"reference {names[Role.REFERENCE]}", overflow="fold")
    table.add_column(f"candidate {names[Role.CANDIDATE]}", overflow="fold")
    table.add_column("expected", overflow="fold")
    last = ""
    for row in shown:
        cells = ["" if row.scenario == last else row.scenario, row.check]
        if Role.REFERENCE in names:
            cells.append(_said(row.reference))
        cells += [_said(row.candidate), safe(row.candidate.expected)]
        table.add_row(*cells)
        last = row.scenario
    return table


def _evidence(result: RunResult) -> list[str]:
    """What was seen where something is not as it should be, for each subject and check once."""
    lines = []
    for cell in result.cells:
        for verdict in cell.verdicts:
            if verdict.status is Status.PASS or not verdict.evidence:
                continue
            style = STYLES[verdict.status]
            title = f"{cell.cell.id}  {verdict.check}"
            lines.append(f"[{style}]{verdict.status.value}[/]  [bold]{safe(title)}[/]")
            lines += [f"    {safe(line)}" for line in verdict.evidence[:_EVIDENCE_LINES]]
    return lines


def _repeats(result: RunResult) -> list[str]:
    """The command for each of the candidate's cells that did not pass."""
    wanted = dict.fromkeys(
        row.repeat for row in rows(result) if row.candidate.status is not Status.PASS
    )
    return list(wanted)


def render(result: RunResult, folder: str, *, full: bool = True) -> ConsoleRenderable:
    """Table, evidence, headline, and where the rest is."""
    shown = [row for row in rows(result) if full or not row.quiet]
    shown = [row for row in shown if row.check == HEALTH or row.measured]
    parts: list[ConsoleRenderable] = [_table(result, shown), Text("")]
    evidence = _evidence(result)
    if evidence:
        parts += [Text.from_markup(line) for line in evidence]
        parts.append(Text(""))
    for failure in result.failures:
        parts.append(Text.from_markup(safe(failure)))
    style = STYLES[result.status]
    word = result.status.value.upper()
    parts.append(Text.from_markup(f"[{style}]{word}[/]  {safe(result.headline)}"))
    parts.append(Text.from_markup(f"[dim]evidence:[/] {safe(folder)}"))
    for command in _repeats(result):
        parts.append(Text.from_markup(f"[dim]repeat:[/]   {safe(command)}"))
    return Group(*parts)


def show(console: Console, result: RunResult, folder: str, *, full: bool = True) -> None:
    """Print the report; where nobody looks at a terminal, lines are not folded."""
    if not console.is_terminal:
        console = Console(file=console.file, width=240, no_color=True, highlight=False)
    console.print(render(result, folder, full=full), highlight=False)
