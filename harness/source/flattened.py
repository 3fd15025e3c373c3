# SPDX-License-Identifier: MIT
"""A patch from a web page that flattened its white space, repaired against the source.

Each run of blanks and tabs has become one blank, and the one at the beginning of a line is
gone.  Lines of context and lines taken out are those of the source again; of lines that are
new the white space is worked out from what stands around them, and git's own name of the
whole file, in the `index` line, says whether that is right.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha1
from itertools import pairwise
from pathlib import PurePosixPath

from harness.errors import PlanError
from harness.model import PatchFile
from harness.source.layout import Layout, normal

_FILE = re.compile(r"^diff --git a/(?P<old>\S+) b/(?P<new>\S+)$")
_INDEX = re.compile(r"^index (?P<old>[0-9a-f]{7,40})\.\.(?P<new>[0-9a-f]{7,40})(?: \d+)?$")
_HUNK = re.compile(r"^@@ -(?P<old>\d+)(?:,(?P<gone>\d+))? \+(?P<new>\d+)(?:,(?P<come>\d+))? @@")
_NOTHING = "/dev/null"
# In these, a line's white space means nothing to a compiler.
_FREE_FORM = (".c", ".h", ".S", ".rst", ".txt")
_ADVICE = "get the patch as it was made: a mail's raw text, lore.kernel.org, git format-patch"


@dataclass(frozen=True)
class Hunk:
    """A hunk's lines without their white space: (`+`, `-` or a blank, the text)."""

    start: int
    lines: tuple[tuple[str, str], ...]

    @property
    def before(self) -> list[str]:
        """What the source has."""
        return [text for mark, text in self.lines if mark != "+"]


@dataclass(frozen=True)
class File:
    """What a page says of one file; git's names of it before and after, where it says them."""

    head: tuple[str, ...]
    path: str
    is_new: bool
    blobs: tuple[str, str]
    hunks: tuple[Hunk, ...]


def parse(patch: PatchFile) -> tuple[File, ...]:
    """The files of a flattened patch; none where it is not one."""
    lines = patch.text.split("\n")
    starts = [number for number, line in enumerate(lines) if _FILE.match(line)]
    files = [_file(lines[start:end]) for start, end in pairwise([*starts, len(lines)])]
    found = tuple(file for file in files if file is not None)
    context = [
        text
        for file in found
        for hunk in file.hunks
        for mark, text in hunk.lines
        if mark == " " and text
    ]
    whole = bool(found) and len(found) == len(files)
    return found if whole and context and not any(map(str.isspace, _firsts(context))) else ()


def _firsts(texts: Sequence[str]) -> Iterator[str]:
    return (text[0] for text in texts)


def _file(lines: list[str]) -> File | None:
    """One file's part; None where its hunks are not what their heads say."""
    named = _FILE.match(lines[0])
    begins = [number for number, line in enumerate(lines) if _HUNK.match(line)]
    if not named or not begins:
        return None
    head = tuple(lines[: begins[0]])
    index = next((found for line in head if (found := _INDEX.match(line))), None)
    hunks = [_hunk(lines[begin:]) for begin in begins]
    if None in hunks:
        return None
    return File(
        head=head,
        path=named["new"],
        is_new=f"--- {_NOTHING}" in head,
        blobs=(index["old"], index["new"]) if index else ("", ""),
        hunks=tuple(hunk for hunk in hunks if hunk is not None),
    )


def _hunk(lines: list[str]) -> Hunk | None:
    """A hunk from its head on; None where it ends too early."""
    head = _HUNK.match(lines[0])
    if head is None:
        return None
    gone, come = (int(head[name] or 1) for name in ("gone", "come"))
    found: list[tuple[str, str]] = []
    for line in lines[1:]:
        if gone <= 0 and come <= 0:
            break
        mark = line[0] if line[:1] in ("+", "-") else " "
        if _HUNK.match(line) or _FILE.match(line):
            break
        gone, come = gone - (mark != "+"), come - (mark != "-")
        found.append((mark, line if mark == " " else line[1:]))
    return Hunk(int(head["old"]), tuple(found)) if (gone, come) == (0, 0) else None


