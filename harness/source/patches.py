# SPDX-License-Identifier: MIT
"""What is in a patch file: that it is one, how it was damaged, the hunk that git rejected."""

import bz2
import gzip
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import TYPE_CHECKING

from harness.errors import PlanError
from harness.model import PatchFile

if TYPE_CHECKING:
    from unidiff.patch import Hunk, PatchSet

# Larger than the difference of two releases of the kernel; plan.json holds it all.
LIMIT = 128 << 20
FLOWED = "its mail is format=flowed, which adds blanks to lines and joins them"
MAKE_ONE = "make one with git format-patch, or git diff"

_Unpacking = gzip.GzipFile | lzma.LZMAFile | bz2.BZ2File
_COMPRESSED: tuple[tuple[bytes, str, Callable[[BytesIO], _Unpacking]], ...] = (
    (b"\x1f\x8b", "gzip", lambda file: gzip.GzipFile(fileobj=file)),
    (b"\xfd7zXZ\0", "xz", lzma.LZMAFile),
    (b"BZh", "bzip2", bz2.BZ2File),
)
_DAMAGED = (EOFError, OSError, lzma.LZMAError, zlib.error)

_REJECTED = re.compile(r"^error: patch failed: (?P<file>.+):(?P<line>\d+)$", re.MULTILINE)
_CHECKING = re.compile(r"^Checking patch (.+)\.\.\.$")
_PLACED = re.compile(r"^Hunk #(\d+) succeeded at (\d+)")
_REDUCED = re.compile(r"^Context reduced to \((\d+)/\d+\) to apply fragment at (\d+)$")
_HEADER = re.compile(rb"^(?:diff --git .+|--- .*\n\+\+\+ .+)", re.MULTILINE)
_SERIES_LINE = re.compile(rb"#.*|\S+\.(patch|diff)(\.gz)?(\s.*)?|\s*")
# As much as can be taken apart, line by line, in a second or two.
_LOOKED_AT = 8 << 20
# As much as tells what a file is, or as a mail's headers may take.
_HEAD = 1 << 16
# What a file is that is no patch, even if there is one within; the first that fits its head.
_WRAPPINGS = (
    (rb"\A\x28\xb5\x2f\xfd", "it is compressed with zstd", "unpack it first: zstd -d"),
    (rb"\A\x04\x22\x4d\x18", "it is compressed with lz4", "unpack it first: lz4 -d"),
    (rb"\APK\x03\x04", "it is a zip archive", "unpack it first: unzip"),
    (rb"(?s)\A.{257}ustar", "it is a tar archive", "unpack it first: tar xf"),
    (
        rb"\A(\xff\xfe|\xfe\xff)|d\0i\0f\0f\0",
        "it is UTF-16, as PowerShell's > writes it",
        "convert it: iconv -f UTF-16 -t UTF-8",
    ),
    (
        rb"(?i)\A\s*(<\?xml[^>]*>\s*)?<(!doctype|html|head|body)\b",
        "it is a web page",
        "download the patch itself: the page's `raw`, `mbox` or `patch`",
    ),
    (rb"\A# v\d git bundle", "it is a git bundle", "git fetch it, then git format-patch"),
)
# The same of a file without a diff that git reads.
_OTHERS = (
    (rb"\0", "it is a binary file", MAKE_ONE),
    (
        rb"(?m)^diff --(cc|combined) ",
        "it is the combined diff of a merge",
        "make one against a single parent: git diff COMMIT^1 COMMIT",
    ),
    (rb"(?m)^\*{15}$", "it is a context diff", "make a unified one: diff -u"),
    (rb"(?m)^\d+(,\d+)?[acd]\d+(,\d+)?$", "it is a diff without context", "make one: diff -u"),
)


def content_of(path: str, content: bytes) -> bytes:
    """What is in a file, unpacked where it is compressed.

    Raises PlanError for what holds no patch that could be read as it is, and says what it is.
    """
    data = _unpacked(path, content).removeprefix(b"\xef\xbb\xbf")
    head = data[:_HEAD]
    for pattern, why, advice in _WRAPPINGS:
        if re.search(pattern, head):
            raise PlanError(f"{path} is not a patch", why=why, advice=advice)
    return data


