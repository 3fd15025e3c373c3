# SPDX-License-Identifier: MIT
"""The ladder for a terminal or a log: kernel x machine."""

from rich.console import Console, ConsoleRenderable, Group
from rich.table import Table
from rich.text import Text

from harness.errors import Exit
from harness.model import Ladder, LadderRow, Status
from harness.report.terminal import STYLES, line, plain

_STATUS = {Exit.PASS: Status.PASS, Exit.FAIL: Status.FAIL}


def _said(row: LadderRow) -> Text:
    status = _STATUS.get(Exit(row.exit), Status.ERROR)
    return line((status.value, STYLES[status]))


def _table(rows: tuple[LadderRow, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("kernel", "release", "machine", "verdict"):
        table.add_column(name, no_wrap=True)
    counted = (Status.PASS, Status.SKIP, Status.FAIL)
    for name in ("guests", *(status.value for status in counted), "other", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        numbers = [row.tally.get(status.value, 0) for status in counted]
        other = sum(row.tally.values()) - sum(numbers)
        table.add_row(
            line(row.kernel),
            line(row.release),
            line(row.machine),
            _said(row),
            *(str(number) for number in (row.guests, *numbers, other)),
            f"{row.seconds:.0f}",
        )
    return table


def _trouble(row: LadderRow) -> list[Text]:
    """A row's first words of what is not as it should be."""
    if not row.trouble:
        return []
    status = _STATUS.get(Exit(row.exit), Status.ERROR)
    head = line((f"{row.kernel} on {row.machine}", STYLES[status]))
    told = [*row.trouble, *([f"evidence: {row.evidence}"] if row.evidence else [])]
    return [head, *(line(f"    {text}") for text in told)]


def _promises(rows: tuple[LadderRow, ...]) -> list[ConsoleRenderable]:
    """Promise x kernel: which keeps to which, and behind it what those say that do not."""
    told = [row for row in rows if row.kept]
    if not told:
        return []
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("promise")
    for row in told:
        table.add_column(f"{row.kernel}\n{row.machine}", no_wrap=True)
    for place, promise in enumerate(told[0].kept):
        statuses = [row.kept[place].status for row in told]
        table.add_row(line(promise.says), *(line((s.value, STYLES[s])) for s in statuses))
    broken = [
        line(f"    {row.kernel} on {row.machine}, {one.says}: {one.said}")
        for row in told
        for one in row.kept
        if one.status not in (Status.PASS, Status.SKIP)
    ]
    return [table, Text(""), *broken]


def render(ladder: Ladder, folder: str) -> ConsoleRenderable:
    """The table, what is wrong where, and the sum of it."""
    parts: list[ConsoleRenderable] = [_table(ladder.rows), Text("")]
    parts += _promises(ladder.rows)
    for row in ladder.rows:
        parts += _trouble(row)
    clean = sum(row.exit == Exit.PASS for row in ladder.rows)
    parts.append(line((f"{clean} of {len(ladder.rows)} clean", "bold"), f"; evidence: {folder}"))
    return Group(*parts)


def show(console: Console, ladder: Ladder, folder: str) -> None:
    """Print it; where nobody looks at a terminal, lines are not folded."""
    plain(console).print(render(ladder, folder), highlight=False)
