# SPDX-License-Identifier: MIT
"""The paths of a source, and what is near one that it does not have."""

import difflib
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from harness.host.store import digest

# A folder's name has 255 at the most, and a subject's has more in it.
_NAME_BYTES = 100
_DIGITS = 8


def printable(text: str) -> str:
    """A path, or a line of a tool, as it can be shown and stored.

    Bytes that are no UTF-8 are \\xNN, control characters are as Python writes them.
    """
    whole = text.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return "".join(
        char if char.isprintable() or char == "\t" else ascii(char)[1:-1] for char in whole
    )


def short(name: str) -> str:
    """A file's name as it may be in a subject's or a scenario's, which is a folder's in a run.

    A long one ends in a digest of it: those of one beginning are told apart.
    """
    safe = "".join(char if char.isprintable() else "_" for char in name)
    if len(safe.encode()) <= _NAME_BYTES:
        return safe
    end = f"~{digest(name.encode(errors='surrogateescape'))[:_DIGITS]}"
    return safe.encode()[: _NAME_BYTES - len(end)].decode(errors="ignore") + end


def _folders(path: str) -> Iterator[str]:
    """The folders that a path lies in, the outermost first, the root left out."""
    at = path.find("/")
    while at != -1:
        yield path[:at]
        at = path.find("/", at + 1)


class Paths:
    """The files and links of a tree, by their paths below its root."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._sorted = sorted(paths)
        self._known = frozenset(self._sorted)

    def __contains__(self, path: str) -> bool:
        """True for a file or a link, not for a folder."""
        return path in self._known

    def __iter__(self) -> Iterator[str]:
        return iter(self._sorted)

    def joined(self, paths: Iterable[str]) -> "Paths":
        """These and others."""
        return Paths({*self._known, *paths})

    def below(self, folder: str) -> str | None:
        """The first path in a folder; None where there is no such folder."""
        at = bisect_left(self._sorted, f"{folder}/")
        first = self._sorted[at] if at < len(self._sorted) else ""
        return first if first.startswith(f"{folder}/") else None

    def depth(self, path: str) -> int:
        """In how many of its folders a path would lie that are there already."""
        return sum(self.below(folder) is not None for folder in _folders(path))

    def in_the_way(self, path: str) -> set[str]:
        """What git must know to judge a change of `path`.

        It itself, a file or link where the path has a folder, a file in a folder of its name.
        """
        found = {name for name in (path, *_folders(path)) if name in self}
        inside = self.below(path)
        return found | {inside} if inside else found

    def ending_with(self, path: str) -> list[str]:
        """The folders below which there is a file or link of this path."""
        return [known.removesuffix(f"/{path}") for known in self if known.endswith(f"/{path}")]

    def nearest(self, path: str) -> str | None:
        """A path that may be meant: one with the same name elsewhere, or a like one beside it."""
        last = PurePosixPath(path).name
        namesakes = [known for known in self if known.endswith(f"/{last}") or known == last]
        if namesakes:
            return difflib.get_close_matches(path, namesakes, n=1, cutoff=0.0)[0]
        folder = path.rpartition("/")[0]
        beside = [known for known in self if known.rpartition("/")[0] == folder]
        return next(iter(difflib.get_close_matches(path, beside, n=1, cutoff=0.8)), None)
