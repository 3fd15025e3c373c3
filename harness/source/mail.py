# SPDX-License-Identifier: MIT
"""The patches of a mailbox: parts in order, the newest version, no replies and no covers."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from harness.errors import PlanError
from harness.model import PatchFile

# quilt's list of patches, in the folder of these.
SERIES = "series"
_SHOWN = 5

_REPLY = re.compile(r"(?i)^(?:(?:re|aw|antw|sv|vs|fwd?|wg|tr)(?:\[\d+\]|\(\d+\))?:\s*)+")
_BRACKETS = re.compile(r"^\[([^\]]*)\]\s*")
_VERSION = re.compile(r"(?i)(?:^|[\s-]|patch)v(\d+)\b")
_PART = re.compile(r"\b0*(\d+)\s*/\s*0*(\d+)\b")
_UNSAFE = re.compile(r"[^\w.]+", re.ASCII)
_STEM_LENGTH = 52


@dataclass(frozen=True)
class Tag:
    """What a mail's subject says of its place: `Re: [RFC PATCH v2 3/5] title`."""

    title: str
    reply: bool = False
    version: int = 1
    part: int | None = None
    of: int | None = None


def tag(subject: str) -> Tag:
    """The place that a subject names."""
    rest = subject.strip()
    reply = _REPLY.match(rest)
    rest = rest[reply.end() :] if reply else rest
    words = []
    while found := _BRACKETS.match(rest):
        words.append(found[1])
        rest = rest[found.end() :]
    said = " ".join(words)
    version, part = _VERSION.search(said), _PART.search(said)
    return Tag(
        title=rest.strip(),
        reply=reply is not None,
        version=int(version[1]) if version else 1,
        part=int(part[1]) if part else None,
        of=int(part[2]) if part else None,
    )


def stem(subject: str) -> str:
    """A subject as `git format-patch` names a file by it, without the suffix."""
    place = tag(subject)
    title = _UNSAFE.sub("-", place.title)[:_STEM_LENGTH].strip("-.")
    return f"{place.part:04d}-{title}" if place.part is not None else title


@dataclass(frozen=True)
class Letter:
    """A mail, or a patch that never was one; `name` is what a person knows it by.

    `diff` is what follows its message, empty where that holds none, `text` is all of it;
    `sender` sent it, for whichever author; `refers` are the ids of the mails that it answers;
    `date` is in seconds; `flowed` says that its text was.
    """

    name: str
    diff: bytes
    text: bytes = b""
    stem: str = ""
    subject: str = ""
    author: str = ""
    sender: str = ""
    message_id: str = ""
    refers: tuple[str, ...] = ()
    date: float | None = None
    base_commit: str = ""
    flowed: bool = False
    notes: tuple[str, ...] = ()

    @cached_property
    def tag(self) -> Tag:
        """What the subject says."""
        return tag(self.subject)

    @property
    def is_cover(self) -> bool:
        """True for part 0, whatever is in it: an interdiff is no patch."""
        return self.tag.part == 0


@dataclass(frozen=True)
class Chosen:
    """What of a mailbox is applied, in order; the cover's title; what else was done, in words."""

    letters: tuple[Letter, ...]
    title: str = ""
    cover: Letter | None = None
    base_commit: str = ""
    notes: tuple[str, ...] = ()


def chosen(place: str, letters: Sequence[Letter]) -> Chosen:
    """The patches of a mailbox, or of a folder of mails, in the order that is meant.

    A series' newest version; no cover letters, no replies, even with a diff in them.  Raises
    PlanError where that cannot be told.
    """
    letters = _once(letters)
    covers = [letter for letter in letters if letter.is_cover]
    found = [letter for letter in letters if letter.diff and not letter.is_cover]
    patches, replies = _without_replies(found) if len(found) > 1 else (found, [])
    if not patches:
        raise _nothing(place, letters)
    patches, old = _newest(place, patches, covers)
    patches = _without_resent(place, patches)
    ordered, moved = _ordered(patches)
    version = patches[-1].tag.version
    mine = [cover for cover in covers if cover.tag.version == version]
    others = len(letters) - len(covers) - len(found)
    return Chosen(
        letters=tuple(ordered),
        title=mine[-1].tag.title if mine else "",
        cover=mine[-1] if mine else None,
        base_commit=next((one.base_commit for one in reversed(mine) if one.base_commit), ""),
        notes=(
            *(f"left out: the cover letter {cover.subject}" for cover in mine),
            *_left_out(old, replies, others),
            *moved,
            *_missing(ordered),
        ),
    )


