# SPDX-License-Identifier: MIT
"""From patches to the git tree that they make of a source, and why they do not.

How many leading components a patch's paths have too many is seen by what is in the source,
not by what they begin with: `a/`, `w/`, `linux.orig/`, nothing.
"""

import re
from dataclasses import dataclass

from harness.errors import HarnessError, PatchError, PlanError
from harness.host.process import CommandError
from harness.model import PatchFile
from harness.source import archive
from harness.source.git import Store
from harness.source.patches import MAKE_ONE, lacks_context, rejected_hunk, whitespace_damage
from harness.source.paths import Paths, printable
from harness.source.tree import Tree

INDEX = "apply.index"
# More leading components than a patch has that names files by /home/me/src/linux-6.12/...
_LEVELS = 16
_USUAL = 1
_SHOWN = 5
_REBASE = "rebase it onto this kernel, or choose another one with --source"

_TOO_FEW = ("lacks filename information", "unable to find filename")
_UNSAFE = ("invalid path", "beyond a symbolic link")
_CORRUPT = re.compile(r" (?:at|on) line (\d+)")
_CREATED = re.compile(r"^ create (?:mode \d+ )?(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Reading:
    """A patch as git reads it with `level` leading components stripped off its paths.

    It makes the files `made`, takes the others that it `reads` to be there, and leaves what
    it `leaves`.
    """

    level: int
    reads: frozenset[str]
    made: frozenset[str]
    leaves: frozenset[str]

    @property
    def names(self) -> frozenset[str]:
        """All paths that the patch has to do with."""
        return self.reads | self.made | self.leaves

    def evidence(self, held: Paths) -> tuple[int, int]:
        """How much speaks for this reading: files that are there, folders that new ones go to."""
        known = sum(path in held for path in self.reads)
        return known, sum(held.depth(path) for path in self.made)


def patched(tree: Tree, pristine: str | None, patches: tuple[PatchFile, ...]) -> tuple[str, str]:
    """(pristine tree, patched tree); without a pristine tree, of an unpacked archive.

    Raises PatchError for a patch that does not apply, PlanError for a file that is no patch
    or was damaged on its way.
    """
    if not patches:
        base = pristine or archive.track(tree, set())
        return base, base
    held = tree.paths(pristine) if pristine else archive.held(tree)
    looked_up = []
    for patch in patches:
        found = _look_up(tree.git, patch, held)
        looked_up.append(found)
        held = held.joined(found.reading.leaves)
    base = pristine or archive.track(tree, {name for found in looked_up for name in found.names})
    tree.git.run("read-tree", base, index=INDEX)
    for found in looked_up:
        _apply(tree.git, found)
    return base, tree.git.write_tree(INDEX)


@dataclass(frozen=True)
class LookedUp:
    """A patch, how it can be read, how it is, and what the source holds before it."""

    patch: PatchFile
    readings: tuple[Reading, ...]
    reading: Reading
    held: Paths

    @property
    def names(self) -> set[str]:
        """All paths that it may have to do with."""
        return {name for reading in self.readings for name in reading.names}


def _look_up(git: Store, patch: PatchFile, held: Paths) -> LookedUp:
    """Find out what a patch's paths are; raises PlanError for what git can read at no level."""
    readings = _readings(git, patch, held)
    return LookedUp(patch, readings, _choose(readings, held), held)


def _readings(git: Store, patch: PatchFile, held: Paths) -> tuple[Reading, ...]:
    """The patch at each level at which git can read it, up to one that fits the source."""
    found: list[Reading] = []
    complaint = ""
    for level in range(_LEVELS):
        try:
            found.append(_read(git, patch, level))
        except CommandError as error:
            if not any(words in error.output for words in _TOO_FEW):
                raise _unreadable(patch, error.output) from error
            complaint = complaint or error.output
            if found:
                break
        else:
            # Less of a path would be less of what is there.
            if found[-1].reads and all(path in held for path in found[-1].reads):
                break
    if not found:
        raise _unreadable(patch, complaint)
    return tuple(found)


def _read(git: Store, patch: PatchFile, level: int) -> Reading:
    """The paths in a patch, by git's own word; raises CommandError where git cannot tell."""
    read = ("apply", "--numstat", "-z", f"-p{level}", "-")
    *rows, summary = git.run(*read, "--summary", stdin=patch.data).split("\0")
    undone = git.names(*read, "--reverse", stdin=patch.data)
    before = frozenset(row.split("\t", 2)[2] for row in undone)
    made = frozenset(_CREATED.findall(summary))
    after = frozenset(row.split("\t", 2)[2] for row in rows)
    return Reading(level, before - made, made, after)


def _choose(readings: tuple[Reading, ...], held: Paths) -> Reading:
    """The reading that the source has most of the files for.

    Of equal ones the longest paths; where all is new, what git would take.
    """
    said = {reading: reading.evidence(held) for reading in readings}
    best = max(said.values())
    absolute = any(name.startswith("/") for name in readings[0].names)
    if any(best) or absolute:
        return next(reading for reading in readings if said[reading] == best)
    return next((reading for reading in readings if reading.level == _USUAL), readings[0])


def _apply(git: Store, found: LookedUp) -> None:
    """Have the index hold what the patch makes of it; raises what `patched` raises."""
    patch = found.patch
    try:
        _git_apply(git, patch, found.reading)
    except CommandError as error:
        said = "\n".join(map(printable, error.output.strip().splitlines()))
        if any(_applies(git, patch, reading, "--reverse") for reading in found.readings):
            raise PatchError(
                f"{patch.path} is in this source already",
                why="it applies in reverse",
                advice="leave it out, or choose an older kernel with --source",
            ) from error
        raise _refused(git, found, said) from error


def _git_apply(git: Store, patch: PatchFile, reading: Reading, *options: str) -> None:
    """Run git apply on the index; raises CommandError."""
    apply = ("apply", "--cached", "--whitespace=nowarn", f"-p{reading.level}", *options, "-")
    git.run(*apply, index=INDEX, stdin=patch.data)


def _applies(git: Store, patch: PatchFile, reading: Reading, *options: str) -> bool:
    """True where git finds that the index has what the patch changes."""
    try:
        _git_apply(git, patch, reading, "--check", *options)
    except CommandError:
        return False
    return True


def _refused(git: Store, found: LookedUp, said: str) -> HarnessError:
    """Why a patch that git can read does not apply."""
    patch, reading, held = found.patch, found.reading, found.held
    missing = sorted(path for path in reading.reads if path not in held)
    if any(words in said for words in _UNSAFE):
        return PatchError(
            f"{patch.path} reaches out of the source tree",
            why=said,
            advice="a patch may only name files of the tree, and not through links",
        )
    if missing:
        return PatchError(
            f"{patch.path} does not apply", why=_not_there(missing, held), advice=_REBASE
        )
    if "only garbage" in said:
        return _unreadable(patch, said)
    if "without full index line" in said:
        return PlanError(
            f"{patch.path} lacks what it changes",
            why=said,
            advice="make it with git diff --binary, or git format-patch",
        )
    but_for_space = not _applies(git, patch, reading) and _applies(
        git, patch, reading, "--ignore-whitespace"
    )
    damage = whitespace_damage(patch) if but_for_space else ""
    if damage:
        return _damaged(patch, damage)
    hints = ["it would, if white space were left aside"] if but_for_space else []
    hints += ["it has no lines of context (diff -U0)"] if lacks_context(patch) else []
    return PatchError(
        f"{patch.path} does not apply",
        why="\n".join(filter(None, [said, *hints, rejected_hunk(patch, said, reading.level)])),
        advice=_REBASE,
    )


def _not_there(missing: list[str], held: Paths) -> str:
    """Which files a patch wants that the source does not have, and what is near them."""
    lines = []
    for path in missing[:_SHOWN]:
        near = held.nearest(path)
        meant = f" (did you mean {printable(near)}?)" if near else ""
        lines.append(f"this source has no {printable(path)}{meant}")
    left = len(missing) - _SHOWN
    return "\n".join([*lines, *([f"... and {left} more"] if left > 0 else [])])


def _unreadable(patch: PatchFile, said: str) -> PlanError:
    """Why git can read no patch in a file."""
    said = printable(said.strip())
    if "No valid patches" in said:
        return PlanError(
            f"{patch.path} is not a patch", why="git finds no change in it", advice=MAKE_ONE
        )
    at = _CORRUPT.search(said)
    lines = patch.data.splitlines()
    number = int(at[1]) if at else 0
    if number > len(lines):
        return _damaged(patch, f"{said}\nit ends within a hunk")
    shown = printable(lines[number - 1].decode(errors="surrogateescape")) if number else ""
    return _damaged(patch, "\n".join(filter(None, [said, shown])))


def _damaged(patch: PatchFile, why: str) -> PlanError:
    return PlanError(
        f"{patch.path} was damaged on its way",
        why=why,
        advice="get it as it was made: git format-patch, b4 am, a mail's raw text",
    )
