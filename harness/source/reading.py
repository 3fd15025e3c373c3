# SPDX-License-Identifier: MIT
"""How a patch's paths are to be read: what is in the source tells.

How many leading components they have too many is not seen by what they begin with: `a/`,
`w/`, `linux.orig/`, nothing; nor that they begin in a folder (`git diff --relative`).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from harness.host.process import CommandError
from harness.model import PatchFile
from harness.source.git import Store
from harness.source.paths import Paths, printable

# More leading components than a patch has that names files by /home/me/src/linux-6.12/...
_LEVELS = 16
_USUAL = 1
# In more folders nobody looks for a file of a name.
_FOLDERS = 200

_TOO_FEW = ("lacks filename information", "unable to find filename")
_CREATED = re.compile(r"^ create (?:mode \d+ )?(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Reading:
    """A patch as git reads it with `level` leading components stripped off its paths.

    It makes the files `made`, takes the others that it `reads` to be there, and leaves what
    it `leaves`; all `below` a folder where it was made in one.
    """

    level: int
    reads: frozenset[str]
    made: frozenset[str]
    leaves: frozenset[str]
    below: str = ""

    @property
    def names(self) -> frozenset[str]:
        """All paths that the patch has to do with."""
        return self.reads | self.made | self.leaves

    @property
    def options(self) -> list[str]:
        """Those of git apply."""
        return [f"-p{self.level}", *([f"--directory={self.below}"] if self.below else [])]

    def evidence(self, held: Paths) -> tuple[int, int]:
        """How much speaks for this reading: files that are there, folders that new ones go to."""
        known = sum(path in held for path in self.reads)
        return known, sum(held.depth(path) for path in self.made)

    def at(self, folder: str) -> "Reading":
        """The same, made in a folder."""

        def moved(paths: frozenset[str]) -> frozenset[str]:
            return frozenset(f"{folder}/{path}" for path in paths)

        reads, made, leaves = map(moved, (self.reads, self.made, self.leaves))
        return Reading(self.level, reads, made, leaves, below=folder)

    @property
    def note(self) -> str:
        """What is unusual about it; empty for `a/` and `b/`."""
        if self.below:
            return f"its paths are taken below {printable(self.below)}/, where they fit"
        if self.level != _USUAL and self.reads:
            return f"its paths are taken with -p{self.level}, as the files are there"
        return ""


def readings(git: Store, patch: PatchFile) -> tuple[Reading, ...]:
    """The patch at each level at which git can read it; raises CommandError where there is none."""
    found: list[Reading] = []
    refused: CommandError | None = None
    for level in range(_LEVELS):
        try:
            found.append(_read(git, patch, level))
        except CommandError as error:
            if not any(words in error.output for words in _TOO_FEW):
                raise
            refused = refused or error
            if found:
                break
    if refused and not found:
        raise refused
    return tuple(found)


def reading_of(paths: Iterable[str]) -> Reading:
    """The usual reading of a patch that changes these files, or makes them."""
    names = frozenset(paths)
    return Reading(_USUAL, names, frozenset(), names)


def _read(git: Store, patch: PatchFile, level: int) -> Reading:
    """The paths in a patch, by git's own word; raises CommandError where git cannot tell."""
    read = ("apply", "--numstat", "-z", f"-p{level}", "-")
    *rows, summary = git.run(*read, "--summary", stdin=patch.data).split("\0")
    undone = git.names(*read, "--reverse", stdin=patch.data)
    before = frozenset(row.split("\t", 2)[2] for row in undone)
    made = frozenset(_CREATED.findall(summary))
    after = frozenset(row.split("\t", 2)[2] for row in rows)
    return Reading(level, before - made, made, after)


def relative(some: tuple[Reading, ...], held: Paths) -> tuple[Reading, ...]:
    """The readings of a patch that was made within a folder; none where it fits as it is."""
    if any(all(path in held for path in one.reads) for one in some):
        return ()
    for one in some[: _USUAL + 1]:
        folders = [set(held.ending_with(path)) for path in one.reads]
        common = set.intersection(*folders) if folders else set()
        if common:
            return tuple(one.at(folder) for folder in sorted(common)[:_FOLDERS])
    return ()


def choose(some: tuple[Reading, ...], held: Paths) -> Reading:
    """The reading that the source has most of the files for.

    Of equal ones the longest paths; where all is new, what git would take.
    """
    said = {reading: reading.evidence(held) for reading in some}
    best = max(said.values())
    absolute = any(name.startswith("/") for name in some[0].names)
    if any(best) or absolute:
        return next(reading for reading in some if said[reading] == best)
    return next((reading for reading in some if reading.level == _USUAL), some[0])
