# SPDX-License-Identifier: MIT
"""What the cache keeps, as a table for a terminal or a log."""

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table

from harness.host.keeping import KINDS, total
from harness.model import CacheEntry, shown_size
from harness.report import terminal
from harness.report.terminal import line

# Many and small: a line for all of one source, or one machine.
_MANY = ("kernel", "selftests", "observation")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def ago(seconds: float) -> str:
    """How long ago, as people say it."""
    for unit, name in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        count = int(seconds // unit)
        if count:
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "now"


def grouped(entries: Sequence[CacheEntry], *, full: bool) -> list[list[CacheEntry]]:
    """What is shown on one line each: by kind, the largest first."""

    def place(entry: CacheEntry) -> tuple[int, str, str]:
        together = entry.kind in _MANY and not full
        kind = KINDS.index(entry.kind) if entry.kind in KINDS else len(KINDS)
        return kind, entry.kind, entry.of if together else entry.name

    lines = [list(group) for _, group in groupby(sorted(entries, key=place), place)]
    return sorted(lines, key=lambda group: (place(group[0])[0], -total(group)))


def show(
    console: Console,
    entries: Sequence[CacheEntry],
    path: str,
    limit: int,
    *,
    now: float,
    full: bool,
) -> None:
    """Print the table, and the sum."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, justify in (("kind", "left"), ("of", "left"), ("size", "right")):
        table.add_column(title, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for title in ("last used", "name"):
        table.add_column(title, overflow="fold")
    for group in grouped(entries, full=full):
        newest = max(entry.used for entry in group)
        used = "in use" if any(entry.in_use for entry in group) else ago(now - newest)
        name = group[0].name if len(group) == 1 else f"{len(group)} of them"
        words = (group[0].kind, group[0].of or "-", shown_size(total(group)), used, name)
        table.add_row(*map(line, words))
    used_now = total(entry for entry in entries if entry.in_use)
    terminal.show(console, table)
    summary = line(
        f"{shown_size(total(entries))} in {path}, {shown_size(used_now)} in use; "
        f"the limit is {shown_size(limit)}"
    )
    terminal.show(console, summary, fold=False)
