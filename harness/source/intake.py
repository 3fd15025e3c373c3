# SPDX-License-Identifier: MIT
"""Patches as their users have them: files, folders, quilt's series, mails in any encoding.

git takes mails apart, as it does for `git am`.
"""

import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from harness.errors import PlanError
from harness.host.process import CommandError, capture
from harness.model import PatchFile, PatchInfo
from harness.source.mail import SERIES, Chosen, Letter, chosen, stem
from harness.source.patches import (
    LIMIT,
    content_of,
    holds_diff,
    is_list,
    no_patch,
    with_unix_line_ends,
)
from harness.source.paths import printable

STANDARD_INPUT = Path("-")
_STDIN = "standard input"
_MAILDIR = ("cur", "new")
_SUFFIXES = (".patch", ".diff", ".mbox", ".mbx", ".eml", ".mail", ".msg")
_PACKED = (".gz", ".xz", ".bz2")
# As many mails as a large thread has, ten times.
_MAILS = 5000
_HEAD = 1 << 16
_RETURNS = "its lines end with CR LF: taken with LF"

_HEADER_LINE = re.compile(rb"[!-9;-~]+:|[ \t]")
_FLOWED = re.compile(rb"(?im)^content-type:(?:.|\n[ \t])*format=\"?flowed")
_BASE = re.compile(rb"(?m)^base-commit: ([0-9a-f]{40,64})$")
# How an archive's page begins: the subject, and who sent it.
_PAGE_SUBJECT = re.compile(r"\A\s*(\[.*PATCH.*\].*\S)")
_PAGE_AUTHOR = re.compile(r"(?m)^From: +(.*\S)")
_INFO = re.compile(r"(?m)^(Author|Email|Subject): (.*)$")


@dataclass(frozen=True)
class Intake:
    """The patches that were given, in order; their cover letter, its title; what was left out."""

    patches: tuple[PatchFile, ...]
    title: str = ""
    notes: tuple[str, ...] = ()
    cover: PatchInfo | None = None


def take_in(given: Sequence[Path]) -> Intake:
    """The patches in what `--patch` names; raises PlanError for what holds none."""
    found = [_taken(path) for path in given]
    letters = [letter for some in found for letter in some.letters]
    notes = [note for some in found for note in some.notes]
    titles = [some.title for some in found if some.title]
    letters_above = [some.cover for some in found if some.cover]
    bases = [some.base_commit for some in found if some.base_commit]
    if len(letters) > 1:
        covers = [letter for letter in letters if letter.is_cover]
        notes += [f"left out: the cover letter {letter.subject}" for letter in covers]
        titles += [letter.tag.title for letter in covers]
        letters_above += covers
        letters = [letter for letter in letters if letter not in covers]
    for letter in letters:
        if not letter.diff:
            raise no_patch(letter.name, letter.text)
    base = next(iter(bases), "")
    return Intake(
        patches=tuple(_patch(letter, base) for letter in letters),
        title=titles[0] if titles else "",
        notes=tuple(notes),
        cover=_cover(letters_above[0]) if letters_above else None,
    )


def _cover(letter: Letter) -> PatchInfo:
    """What is known of a cover letter, which has no patch."""
    return PatchInfo(
        path=letter.name,
        stem=letter.stem,
        subject=letter.subject,
        author=letter.author,
        message_id=letter.message_id,
    )


def _patch(letter: Letter, base: str) -> PatchFile:
    """The patch of a mail; a series' base is that of its cover letter."""
    return PatchFile.of(
        letter.name,
        letter.diff,
        stem=letter.stem,
        subject=letter.subject,
        author=letter.author,
        message_id=letter.message_id,
        base_commit=letter.base_commit or base,
        notes=letter.notes,
        flowed=letter.flowed,
    )


# --- places ------------------------------------------------------------------


def _taken(path: Path) -> Chosen:
    """What one `--patch` names."""
    name = printable(str(path))
    if path == STANDARD_INPUT:
        return _of_content(_STDIN, sys.stdin.buffer.read(LIMIT + 1))
    if not path.is_dir():
        content = _read(path)
        named = _listed(path, content)
        return _in_order(named) if named else _of_content(name, content, PurePath(name))
    if (path / SERIES).is_file():
        return _in_order(_listed(path / SERIES, _read(path / SERIES)))
    if all((path / folder).is_dir() for folder in _MAILDIR):
        return chosen(name, _mails(name, path))
    files = sorted(file for file in path.iterdir() if _is_patch(file))
    if not files:
        raise PlanError(
            f"{name} holds no patch",
            why=f"it has neither a file `{SERIES}`, nor a name that ends with "
            f"{', '.join(_SUFFIXES)}",
            advice="give the files themselves",
        )
    return chosen(name, [letter for file in files for letter in _of_file(file)])


def _read(path: Path) -> bytes:
    """A file, of which no more is read than may be; raises PlanError."""
    try:
        with path.open("rb") as file:
            return file.read(LIMIT + 1)
    except OSError as error:
        raise PlanError(f"cannot read {printable(str(path))}", why=str(error)) from error