def holds_diff(data: bytes) -> bool:
    """True if there is the head of a file's diff in it."""
    return _HEADER.search(data) is not None


def with_unix_line_ends(data: bytes) -> bytes:
    """A diff whose own lines end with CR LF, with LF; a file's that has them is left alone."""
    header = _HEADER.search(data)
    return data.replace(b"\r\n", b"\n") if header and header[0].endswith(b"\r") else data


def read_patch(path: str, content: bytes) -> PatchFile:
    """A patch from a file's content; raises PlanError for a file that is none."""
    data = with_unix_line_ends(content_of(path, content))
    if not holds_diff(data):
        raise no_patch(path, data)
    return PatchFile.of(path, data)


def _unpacked(path: str, content: bytes) -> bytes:
    """The content of a compressed file, or what it is; raises PlanError beyond LIMIT."""
    for magic, name, opened in _COMPRESSED:
        if content.startswith(magic):
            try:
                content = opened(BytesIO(content)).read(LIMIT + 1)
            except _DAMAGED as error:
                raise PlanError(
                    f"{path} cannot be unpacked",
                    why=f"it is compressed with {name}, and damaged: {error}",
                    advice="download it again",
                ) from error
            break
    if len(content) > LIMIT:
        raise PlanError(
            f"{path} is too large for a patch",
            why=f"it holds more than {LIMIT >> 20} MiB",
            advice="judge a tree that has the change: --source path:DIR",
        )
    return content


def no_patch(path: str, data: bytes) -> PlanError:
    """What a file is that holds no patch."""
    what, head = f"{path} is not a patch", data[:_HEAD]
    if not data.strip():
        return PlanError(what, why="it is empty", advice=MAKE_ONE)
    for pattern, why, advice in _OTHERS:
        if re.search(pattern, head):
            return PlanError(what, why=why, advice=advice)
    if is_list(data):
        return PlanError(
            what,
            why="it is a list of patches, as quilt's `series`, and they do not lie beside it",
            advice="give it in the folder of the patches that it names",
        )
    return PlanError(what, why="there is no 'diff' in it", advice=MAKE_ONE)


def is_list(data: bytes) -> bool:
    """True for a list of patches, as quilt's `series`."""
    lines = data[:_HEAD].splitlines()
    return bool(data.strip()) and all(_SERIES_LINE.fullmatch(line) for line in lines)


def _hunks(patch: PatchFile) -> Iterator[tuple[str, "Hunk"]]:
    """Each hunk, and the file that it is for as the patch names it; none where it is damaged.

    None of a patch that is too large to be looked at for the sake of a message.
    """
    if len(patch.text) > _LOOKED_AT:
        return
    for file in _parsed(patch.text):
        for hunk in file:
            yield file.source_file, hunk


def _context(hunk: "Hunk") -> tuple[int, int]:
    """How many lines of context a hunk begins with, and ends with."""
    kept = [line.is_context for line in hunk if line.line_type in " +-"]
    changed = [number for number, is_context in enumerate(kept) if not is_context]
    return (changed[0], len(kept) - 1 - changed[-1]) if changed else (0, 0)


def most_context(patch: PatchFile) -> int:
    """How many lines of context the patch was made with: diff's -U."""
    return max((max(_context(hunk)) for _, hunk in _hunks(patch)), default=0)


def whitespace_damage(patch: PatchFile) -> str:
    """How white space was changed on a patch's way; empty where that cannot be seen.

    Asked of a patch that would apply if white space were left aside.
    """
    if patch.flowed:
        return FLOWED
    lines = [line for _, hunk in _hunks(patch) for line in hunk]
    if not any("\t" in line.value for line in lines):
        return "no tab is left in its lines: a mail client or a terminal made blanks of them"
    context = [line.value for line in lines if line.is_context and line.value.strip()]
    if context and all(value.startswith(" ") for value in context):
        return "each line of context has a blank too many, as format=flowed adds it"
    return ""


def lacks_context(patch: PatchFile) -> bool:
    """True for a patch that was made with -U0."""
    lines = [line for _, hunk in _hunks(patch) for line in hunk]
    return bool(lines) and not any(line.is_context for line in lines)