def repaired(
    patch: PatchFile, files: Sequence[File], read: Callable[[str], bytes | None]
) -> PatchFile:
    """The patch with its white space, and what tells how sure that is.

    `read` gives a file of the source.  Raises PlanError for what cannot be repaired.
    """
    parts: list[str] = []
    sure: list[str] = []
    unsure: list[str] = []
    for file in files:
        data = b"" if file.is_new else read(file.path)
        if data is None:
            raise _beyond(patch, f"this source has no {file.path} to tell it from")
        after, text = _rebuilt(patch, file, data.decode(patch.encoding, errors="replace"))
        parts.append(text)
        doubt = _doubt(file, data, after.encode(patch.encoding, "replace"))
        if doubt and PurePosixPath(file.path).suffix not in _FREE_FORM:
            raise _beyond(patch, f"it means something in {file.path}; {doubt}")
        where = f"white space of {file.path} repaired"
        (unsure if doubt else sure).append(
            f"{where}, as it may have been: {doubt}"
            if doubt
            else f"{where}, to the byte: {file.blobs[1]}"
        )
    said = {"notes": (*patch.notes, *sure), "warnings": (*patch.warnings, *unsure)}
    return PatchFile(**(patch.model_dump() | {"text": "".join(parts), **said}))


def _beyond(patch: PatchFile, why: str) -> PlanError:
    return PlanError(
        f"{patch.path} lost its white space on its way",
        why=f"as on a web page: tabs and the first blank of each line are gone, and {why}",
        advice=_ADVICE,
    )


def _rebuilt(patch: PatchFile, file: File, text: str) -> tuple[str, str]:
    """(the file after the patch, its diff); raises PlanError for a hunk without a place."""
    source = text.split("\n")
    known = [normal(line) for line in source]
    layout = Layout(source)
    diff, at = ["\n".join(file.head)], 0
    for number, hunk in enumerate(file.hunks, 1):
        places = _places(known, [normal(line) for line in hunk.before], at)
        expected = max(hunk.start - 1, 0)
        place = expected if expected in places else next(iter(places), None)
        if place is None or (place != expected and len(places) > 1):
            where = "nowhere" if place is None else f"in {len(places)} places"
            raise _beyond(patch, f"the lines of hunk {number} are {where} in {file.path}")
        layout.keep(place)
        start = len(layout.lines)
        lines = [layout.take(mark, text) for mark, text in hunk.lines]
        at = place + len(hunk.before)
        come = len(layout.lines) - start
        diff.append(f"@@ -{_span(place, len(hunk.before))} +{_span(start, come)} @@")
        diff += lines
    layout.keep(len(source))
    return "\n".join(layout.lines), "\n".join(diff) + "\n"


def _span(start: int, number: int) -> str:
    return f"{start + (number > 0)},{number}"


def _places(known: list[str], wanted: list[str], begin: int) -> list[int]:
    """Where a file has these lines, from a line on."""
    last = len(known) - len(wanted)
    return [
        at for at in range(begin, last + 1) if known[at : at + len(wanted)] == wanted or not wanted
    ]


def _doubt(file: File, before: bytes, after: bytes) -> str:
    """Why it is not sure that a file is what the patch's author had; empty where it is."""
    was, is_now = file.blobs
    if not was:
        return "no index line tells what it was"
    if not file.is_new and not _blob(before).startswith(was):
        return f"the patch was made for another version of it, {was}"
    if not _blob(after).startswith(is_now):
        return f"in new lines it was another one, in {is_now}"
    return ""


def _blob(data: bytes) -> str:
    """git's name of a file's content."""
    return sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