def _is_patch(file: Path) -> bool:
    """True for what is called as patches and mails are."""
    plain = file.with_suffix("") if file.suffix in _PACKED else file
    return plain.suffix in _SUFFIXES and not file.name.startswith(".") and file.is_file()


def _of_file(path: Path) -> list[Letter]:
    return _letters(printable(str(path)), _read(path), PurePath(path))


def _in_order(files: Sequence[Path]) -> Chosen:
    """The patches of a list, which says their order."""
    return Chosen(tuple(letter for file in files for letter in _of_file(file)))


def _listed(series: Path, content: bytes) -> list[Path]:
    """The files that a quilt series names; none for a file that is no such list.

    Raises PlanError where one is not there, or is to be taken in reverse.
    """
    if series.name != SERIES and not is_list(content):
        return []
    found = []
    for line in content.decode(errors="surrogateescape").splitlines():
        name, *options = line.partition(" #")[0].split() or ("#",)
        if name.startswith("#"):
            continue
        file = series.parent / name
        if not file.is_file():
            if series.name != SERIES:
                return []
            raise PlanError(
                f"{printable(str(series))} names {printable(name)}, which is not there",
                advice="give the folder that has all patches of the series",
            )
        if "-R" in options:
            raise PlanError(
                f"{printable(str(series))} takes {printable(name)} back (-R)",
                advice="give a series without it",
            )
        found.append(file)
    return found


# --- contents ----------------------------------------------------------------


def _of_content(name: str, content: bytes, file: PurePath | None = None) -> Chosen:
    """What is applied of a file: of several mails those that are meant, else all of it."""
    letters = _letters(name, content, file)
    return chosen(name, letters) if len(letters) > 1 else Chosen(tuple(letters))


def _letters(name: str, content: bytes, file: PurePath | None) -> list[Letter]:
    """All mails and patches in a file's content."""
    data = content_of(name, content)
    if _is_mail(data):
        with tempfile.TemporaryDirectory() as folder:
            box = Path(folder) / "box"
            box.write_bytes(data)
            letters = _mails(name, box, keep_returns=not _header(data).endswith(b"\r"))
    else:
        letters = _changes(name, data) or [_plain(name, data)]
    if len(letters) == 1:
        called = _stem(file) if file else letters[0].stem or "stdin"
        letters = [replace(letters[0], name=name, stem=called)]
    return letters


def _stem(file: PurePath) -> str:
    """A file's name, without what tells how it is written."""
    plain = file.with_suffix("") if file.suffix in _PACKED else file
    return plain.stem


def _header(data: bytes) -> bytes:
    return data.lstrip()[:_HEAD].partition(b"\n")[0]


def _is_mail(data: bytes) -> bool:
    """True for a mailbox, and for what begins with a mail's headers, as `git am` tells it."""
    head = data.lstrip()[:_HEAD]
    if head.startswith(b"From "):
        return True
    above = re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0].splitlines()
    fields = {line.partition(b":")[0].lower() for line in above}
    known = fields & {b"from", b"subject", b"content-type", b"date"}
    return bool(known) and all(_HEADER_LINE.match(line) for line in above)


def _mails(name: str, box: Path, *, keep_returns: bool = True) -> list[Letter]:
    """The mails of a mailbox or a maildir; raises PlanError where git cannot part them."""
    with tempfile.TemporaryDirectory() as folder:
        split = ["git", "mailsplit", f"-o{folder}", "-d6", "-b"]
        split += ["--keep-cr"] if keep_returns else []
        try:
            capture([*split, "--", str(box)])
        except CommandError as error:
            raise PlanError(f"{name} is no mailbox", why=printable(error.output.strip())) from error
        files = sorted(Path(folder).iterdir())
        if len(files) > _MAILS:
            raise PlanError(
                f"{name} holds {len(files)} mails",
                why=f"a thread has no more than {_MAILS}",
                advice="give a mailbox of the series alone",
            )
        return [_letter(name, file) for file in files]


def _letter(name: str, mail: Path) -> Letter:
    """One mail, taken apart by git."""
    from email.parser import BytesHeaderParser  # noqa: PLC0415 (takes long)

    data = mail.read_bytes()
    info, raw = _mailinfo(mail, data)
    diff = with_unix_line_ends(raw)
    subject = info.get("Subject", "")
    headers = BytesHeaderParser().parsebytes(data[:_HEAD])
    refers = f"{headers.get('References', '')} {headers.get('In-Reply-To', '')}"
    base = _BASE.search(data)
    return Letter(
        name=f"{name}: {subject or mail.name}",
        diff=diff if holds_diff(diff) else b"",
        text=data,
        stem=stem(subject),
        subject=subject,
        author=f"{info.get('Author', '')} <{info.get('Email', '')}>",
        sender=printable(str(headers.get("From", ""))),
        message_id=printable(str(headers.get("Message-Id", "")).strip(" \t\r\n<>")),
        refers=tuple(re.findall(r"<([^<>\s]+)>", refers)),
        date=_date(str(headers.get("Date", ""))),
        base_commit=base[1].decode() if base else "",
        flowed=_FLOWED.search(data[:_HEAD]) is not None,
        notes=() if diff == raw else (_RETURNS,),
    )