def _left_out(old: Sequence[Letter], replies: Sequence[Letter], others: int) -> list[str]:
    """What of a mailbox is no part of the series, in words."""
    notes = []
    if old:
        versions = sorted({letter.tag.version for letter in old})
        which = ", ".join(f"v{version}" for version in versions)
        notes.append(f"left out: an older version, {which} ({_patches(old)})")
    notes += [
        f"left out: the diff in a reply: {letter.subject} ({letter.sender})"
        for letter in replies[:_SHOWN]
    ]
    if len(replies) > _SHOWN:
        notes.append(f"left out: the diffs in {len(replies) - _SHOWN} more replies")
    if others:
        notes.append(f"left out: {others} mail{'s' if others > 1 else ''} without a diff")
    return notes


def _patches(letters: Sequence[Letter]) -> str:
    return f"{len(letters)} patch{'es' if len(letters) > 1 else ''}"


def _listed(letters: Iterable[Letter]) -> str:
    names = [letter.subject or letter.name for letter in letters]
    more = len(names) - _SHOWN
    return "; ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _once(letters: Sequence[Letter]) -> list[Letter]:
    """Each mail once, though it came to the author and over the list."""
    known: set[str] = set()
    found = []
    for letter in letters:
        if letter.message_id and letter.message_id in known:
            continue
        known.add(letter.message_id)
        found.append(letter)
    return found


def _nothing(place: str, letters: Sequence[Letter]) -> PlanError:
    return PlanError(
        f"{place} holds no patch",
        why=f"{len(letters)} mails are in it: {_listed(letters)}"
        if letters
        else "no mail is in it",
        advice="save the thread as it is on the list: b4 am, or the archive's mbox.gz",
    )


def _without_replies(patches: list[Letter]) -> tuple[list[Letter], list[Letter]]:
    """(the patches that answer nobody's, the others)."""
    by_id = {letter.message_id: letter for letter in patches if letter.message_id}

    def answers(letter: Letter) -> bool:
        """True for a reply, and for a lone patch that somebody else sent below another one."""
        asked = [by_id[name] for name in letter.refers if name in by_id]
        stranger = any(other.sender != letter.sender for other in asked)
        return letter.tag.reply or (letter.tag.part is None and stranger)

    replies = [letter for letter in patches if answers(letter)]
    return [letter for letter in patches if letter not in replies], replies


def _newest(
    place: str, patches: list[Letter], covers: list[Letter]
) -> tuple[list[Letter], list[Letter]]:
    """(the newest version's patches, the older ones'); raises PlanError where nobody can tell."""
    sent = [letter for letter in patches if letter.subject]
    newest = max((letter.tag.version for letter in sent), default=1)
    old = [letter for letter in sent if letter.tag.version < newest]
    kept = [letter for letter in patches if letter not in old]
    if not old:
        return kept, []
    before = old + [cover for cover in covers if cover.tag.version < newest]
    after = [*kept, *(cover for cover in covers if cover.tag.version == newest)]
    if not _related(before, after):
        raise PlanError(
            f"{place} holds patches of several versions that do not belong together",
            why=_listed(patches),
            advice="give those that are meant, each in a file, or in a mailbox of its own",
        )
    return kept, old


