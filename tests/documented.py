# SPDX-License-Identifier: MIT
"""The outputs that the documents show: found, compared with today's, and made anew."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
INDENT = "    "
ELSEWHERE = "<!-- of one host -->"
ELLIPSIS = "..."

# What no two runs have in common, or no two hosts.
_VARYING = re.compile(r"\b\d+(\.\d+)? m?s\b|~?/\S*/\S+|\bstored\b")
_NUMBER = re.compile(r"\d+(\.\d+)?")
# Which of a scenario's events it was.
_EVENT = re.compile(r"\S+ \(id N\)")


@dataclass(frozen=True)
class Shown:
    """A command and some lines of what it prints, `...` for those between, in a document.

    `begin` is the number of the command's line, from 0.
    """

    document: Path
    begin: int
    command: str
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.document.name}:{self.begin + 1}"


def shown_in(document: Path) -> Iterator[Shown]:
    """The outputs in a document, but for those that only one host prints."""
    lines = document.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if line.startswith(f"{INDENT}$ ./pmu-harness") and lines[number - 1] != ELSEWHERE:
            block = []
            for shown in lines[number + 1 :]:
                if not shown.startswith(INDENT):
                    break
                block.append(shown.removeprefix(INDENT))
            command = line.removeprefix(f"{INDENT}$ ")
            yield Shown(document, number, command, tuple(block))


def _squeezed(line: str) -> str:
    """A line without what aligns it, its margin kept."""
    text = re.sub(r" {2,}", "  ", line.strip())
    return (INDENT if line.startswith(INDENT) else "") + text


def _compared(line: str) -> str:
    return _VARYING.sub("X", " ".join(line.split()))


def _skeleton(line: str) -> str:
    return _EVENT.sub("EVENT", _NUMBER.sub("N", _compared(line)))


def stale(shown: Shown, output: Sequence[str], *, exactly: bool = True) -> list[str]:
    """The lines shown that the output has not, in the order shown; numbers apart if not exactly."""
    reduced = _compared if exactly else _skeleton
    printed = [reduced(line) for line in output]
    old, at = [], 0
    for line in shown.lines:
        if line.strip() == ELLIPSIS:
            continue
        try:
            at = printed.index(reduced(line), at) + 1
        except ValueError:
            old.append(line)
    return old


def made_with(folder: Path) -> dict[str, str]:
    """What decides the numbers of a run beside what is ours: releases of what others make."""
    host = json.loads((folder / "host.json").read_text(encoding="utf-8"))
    built = next(folder.glob("subjects/*/build.json"))
    facts = json.loads(built.read_text(encoding="utf-8"))
    return {
        "kernel": facts["version"],
        "toolchain": facts["toolchain"],
        "qemu": host["qemu"],
    }


def made_anew(shown: Shown, output: Sequence[str]) -> tuple[str, ...]:
    """The lines shown with today's numbers; those that nothing printed is like stay as they are."""
    lines, at = [], 0
    for line in shown.lines:
        found = next(
            (n for n in range(at, len(output)) if _skeleton(output[n]) == _skeleton(line)), None
        )
        if line.strip() == ELLIPSIS or found is None:
            lines.append(line)
            continue
        todays = _compared(output[found]) == _compared(line)
        lines.append(line if todays else _squeezed(output[found]))
        at = found + 1
    return tuple(lines)


def rewrite(shown: Shown, lines: Sequence[str]) -> None:
    """Put other lines in the place of those shown."""
    text = shown.document.read_text(encoding="utf-8").splitlines()
    first = shown.begin + 1
    text[first : first + len(shown.lines)] = [f"{INDENT}{line}".rstrip() for line in lines]
    shown.document.write_text("\n".join(text) + "\n", encoding="utf-8")
