# SPDX-License-Identifier: MIT
"""A patch as a reader sees it, each line with what became of it in the guests."""

from dataclasses import dataclass

from harness.model import Coverage
from harness.source.patches import shown_lines


@dataclass(frozen=True)
class Shown:
    """A line of a diff: `style` is what it is, or what became of it; `note` says where it ran."""

    text: str
    style: str
    note: str = ""


def shown(coverage: Coverage) -> list[Shown]:
    """The patch, line by line."""
    known = {(line.path, line.line): line for line in coverage.lines}
    found = []
    for path, number, text in shown_lines(coverage.diff):
        line = known.get((path, number)) if number is not None else None
        if line is None:
            style = "head" if text.startswith(("@@", "---", "+++")) and number is None else ""
            found.append(Shown(text, style))
        elif line.first:
            more = f" and {line.number - 1} more" if line.number > 1 else ""
            found.append(Shown(text, "ran", f"{line.first}{more}"))
        else:
            found.append(Shown(text, "never", "never"))
    return found
