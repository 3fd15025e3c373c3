# SPDX-License-Identifier: MIT
"""What is in a patch file: that it is one, how it was damaged, the hunk that git rejected."""

import bz2
import gzip
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO

from unidiff.errors import UnidiffParseError
from unidiff.patch import Hunk, PatchSet

from harness.errors import PlanError
from harness.model import PatchFile

# Larger than the difference of two releases of the kernel; plan.json holds it all.
LIMIT = 128 << 20
MAKE_ONE = "make one with git format-patch, or git diff"

_Unpacking = gzip.GzipFile | lzma.LZMAFile | bz2.BZ2File
_COMPRESSED: tuple[tuple[bytes, str, Callable[[BytesIO], _Unpacking]], ...] = (
    (b"\x1f\x8b", "gzip", lambda file: gzip.GzipFile(fileobj=file)),
    (b"\xfd7zXZ\0", "xz", lzma.LZMAFile),
    (b"BZh", "bzip2", bz2.BZ2File),
)
_DAMAGED = (EOFError, OSError, lzma.LZMAError, zlib.error)

_REJECTED = re.compile(r"^error: patch failed: (?P<file>.+):(?P<line>\d+)$", re.MULTILINE)
_HEADER = re.compile(rb"^(?:diff --git .+|--- .*\n\+\+\+ .+)", re.MULTILINE)
_ENCODED = re.compile(rb"(?im)^content-transfer-encoding: *(base64|quoted-printable)")
_FLOWED = re.compile(rb"(?im)^content-type:(?:.|\n[ \t])*format=\"?flowed")
_SERIES_LINE = re.compile(rb"#.*|\S+\.(patch|diff)(\.gz)?(\s.*)?|\s*")
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


def read_patch(path: str, content: bytes) -> PatchFile:
    """A patch from a file's content, unpacked where it is compressed.

    Raises PlanError for a file that is none, and says what it is.
    """
    data = _unpacked(path, content).removeprefix(b"\xef\xbb\xbf")
    head = data[:_HEAD]
    for pattern, why, advice in _WRAPPINGS:
        if re.search(pattern, head):
            raise PlanError(f"{path} is not a patch", why=why, advice=advice)
    encoded = _ENCODED.search(_mail_headers(data))
    if encoded:
        raise PlanError(
            f"{path} is not a patch yet",
            why=f"it is a mail in {encoded[1].decode().lower()}",
            advice="decode it: git mailinfo MESSAGE PATCH <MAIL, or b4 am",
        )
    header = _HEADER.search(data)
    if not header:
        raise _no_patch(path, data)
    if header[0].endswith(b"\r"):
        raise PlanError(
            f"{path} has DOS line ends",
            why="its lines end with CR LF, those of a kernel with LF",
            advice="convert it with dos2unix; send and save patches as they are",
        )
    return PatchFile.of(path, data)


def _mail_headers(data: bytes) -> bytes:
    """What comes before the first empty line."""
    return re.split(rb"\r?\n\r?\n", data[:_HEAD], maxsplit=1)[0]


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


def _no_patch(path: str, data: bytes) -> PlanError:
    """What a file is that holds no patch."""
    what, head = f"{path} is not a patch", data[:_HEAD]
    if not data.strip():
        return PlanError(what, why="it is empty", advice=MAKE_ONE)
    for pattern, why, advice in _OTHERS:
        if re.search(pattern, head):
            return PlanError(what, why=why, advice=advice)
    if all(_SERIES_LINE.fullmatch(line) for line in head.splitlines()):
        return PlanError(
            what,
            why="it is a list of patches, as quilt's `series`",
            advice="give the patches that it names, in its order, each with --patch",
        )
    return PlanError(what, why="there is no 'diff' in it", advice=MAKE_ONE)


def _hunks(patch: PatchFile) -> Iterator[tuple[str, Hunk]]:
    """Each hunk, and the file that it is for as the patch names it; none where it is damaged."""
    try:
        parsed = PatchSet(patch.text)
    except UnidiffParseError:
        return
    for file in parsed:
        for hunk in file:
            yield file.source_file, hunk


def whitespace_damage(patch: PatchFile) -> str:
    """How white space was changed on a patch's way; empty where that cannot be seen.

    Asked of a patch that would apply if white space were left aside.
    """
    if _FLOWED.search(_mail_headers(patch.data)):
        return "its mail is format=flowed, which adds blanks to lines and joins them"
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


def rejected_hunk(patch: PatchFile, complaint: str, level: int) -> str:
    """The hunk that git's message names, as text; empty when it names none.

    `level` is how many leading components of paths git stripped.
    """
    match = _REJECTED.search(complaint)
    if not match:
        return ""
    for named, hunk in _hunks(patch):
        path = "/".join(named.split("/")[level:])
        # A date may follow.
        right = path == match["file"] or path.startswith(f"{match['file']} ")
        if right and hunk.source_start == int(match["line"]):
            return str(hunk)
    return ""
