# SPDX-License-Identifier: MIT
"""The kill matrix for a terminal or a log: saboteur x check."""

from rich.console import Console, ConsoleRenderable, Group
from rich.table import Table
from rich.text import Text

from harness.model import Kill, KillMatrix
from harness.report import terminal
from harness.report.terminal import line


def _mark(kill: Kill, check: str) -> Text:
    if check in kill.turned:
        return line(("X", "green"))
    return line(("!", "bold red")) if check in kill.missed else line((".", "dim"))


def _matrix(kills: tuple[Kill, ...], checks: list[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("saboteur", no_wrap=True)
    table.add_column("kernel", no_wrap=True)
    for number in range(1, len(checks) + 1):
        table.add_column(str(number), justify="right", no_wrap=True)
    for kill in kills:
        marks = [_mark(kill, check) for check in checks]
        table.add_row(line(kill.saboteur), line(kill.kernel.rpartition(":")[2]), *marks)
    return table


def _explanations(matrix: KillMatrix) -> list[Text]:
    """One saboteur a paragraph: what it does, and what told."""
    lines = []
    for kill in matrix.kills:
        lines.append(line((kill.saboteur, "bold"), f" on {kill.kernel}: {kill.title}"))
        lines.append(line(f"    {kill.explanation or 'nothing told'}"))
    return lines


def _survivor(kill: Kill) -> str:
    said = "killed by " + ", ".join(kill.turned) if kill.turned else "survived"
    missed = f", not by {', '.join(kill.missed)}" if kill.missed else ""
    failed = f": {kill.failures[0].splitlines()[0]}" if kill.failures else ""
    return f"{kill.saboteur} on {kill.kernel}: {said}{missed}{failed}; see {kill.evidence}"


def render(matrix: KillMatrix, folder: str) -> ConsoleRenderable:
    """Explanations, the matrix with its legend, survivors, false alarms, the sum of it."""
    checks = list(dict.fromkeys(check for kill in matrix.kills for check in kill.checks))
    killed = len(matrix.kills) - len(matrix.survivors)
    return Group(
        *_explanations(matrix),
        Text(""),
        _matrix(matrix.kills, checks),
        Text(""),
        *(line((f"{number:>3}", "dim"), f" {check}") for number, check in enumerate(checks, 1)),
        line(("X turned, ! meant to turn and did not\n", "dim")),
        *(line(("survivor", "bold red"), f"  {_survivor(kill)}") for kill in matrix.survivors),
        *(line(("false alarm", "bold red"), f"  {alarm}") for alarm in matrix.false_alarms),
        line(
            (f"{killed} of {len(matrix.kills)} killed as meant", "bold"),
            f", {len(matrix.false_alarms)} false alarms on the clean kernels; evidence: {folder}",
        ),
    )


def show(console: Console, matrix: KillMatrix, folder: str) -> None:
    """Print it; where nobody looks at a terminal, lines are not folded."""
    terminal.show(console, render(matrix, folder))
