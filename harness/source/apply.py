# SPDX-License-Identifier: MIT
"""From patches to the git tree that they make of a source, and why they do not."""

import re
from dataclasses import dataclass

from harness.errors import HarnessError, PatchError, PlanError
from harness.host.process import CommandError
from harness.model import PatchFile
from harness.source import archive, flattened
from harness.source.git import Store
from harness.source.patches import (
    FLOWED,
    MAKE_ONE,
    fuzz_of,
    lacks_context,
    most_context,
    rejected_hunk,
    whitespace_damage,
)
from harness.source.paths import Paths, printable
from harness.source.reading import Reading, choose, reading_of, readings, relative
from harness.source.tree import Tree

INDEX = "apply.index"
_SHOWN = 5
_UNSAFE = ("invalid path", "beyond a symbolic link")
_CORRUPT = re.compile(r" (?:at|on) line (\d+)")
# With so many lines of context a hunk may lack one and still have a place.
_ENOUGH_CONTEXT = 3


@dataclass(frozen=True)
class Applied:
    """The pristine tree, the patched one, and the patches with what was done to have them apply.

    Without a pristine tree `base` is one of an unpacked archive.
    """

    base: str
    tree: str
    patches: tuple[PatchFile, ...]


def patched(tree: Tree, pristine: str | None, patches: tuple[PatchFile, ...]) -> tuple[str, str]:
    """(pristine tree, patched tree); raises what `apply_all` raises."""
    applied = apply_all(tree, pristine, patches)
    return applied.base, applied.tree


def apply_all(tree: Tree, pristine: str | None, patches: tuple[PatchFile, ...]) -> Applied:
    """Apply patches, one after the other.

    Raises PatchError for a patch that does not apply, PlanError for a file that is no patch
    or was damaged on its way.
    """
    if not patches:
        base = pristine or archive.track(tree, set())
        return Applied(base, base, ())
    held = tree.paths(pristine) if pristine else archive.held(tree)
    candidates = [_candidates(tree.git, patch, held) for patch in patches]
    names = {name for one in candidates for name in one.names}
    base = pristine or archive.track(tree, names)
    tree.git.run("read-tree", base, index=INDEX)
    done = []
    for candidate in candidates:
        one = _mended(tree.git, candidate) if candidate.page else candidate
        applying = _Applying(tree.git, one, held)
        done.append(applying.apply())
        held = held.joined(applying.reading.leaves)
    return Applied(base, tree.git.write_tree(INDEX), tuple(done))


@dataclass(frozen=True)
class _Candidate:
    """A patch with each way to read its paths; `within` are those of one made in a folder.

    `page` is what is left of one whose white space is gone.
    """

    patch: PatchFile
    usual: tuple[Reading, ...]
    within: tuple[Reading, ...]
    page: tuple[flattened.File, ...] = ()

    @property
    def names(self) -> set[str]:
        return {name for one in (*self.usual, *self.within) for name in one.names}


def _candidates(git: Store, patch: PatchFile, held: Paths) -> _Candidate:
    """The ways to read a patch; raises PlanError where git can read none in it."""
    try:
        usual = readings(git, patch)
    except CommandError as error:
        page = flattened.parse(patch)
        if not page:
            raise _unreadable(patch, error.output) from error
        return _Candidate(patch, (reading_of(file.path for file in page),), (), page)
    return _Candidate(patch, usual, relative(usual, held))


def _mended(git: Store, candidate: _Candidate) -> _Candidate:
    """A patch with the white space that the index tells; raises PlanError where it does not."""

    def read(path: str) -> bytes | None:
        try:
            text = git.run("cat-file", "blob", f":{path}", index=INDEX)
        except CommandError:
            return None
        return text.encode(errors="surrogateescape")

    patch = flattened.repaired(candidate.patch, candidate.page, read)
    return _candidates(git, patch, Paths(()))