def _date(text: str) -> int | None:
    """Seconds since 1970 of a mail's date; None for none."""
    from email.utils import mktime_tz, parsedate_tz  # noqa: PLC0415 (takes long)

    parsed = parsedate_tz(text)
    return mktime_tz(parsed) if parsed else None


def _mailinfo(mail: Path, data: bytes) -> tuple[dict[str, str], bytes]:
    """(what the headers say, what follows the message), decoded by git."""
    message, patch = mail.with_name("message"), mail.with_name("patch")
    command = ["git", "mailinfo", "-k", "--no-scissors", "--quoted-cr=nowarn"]
    files = [str(message), str(patch)]
    try:
        said = capture([*command, "--encoding=UTF-8", *files], stdin=data)
    except CommandError:  # Of a charset that there is not.
        said = capture([*command, "-n", *files], stdin=data)
    diff = patch.read_bytes()
    message.unlink()
    patch.unlink()
    lines: dict[str, list[str]] = {}
    for key, value in _INFO.findall(said):
        lines.setdefault(key, []).append(printable(value))
    return {key: " ".join(" ".join(found).split()) for key, found in lines.items()}, diff


# --- other ways --------------------------------------------------------------


@dataclass(frozen=True)
class _Export:
    """How a program writes several changes into a file."""

    beginning: re.Pattern[bytes]
    author: re.Pattern[str]
    subject: re.Pattern[str]
    date: re.Pattern[str]


_EXPORTS = (
    _Export(  # git log -p, git show
        re.compile(rb"(?m)^(?=commit [0-9a-f]{7,64}\b.*\n(?:\w+: .*\n)*?Author: )"),
        re.compile(r"(?m)^Author: +(.+)$"),
        re.compile(r"(?m)^ {4}(\S.*)$"),
        re.compile(r"(?m)^(?:Author)?Date: +(.+)$"),
    ),
    _Export(  # hg export
        re.compile(rb"(?m)^(?=# HG changeset patch$)"),
        re.compile(r"(?m)^# User +(.+)$"),
        re.compile(r"(?m)^([^#\s].*)$"),
        re.compile(r"(?m)^#Date: +(.+)$"),
    ),
)


def _plain(name: str, data: bytes) -> Letter:
    """A patch without headers, of which no more is known than a page says above it."""
    diff = with_unix_line_ends(data)
    notes = () if diff == data else (_RETURNS,)
    above = re.split(rb"(?m)^diff ", data[:_HEAD], maxsplit=1)[0].decode(errors="replace")
    subject, author = _PAGE_SUBJECT.search(above), _PAGE_AUTHOR.search(above)
    return Letter(
        name,
        diff if holds_diff(diff) else b"",
        text=data,
        stem=stem(printable(subject[1])) if subject else "",
        subject=printable(subject[1]) if subject else "",
        author=printable(author[1]) if subject and author else "",
        notes=notes,
    )


def _changes(name: str, data: bytes) -> list[Letter]:
    """Each commit or changeset of an export, the oldest first; none of any other file."""
    for export in _EXPORTS:
        begin = export.beginning.search(data)
        if begin and not holds_diff(data[: begin.start()]):
            return _oldest_first(
                [_change(name, piece, export) for piece in _pieces(export.beginning, data)]
            )
    return []


def _oldest_first(letters: list[Letter]) -> list[Letter]:
    """Changes as they follow each other; git's log begins with the newest."""
    dates = [letter.date for letter in letters if letter.date is not None]
    if len(letters) == 1 or len(dates) < len(letters) or dates[0] < dates[-1]:
        return letters
    note = ("its log begins with the newest: taken from the oldest on",)
    return [replace(letter, notes=note) for letter in letters[::-1]]


def _pieces(beginning: re.Pattern[bytes], data: bytes) -> Iterator[bytes]:
    """The data from each beginning to the next one."""
    starts = [found.start() for found in beginning.finditer(data)]
    for start, end in zip(starts, [*starts[1:], len(data)], strict=True):
        yield data[start:end]


def _change(name: str, piece: bytes, export: _Export) -> Letter:
    """One commit or changeset."""
    head = re.split(rb"(?m)^diff ", piece[:_HEAD], maxsplit=1)[0].decode(errors="replace")
    author, subject, date = (
        found[1] if (found := pattern.search(head)) else ""
        for pattern in (export.author, export.subject, export.date)
    )
    return replace(
        _plain(f"{name}: {printable(subject)}", piece),
        stem=stem(printable(subject)),
        subject=printable(subject),
        author=printable(author),
        date=_date(date),
    )