def _of_file(patch: PatchFile, path: str, level: int, below: str) -> "list[Hunk]":
    """The hunks for a file, by the path that git makes of it."""
    wanted = path.removeprefix(f"{below}/") if below else path
    found = []
    for named, hunk in _hunks(patch):
        mine = "/".join(named.split("/")[level:])
        # A date may follow.
        if mine == wanted or mine.startswith(f"{wanted} "):
            found.append(hunk)
    return found


def rejected_hunk(patch: PatchFile, complaint: str, level: int, below: str = "") -> str:
    """The hunk that git's message names, as text; empty when it names none.

    `level` is how many leading components of paths git stripped, `below` the folder that it
    put them in.
    """
    match = _REJECTED.search(complaint)
    if not match:
        return ""
    hunks = _of_file(patch, match["file"], level, below)
    return next((str(hunk) for hunk in hunks if hunk.source_start == int(match["line"])), "")


def fuzz_of(patch: PatchFile, said: str, level: int, below: str = "") -> list[str]:
    """Which hunks git placed with less context than they have, from its verbose words."""
    found, path, placed = [], "", (0, 0)
    for line in said.splitlines():
        if checking := _CHECKING.match(line):
            path = checking[1]
        elif hunk_placed := _PLACED.match(line):
            placed = (int(hunk_placed[1]), int(hunk_placed[2]))
        elif reduced := _REDUCED.match(line):
            leading, at = int(reduced[1]), int(reduced[2])
            hunks = list(enumerate(_of_file(patch, path, level, below), 1))
            # git drops lines from the beginning, and tells where what is left begins.
            offsets = {
                number: at - hunk.target_start - _context(hunk)[0] + leading
                for number, hunk in hunks
            }
            # It names no hunk where it counts an offset of 0.
            nearest = min(offsets, key=lambda one: abs(offsets[one]), default=0)
            number = placed[0] if placed[1] == at else nearest
            offset = offsets.get(number, 0)
            where = f" at an offset of {offset}" if offset else ""
            found.append(f"hunk {number} of {path}{where}, fuzz 1")
    return found


def changed_lines(diff: str) -> dict[str, tuple[int, ...]]:
    """By file, the numbers of the lines that a diff of git's adds, in the file as it is then.

    Where it only takes lines away, the line behind them: that is what runs in their place.
    """
    found = {}
    for file in _parsed(diff):
        numbers = [number for hunk in file for number in _changed_of(hunk)]
        if numbers and not file.is_removed_file:
            found[file.path] = tuple(dict.fromkeys(numbers))
    return found


def _parsed(diff: str) -> "PatchSet":
    """A diff; an empty one where it cannot be read: no verdict depends on it."""
    from unidiff.errors import UnidiffParseError  # noqa: PLC0415 (takes long)
    from unidiff.patch import PatchSet  # noqa: PLC0415

    try:
        return PatchSet(diff)
    except UnidiffParseError:
        return PatchSet("")


def _changed_of(hunk: "Hunk") -> Iterator[int]:
    lines = list(hunk)
    for line, behind in zip(lines, [*lines[1:], None], strict=True):
        number = None
        if line.is_added:
            number = line.target_line_no
        elif line.is_removed and behind is not None and behind.is_context:
            number = behind.target_line_no
        if number is not None:
            yield number


def shown_lines(diff: str) -> Iterator[tuple[str, int | None, str]]:
    """(file, number in the file as it is then, line) of a diff of git's, for a reader.

    Heads of files and of hunks, and lines that are gone, have no number.
    """
    for file in _parsed(diff):
        yield file.path, None, f"--- {file.source_file}"
        yield file.path, None, f"+++ {file.target_file}"
        for hunk in file:
            spans = f"-{hunk.source_start},{hunk.source_length} "
            spans += f"+{hunk.target_start},{hunk.target_length}"
            yield file.path, None, f"@@ {spans} @@ {hunk.section_header}"
            for line in hunk:
                yield file.path, line.target_line_no, f"{line.line_type}{line.value}".rstrip("\n")
