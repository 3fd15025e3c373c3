# SPDX-License-Identifier: MIT
"""What moved between two runs, and what a bisection found, for a terminal or a log."""

from rich.console import Console, ConsoleRenderable, Group
from rich.table import Table
from rich.text import Text

from harness.model import Bisection, Comparison, RunHead, Trying
from harness.report import terminal
from harness.report.outline import ORDER, some
from harness.report.terminal import CHANGE_STYLES, STYLES, line

_HEADLINES = {
    "pass": "nothing is worse",
    "fail": "what passed before fails now",
    "error": "some verdicts do not decide",
}
_TAKEN = {Trying.GOOD: "green", Trying.BAD: "bold red", Trying.SKIP: "yellow"}


def _listing() -> Table:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _head(label: str, head: RunHead) -> Text:
    place = f"  {head.place}" if head.place else ""
    text = f" {head.subject} ({head.plan}), {head.started}: {head.status.value}{place}"
    return line((f"{label + ':':<8}", "dim"), text)


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _if_any(table: Table) -> list[ConsoleRenderable]:
    return [Text(""), table] if table.row_count else []


def render_comparison(found: Comparison) -> ConsoleRenderable:
    """The verdicts that moved, the worst first, then the numbers."""
    table = _listing()
    for one in sorted(found.changes, key=lambda one: ORDER.index(one.change)):
        style = CHANGE_STYLES[one.change]
        what = f"{one.scenario}: {one.reference or 'not asked'} -> {one.candidate}"
        table.add_row(line((one.change.value, style)), line((one.check, "bold")), line(what))
    for number in found.numbers:
        what = f"{number.scenario}: {number.name} {_number(number.before)} -> "
        table.add_row(
            line(("moved", "cyan")),
            line((number.check, "bold")),
            line(what + _number(number.after)),
        )
    for names, which in ((found.only_before, "first"), (found.only_after, "second")):
        if names:
            told = f"{len(names)} scenarios are in the {which} run only: {some(names)}"
            table.add_row(line(("only", "dim")), "", line(told))
    word = found.status.value
    moved = f"{len(found.changes)} verdicts and {len(found.numbers)} numbers moved"
    return Group(
        _head("before", found.before),
        _head("after", found.after),
        *_if_any(table),
        Text(""),
        line(
            (word.upper(), STYLES[found.status]),
            f"  {_HEADLINES[word]}: {moved}, {found.alike} verdicts are alike",
        ),
    )


def show_comparison(console: Console, found: Comparison) -> None:
    """Print it."""
    terminal.show(console, render_comparison(found))


def render_bisection(found: Bisection, folder: str) -> ConsoleRenderable:
    """Each commit that was tried, and the first bad one."""
    table = _listing()
    for tried in found.tried:
        table.add_row(
            line((tried.taken.value, _TAKEN[tried.taken])),
            line(tried.commit[:12]),
            line(f"{tried.subject}: {tried.headline}"),
        )
    wanted = dict.fromkeys(check for _, check in found.wanted)
    if found.first_bad:
        end = [line(("first bad commit:", "bold"), f" {found.about or found.first_bad}")]
    else:
        names = ", ".join(commit[:12] for commit in found.suspects) or "unknown"
        end = [line(("no verdict", "magenta"), f"  one of these is the first bad commit: {names}")]
    return Group(
        table,
        Text(""),
        line(("looked for:", "dim"), f" {some(wanted, 6)}"),
        *end,
        line(("log:", "dim"), f"      {folder}/bisect.log, for `git bisect replay`"),
        line(("time:", "dim"), f"     {found.seconds:.0f} s in all"),
        line(("evidence:", "dim"), f" {folder}"),
    )


def show_bisection(console: Console, found: Bisection, folder: str) -> None:
    """Print it."""
    terminal.show(console, render_bisection(found, folder))
