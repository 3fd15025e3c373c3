# SPDX-License-Identifier: MIT
"""A source tree of the harness's own, in which git switches between subjects.

git rewrites only files whose content differs, so that make rebuilds only what
a patch touches.
"""

import secrets
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from harness.host.process import CommandError
from harness.host.store import Cache, digest, write_text
from harness.source.clone import Clone
from harness.source.git import Store
from harness.source.paths import Paths


@dataclass(frozen=True)
class Change:
    """One path that two trees differ in, as git names the difference.

    `status` is A (added), D (deleted), M (content or mode) or T (another kind of file).
    A byte of `path` that is no UTF-8 is a lone surrogate (PEP 383).
    """

    path: str
    status: str
    mode_only: bool = False


class Tree:
    """A work tree, and a git store beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "tree"
        self.git = Store(folder / "git", self.work)

    @property
    def _state(self) -> Path:
        """Names the git tree that the work tree holds; absent while that is in doubt."""
        return self.git.folder / "checked-out"

    def prepare(self, clone: Clone | None = None) -> None:
        """Make the git store, once; with a clone's objects in it, which are not copied."""
        self.git.prepare(clone)

    def token(self) -> str:
        """What tells this tree from one that was made anew in its place."""
        file = self.git.folder / "token"
        if not file.exists():
            write_text(file, secrets.token_hex(16))
        return file.read_text()

    def forget(self) -> None:
        """Have the next checkout look at every file that git knows."""
        self._state.unlink(missing_ok=True)

    def paths(self, tree: str) -> Paths:
        """What is in a git tree."""
        return Paths(self.git.names("ls-tree", "-r", "-z", "--name-only", tree))

    def checkout(self, tree: str) -> None:
        """Make the work tree hold a git tree; heals what an interrupted checkout left.

        From a state that is known, git looks only at what differs, and refuses where
        someone has touched that.
        """
        before = self._state.read_text() if self._state.exists() else ""
        self.forget()
        try:
            if before:
                self.git.run("read-tree", "-m", "-u", before, tree)
        except CommandError:
            before = ""
        if not before:
            self.git.run("read-tree", "--reset", "-u", tree)
        write_text(self._state, tree)

    def difference(self, pristine: str, tree: str, below: tuple[str, ...] = ()) -> str:
        """Digest of what differs between two trees, or folders of them: mode, blob and path."""
        compare = ["diff-tree", "-r", "--no-renames", pristine, tree, "--", *below]
        rows = self.git.run(*compare).splitlines()
        return digest(*sorted(rows))

    def changed(self, pristine: str, tree: str) -> tuple[Change, ...]:
        """What differs between two trees, path by path; a rename is a deletion and an addition."""
        said = self.git.run("diff-tree", "-r", "-z", "--no-renames", pristine, tree).split("\0")
        changes = []
        for row, path in zip(said[0:-1:2], said[1::2], strict=True):
            _, _, before, after, status = row.split(" ")
            changes.append(Change(path, status, mode_only=before == after))
        return tuple(changes)

    def diff(self, pristine: str, tree: str, paths: Sequence[str]) -> str:
        """What differs between two trees in some files, as `diff -u` has it."""
        if not paths:
            return ""
        options = ("--no-color", "--no-renames", "--no-ext-diff", "--text")
        return self.git.run("diff", *options, pristine, tree, "--", *paths)

    def kconfig_digest(self, tree: str) -> str:
        """Digest of the Kconfig files that git knows in a tree."""
        rows = self.git.run("ls-tree", "-r", tree).splitlines()
        return digest(*(row for row in rows if "/Kconfig" in row))


@dataclass(frozen=True)
class Source:
    """A tree that is ready to be patched and built.

    `pristine` is its git tree, or None for an unpacked archive; `digest` names its content
    either way.
    """

    spec: str
    version: str
    digest: str
    tree: Tree
    pristine: str | None

    def locked(self, cache: Cache, say: Callable[[str], None]) -> AbstractContextManager[None]:
        """The tree to ourselves, and what is built of it."""
        waiting = f"another run works in {self.tree.folder}: waiting"
        return cache.lock(f"source-{self.tree.folder.name}", lambda: say(waiting))
