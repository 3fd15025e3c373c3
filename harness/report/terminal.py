# SPDX-License-Identifier: MIT
"""Text for a terminal or a log: styled by us, and never by what a guest or a patch said."""

from rich.console import Console, ConsoleRenderable
from rich.text import Text

from harness.machine.crash import clean
from harness.model import Change, Status

STYLES = {
    Status.PASS: "green",
    Status.SKIP: "cyan",
    Status.INCONCLUSIVE: "yellow",
    Status.ERROR: "magenta",
    Status.FAIL: "bold red",
}
CHANGE_STYLES = {
    Change.BROKEN: "bold red",
    Change.UNDECIDED: "magenta",
    Change.FIXED: "bold green",
    Change.STILL_FAILING: "yellow",
    Change.NEW: "cyan",
    Change.GONE: "cyan",
    Change.STILL_PASSING: "green",
}
# Where nobody looks at a terminal, lines are as long as they are.
_WIDTH = 240


def line(*parts: str | tuple[str, str]) -> Text:
    """Texts, each plain or (text, style), without what would drive a terminal.

    No markup and no emoji: `registers.h:100:9` and `[x]` stay what they are.
    """
    styled = [(part, "") if isinstance(part, str) else part for part in parts]
    return Text.assemble(*((clean(text.encode()), style) for text, style in styled))


def plain(console: Console) -> Console:
    """The console; where nobody looks at a terminal, one that does not fold lines."""
    if console.is_terminal:
        return console
    return Console(file=console.file, width=_WIDTH, no_color=True, highlight=False)


def written(console: Console, part: ConsoleRenderable) -> str:
    """What printing it would write."""
    out = plain(console)
    with out.capture() as captured:
        out.print(part, highlight=False)
    return captured.get()


def show(console: Console, *parts: ConsoleRenderable, fold: bool = True) -> None:
    """Print them; what does not `fold` stays on its line, to be copied."""
    for part in parts:
        plain(console).print(part, highlight=False, soft_wrap=not fold)
