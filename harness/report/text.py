# SPDX-License-Identifier: MIT
"""A run's results for a terminal or a log."""

from collections import Counter
from enum import Enum

from rich.console import Console, ConsoleRenderable, Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.machine.crash import clean
from harness.model import Cell, Role, RunResult, Status, Verdict
from harness.report.table import Row, by_scenario, rows, subject_names, tally, times
from harness.verdict.judge import HEALTH

STYLES = {
    Status.PASS: "green",
    Status.SKIP: "cyan",
    Status.INCONCLUSIVE: "yellow",
    Status.ERROR: "magenta",
    Status.FAIL: "bold red",
}


_EVIDENCE_LINES = 4


def plain(console: Console) -> Console:
    """The console; where nobody looks at a terminal, one that does not fold lines."""
    if console.is_terminal:
        return console
    return Console(file=console.file, width=240, no_color=True, highlight=False)


def safe(text: str) -> str:
    """Guest-made text without what would drive a terminal."""
    return escape(clean(text.encode()))


def _said(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    style = STYLES[verdict.status]
    return f"[{style}]{verdict.status.value}[/] {safe(verdict.measured)}"


class Detail(Enum):
    """How much is printed: what did not pass, a line for each scenario as well, or all."""

    BRIEF = "brief"
    NORMAL = "normal"
    FULL = "full"


def _shown(result: RunResult, detail: Detail) -> dict[str, list[Row]]:
    """The rows to print for each scenario; none for one that only gets its line."""
    found = {}
    for scenario, all_rows in by_scenario(rows(result)).items():
        # Where one cost moved, the scenario's others stand beside it.
        moved = any(row.is_cost and not row.quiet for row in all_rows)
        wanted = [
            row
            for row in all_rows
            if detail is Detail.FULL or not row.quiet or (moved and row.is_cost)
        ]
        wanted = [row for row in wanted if row.check == HEALTH or row.measured]
        if wanted or detail is not Detail.BRIEF:
            found[scenario] = wanted
    return found


def _table(result: RunResult, detail: Detail) -> Table:
    names = subject_names(result)
    compared = Role.REFERENCE in names
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("scenario", no_wrap=True)
    if compared:
        table.add_column(f"reference {names[Role.REFERENCE]}", overflow="fold")
    table.add_column(f"candidate {names[Role.CANDIDATE]}", overflow="fold")
    table.add_column("expected, or time", overflow="fold")
    everything = by_scenario(rows(result))
    for scenario, shown in _shown(result, detail).items():
        all_rows = everything[scenario]
        before = [tally([row.reference for row in all_rows])] if compared else []
        after = tally([row.candidate for row in all_rows])
        table.add_row(f"[bold]{scenario}[/]", *before, after, f"[dim]{times(all_rows)}[/]")
        for row in shown:
            said = [_said(row.reference)] if compared else []
            table.add_row(
                f"  {row.check}", *said, _said(row.candidate), safe(row.candidate.expected)
            )
    return table


def _evidence(result: RunResult) -> list[str]:
    """What was seen where something is not as it should be, for each subject and check once."""
    faulty: dict[tuple[str, str, Status], list[tuple[Cell, Verdict]]] = {}
    for cell in result.cells:
        for verdict in cell.verdicts:
            if verdict.status is not Status.PASS and verdict.evidence:
                kind = (cell.cell.subject, verdict.check, verdict.status)
                faulty.setdefault(kind, []).append((cell.cell, verdict))
    lines = []
    for (_, check, status), seen in faulty.items():
        first, verdict = seen[0]
        lines.append(
            f"[{STYLES[status]}]{status.value}[/]  [bold]{safe(f'{first.id}  {check}')}[/]"
        )
        lines += [f"    {safe(line)}" for line in verdict.evidence[:_EVIDENCE_LINES]]
        if len(seen) > 1:
            others = ", ".join(cell.scenario for cell, _ in seen[1:])
            lines.append(f"    [dim]as well in {safe(others)}[/]")
    return lines


def _repeats(result: RunResult) -> list[str]:
    """The command for each of the candidate's cells that did not pass."""
    wanted = dict.fromkeys(
        row.repeat for row in rows(result) if row.candidate.status not in (Status.PASS, Status.SKIP)
    )
    return list(wanted)


def _total(result: RunResult) -> str:
    guests = [guest for cell in result.cells for guest in cell.guests]
    ran = [guest.seconds for guest in guests if not guest.reused]
    stored = len(guests) - len(ran)
    text = f"{len(ran)} guests in {sum(ran):.0f} s of guests' time"
    return f"{text}, {stored} stored; {result.seconds:.0f} s in all"


def _noise(result: RunResult) -> list[str]:
    """How many guests had more of the host's noise than is allowed, and of which kind."""
    guests = [guest for cell in result.cells for guest in cell.repetitions]
    noisy = [guest.noisy for guest in guests if guest.noisy]
    if not noisy:
        return []
    kinds = Counter(reason.split()[0] for reasons in noisy for reason in reasons)
    told = ", ".join(f"{kind} {number}" for kind, number in kinds.most_common())
    text = f"{len(noisy)} of {len(guests)} guests beyond a limit of configs/noise.yaml: {told}"
    return [f"[dim]noise:[/]    {text}"]


def render(result: RunResult, folder: str, detail: Detail = Detail.NORMAL) -> ConsoleRenderable:
    """Table, evidence, headline, and where the rest is."""
    parts: list[ConsoleRenderable] = [_table(result, detail), Text("")]
    evidence = _evidence(result)
    if evidence:
        parts += [Text.from_markup(line) for line in evidence]
        parts.append(Text(""))
    for failure in result.failures:
        parts.append(Text.from_markup(safe(failure)))
    style = STYLES[result.status]
    word = result.status.value.upper()
    parts.append(Text.from_markup(f"[{style}]{word}[/]  {safe(result.headline)}"))
    parts.append(Text.from_markup(f"[dim]time:[/]     {_total(result)}"))
    parts += [Text.from_markup(line) for line in _noise(result)]
    parts.append(Text.from_markup(f"[dim]evidence:[/] {safe(folder)}"))
    for command in _repeats(result):
        parts.append(Text.from_markup(f"[dim]repeat:[/]   {safe(command)}"))
    return Group(*parts)


def show(console: Console, result: RunResult, folder: str, detail: Detail = Detail.NORMAL) -> None:
    """Print the report."""
    plain(console).print(render(result, folder, detail), highlight=False)
