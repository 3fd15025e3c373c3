# SPDX-License-Identifier: MIT
"""The kill matrix for a terminal or a log: saboteur x check."""

from rich.console import Console, ConsoleRenderable, Group
from rich.table import Table
from rich.text import Text

from harness.model import Kill, KillMatrix
from harness.report.text import plain, safe


def _mark(kill: Kill, check: str) -> str:
    if check in kill.turned:
        return "[green]X[/]"
    return "[bold red]![/]" if check in kill.missed else "[dim].[/]"


def _matrix(kills: tuple[Kill, ...], checks: list[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("saboteur", no_wrap=True)
    table.add_column("kernel", no_wrap=True)
    for number in range(1, len(checks) + 1):
        table.add_column(str(number), justify="right", no_wrap=True)
    for kill in kills:
        marks = [_mark(kill, check) for check in checks]
        table.add_row(kill.saboteur, kill.kernel.rpartition(":")[2], *marks)
    return table


def _explanations(matrix: KillMatrix) -> list[str]:
    """One saboteur a paragraph: what it does, and what told."""
    lines = []
    for kill in matrix.kills:
        lines.append(f"[bold]{kill.saboteur}[/] on {kill.kernel}: {safe(kill.title)}")
        lines.append(f"    {safe(kill.explanation or 'nothing told')}")
    return lines


def _survivor(kill: Kill) -> str:
    said = "killed by " + ", ".join(kill.turned) if kill.turned else "survived"
    missed = f", not by {', '.join(kill.missed)}" if kill.missed else ""
    failed = f": {kill.failures[0].splitlines()[0]}" if kill.failures else ""
    return f"{kill.saboteur} on {kill.kernel}: {said}{missed}{failed}; see {kill.evidence}"


def render(matrix: KillMatrix, folder: str) -> ConsoleRenderable:
    """Explanations, the matrix with its legend, survivors, false alarms, the sum of it."""
    checks = list(dict.fromkeys(check for kill in matrix.kills for check in kill.checks))
    legend = [f"[dim]{number:>3}[/] {check}" for number, check in enumerate(checks, 1)]
    parts: list[ConsoleRenderable] = [Text.from_markup(x) for x in _explanations(matrix)]
    parts += [Text(""), _matrix(matrix.kills, checks), Text("")]
    parts += [Text.from_markup(line) for line in legend]
    parts.append(Text.from_markup("[dim]X turned, ! meant to turn and did not[/]\n"))
    parts += [
        Text.from_markup(f"[bold red]survivor[/]  {safe(_survivor(k))}") for k in matrix.survivors
    ]
    parts += [
        Text.from_markup(f"[bold red]false alarm[/]  {safe(alarm)}")
        for alarm in matrix.false_alarms
    ]
    killed = len(matrix.kills) - len(matrix.survivors)
    parts.append(
        Text.from_markup(
            f"[bold]{killed} of {len(matrix.kills)} killed as meant[/], "
            f"{len(matrix.false_alarms)} false alarms on the clean kernels; "
            f"evidence: {safe(folder)}"
        )
    )
    return Group(*parts)


def show(console: Console, matrix: KillMatrix, folder: str) -> None:
    """Print it; where nobody looks at a terminal, lines are not folded."""
    plain(console).print(render(matrix, folder), highlight=False)