class _Applying:
    """One patch, applied to the index on top of what `held` names."""

    def __init__(self, git: Store, candidate: _Candidate, held: Paths) -> None:
        self.git = git
        self.patch = candidate.patch
        self.usual = candidate.usual
        self.held = held
        self.reading = self._reading(candidate)

    def _reading(self, candidate: _Candidate) -> Reading:
        """The one that is meant; raises PatchError where it might be several."""
        usual = choose(candidate.usual, self.held)
        if all(path in self.held for path in usual.reads) or not candidate.within:
            return usual
        fitting = [one for one in candidate.within if self._applies(one)]
        if len(fitting) > 1:
            raise PatchError(
                f"{self.patch.path} does not say where it belongs",
                why=f"it applies below {', '.join(printable(one.below) for one in fitting)}",
                advice="make it at the top of the tree: git diff --no-relative",
            )
        only = candidate.within if len(candidate.within) == 1 else ()
        return next(iter((*fitting, *only)), usual)

    def apply(self) -> PatchFile:
        """Have the index hold what the patch makes of it, and tell how; raises HarnessError."""
        warnings: list[str] = []
        try:
            self._run("--cached")
        except CommandError as error:
            said = "\n".join(map(printable, error.output.strip().splitlines()))
            if any(self._applies(one, "--reverse") for one in (self.reading, *self.usual)):
                raise PatchError(
                    f"{self.patch.path} is in this source already",
                    why="it applies in reverse",
                    advice="leave it out, or choose an older kernel with --source",
                ) from error
            warnings = self._merged() or self._with_fuzz()
            if not warnings:
                raise self._refused(said) from error
        notes = [*self.patch.notes, *filter(None, [self.reading.note])]
        return self.patch.model_copy(
            update={"notes": tuple(notes), "warnings": (*self.patch.warnings, *warnings)}
        )

    def _run(self, *options: str, reading: Reading | None = None) -> str:
        """Run git apply on the index; raises CommandError."""
        where = (reading or self.reading).options
        apply = ("apply", "--whitespace=nowarn", *where, *options, "-")
        return self.git.run(*apply, index=INDEX, stdin=self.patch.data, with_errors=True)

    def _applies(self, reading: Reading, *options: str) -> bool:
        """True where git finds that the index has what the patch changes."""
        try:
            self._run("--cached", "--check", *options, reading=reading)
        except CommandError:
            return False
        return True

    def _merged(self) -> list[str]:
        """Merge it three ways, where the store has the files that it was made of; what to say."""
        before = self.git.write_tree(INDEX)
        try:
            self._run("--cached", "--3way")
        except CommandError:
            self.git.run("read-tree", before, index=INDEX)
            return []
        files = ", ".join(map(printable, sorted(self.reading.reads)[:_SHOWN]))
        return [f"merged three ways, as it was made for other versions of {files}"]

    def _with_fuzz(self) -> list[str]:
        """Apply it with a line less of context around each hunk; what to say."""
        context = most_context(self.patch)
        if context < _ENOUGH_CONTEXT:
            return []
        try:
            said = self._run("--cached", "--verbose", f"-C{context - 1}")
        except CommandError:
            return []
        where = (self.reading.level, self.reading.below)
        return fuzz_of(self.patch, said, *where) or ["applied with fuzz 1"]

    def _refused(self, said: str) -> HarnessError:
        """Why a patch that git can read does not apply."""
        patch, what = self.patch, f"{self.patch.path} does not apply"
        missing = sorted(path for path in self.reading.reads if path not in self.held)
        if any(words in said for words in _UNSAFE):
            return PatchError(
                f"{patch.path} reaches out of the source tree",
                why=said,
                advice="a patch may only name files of the tree, and not through links",
            )
        if missing:
            return PatchError(what, why=_not_there(missing, self.held), advice=_rebase(patch))
        if "only garbage" in said:
            return _unreadable(patch, said)
        if "without full index line" in said:
            return PlanError(
                f"{patch.path} lacks what it changes",
                why=said,
                advice="make it with git diff --binary, or git format-patch",
            )
        but_for_space = not self._applies(self.reading) and self._applies(
            self.reading, "--ignore-whitespace"
        )
        damage = whitespace_damage(patch) if but_for_space else ""
        if damage:
            return _damaged(patch, damage)
        hints = ["it would, if white space were left aside"] if but_for_space else []
        hints += ["it has no lines of context (diff -U0)"] if lacks_context(patch) else []
        hunk = rejected_hunk(patch, said, self.reading.level, self.reading.below)
        why = "\n".join(filter(None, [said, *hints, hunk]))
        return PatchError(what, why=why, advice=_rebase(patch))


def _rebase(patch: PatchFile) -> str:
    made_for = f"it was made on {patch.base_commit[:12]}; " if patch.base_commit else ""
    return f"{made_for}rebase it onto this kernel, or choose another one with --source"


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
    if patch.flowed:
        return _damaged(patch, FLOWED)
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