def _related(before: Sequence[Letter], after: Sequence[Letter]) -> bool:
    """True if mails of two versions are of one series: a title of both, or one answers another."""
    titles = {letter.tag.title.casefold() for letter in before}
    known = {letter.message_id for letter in before if letter.message_id}
    return any(
        letter.tag.title.casefold() in titles or known & set(letter.refers) for letter in after
    )


def _without_resent(place: str, patches: list[Letter]) -> list[Letter]:
    """Each part once; raises PlanError for two that say to be the same and are not."""
    known: dict[tuple[object, ...], Letter] = {}
    found = []
    for letter in patches:
        where = letter.tag
        key = (where.version, where.part, where.of, where.title.casefold())
        other = known.get(key) if letter.subject else None
        if other is None:
            known[key] = letter
            found.append(letter)
        elif other.diff != letter.diff:
            raise PlanError(
                f"{place} holds two patches of one name",
                why=f"they differ, and each is {letter.subject}",
                advice="give the one that is meant, or a mailbox without the other",
            )
    return found


def _ordered(patches: list[Letter]) -> tuple[list[Letter], list[str]]:
    """The patches as they are meant to follow each other, and what is said of it."""
    sent = [letter for letter in patches if letter.tag.part is None]
    if len(sent) == len(patches):
        return _oldest_first(patches)
    numbered = _numbered_series(patches)
    ordered: list[Letter] = []
    for letter in patches:
        members = numbered.get(_series_of(letter), [letter])
        ordered += [member for member in members if member not in ordered]
    moved = ordered != patches
    return ordered, ["taken in the order of their parts, not of the mailbox"] if moved else []


def _series_of(letter: Letter) -> tuple[int, int | None]:
    return letter.tag.version, letter.tag.of


def _numbered_series(patches: Sequence[Letter]) -> dict[tuple[int, int | None], list[Letter]]:
    """The members, in order, of each series that was sent, or of which each part is there."""
    found: dict[tuple[int, int | None], list[Letter]] = {}
    for letter in patches:
        if letter.tag.part is not None:
            found.setdefault(_series_of(letter), []).append(letter)
    return {
        key: sorted(members, key=_part)
        for key, members in found.items()
        if all(member.message_id for member in members)
        or sorted(map(_part, members)) == list(range(1, (key[1] or 0) + 1))
    }


def _part(letter: Letter) -> int:
    return letter.tag.part or 0


def _oldest_first(patches: list[Letter]) -> tuple[list[Letter], list[str]]:
    """Patches without numbers: as they lie there, but for mails that lie newest first."""
    dates = [letter.date if letter.message_id else None for letter in patches]
    known = [date for date in dates if date is not None]
    falling = all(one > two for one, two in pairwise(known))
    if len(patches) > 1 and len(known) == len(patches) and falling:
        return patches[::-1], ["its mails lie newest first: taken from the oldest on"]
    return patches, []


def _missing(patches: Sequence[Letter]) -> list[str]:
    """Which parts of a series are not there."""
    parts: dict[tuple[int, int], set[int]] = {}
    for letter in patches:
        if letter.tag.part is not None and letter.tag.of is not None:
            parts.setdefault((letter.tag.version, letter.tag.of), set()).add(letter.tag.part)
    return [
        f"not there: part {', '.join(map(str, sorted(left)))} of {of}"
        for (_, of), there in parts.items()
        if (left := set(range(1, of + 1)) - there)
    ]


def as_mail(patch: PatchFile) -> bytes:
    """A patch with what is known of it, as `git am` takes it; its lines byte for byte."""
    head = {"From": patch.author, "Subject": patch.subject}
    head["Message-Id"] = f"<{patch.message_id}>" if patch.message_id else ""
    lines = [f"{key}: {value}\n" for key, value in head.items() if value]
    if not patch.subject:
        return patch.data
    body = patch.data if patch.data.startswith(b"---\n") else b"---\n" + patch.data
    base = f"base-commit: {patch.base_commit}\n" if patch.base_commit else ""
    return "".join([*lines, "\n", base]).encode() + body
