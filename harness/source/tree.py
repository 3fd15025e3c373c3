# SPDX-License-Identifier: MIT
"""A source tree of the harness's own, in which git switches between subjects.

git rewrites only files whose content differs, so that make rebuilds only what
a patch touches.  git apply refuses to write outside the tree.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HostError, PatchError
from harness.host.process import CommandError, capture, environment
from harness.host.store import Cache, digest, write_text
from harness.model import PatchFile
from harness.source.patches import rejected_hunk, touched

# Products of a build in the tree, for folders that git does not manage.
_BUILD_PRODUCTS = (
    ".git",
    "*.o",
    "*.ko",
    "*.a",
    "*.cmd",
    "*.mod",
    "*.mod.c",
    "*.order",
    "*.d",
    "/vmlinux*",
    "/.config*",
    "/System.map",
    "/Module.symvers",
    "/include/generated/",
    "/include/config/",
)


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
    """A work tree, and a git store beside it that knows the files that patches touch.

    `pristine` is the git tree of the source without patches.  Of an unpacked
    archive only the files that some patch touched are in it: the archive's
    digest stands for the rest.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "tree"
        self.git_dir = folder / "git"

    @property
    def _state(self) -> Path:
        """Names the git tree that the work tree holds; absent while that is in doubt."""
        return self.git_dir / "checked-out"

    def _git(
        self, *argv: str, index: str = "index", work: Path | None = None, stdin: bytes = b""
    ) -> str:
        env = environment(
            {
                "GIT_DIR": str(self.git_dir),
                "GIT_WORK_TREE": str(work or self.work),
                "GIT_INDEX_FILE": str(self.git_dir / index),
                "GIT_CONFIG_GLOBAL": "/dev/null",
                "GIT_CONFIG_NOSYSTEM": "1",
            }
        )
        return capture(
            ["git", *argv],
            cwd=work or self.work,
            env=env,
            stdin=stdin,
            errors="surrogateescape",
        )

    def unpack(self, tarball: Path) -> None:
        """Fill a new tree from an archive, without its top folder; raises HostError."""
        self.work.mkdir()
        unpack = ["tar", "--extract", "--strip-components=1"]
        unpack += ["--file", str(tarball), "--directory", str(self.work)]
        try:
            capture(unpack, env=environment({"XZ_DEFAULTS": "--threads=0"}))
        except CommandError as error:
            raise HostError(f"cannot unpack {tarball.name}", why=error.output) from error
        self.prepare()

    def prepare(self) -> None:
        """Make the git store, once."""
        if (self.git_dir / "HEAD").exists():
            return
        self.work.mkdir(parents=True, exist_ok=True)
        env = environment({"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"})
        capture(["git", "init", "--quiet", "--bare", str(self.git_dir)], env=env)
        for key, value in {
            "core.bare": "false",
            "core.autocrlf": "false",
            "core.compression": "0",
            "core.bigFileThreshold": "1",  # straight into one pack, not 80,000 loose objects
            "core.fsync": "none",
            "gc.auto": "0",
        }.items():
            capture(["git", "-C", str(self.git_dir), "config", key, value], env=env)
        (self.git_dir / "info").mkdir(exist_ok=True)
        (self.git_dir / "info" / "products").write_text("\n".join(_BUILD_PRODUCTS) + "\n")

    def snapshot(self, user_tree: Path) -> str:
        """The content of a developer's tree, uncommitted changes included, as a git tree.

        Only reads there.  Where git manages it, git's own ignore rules hold.
        """
        managed = (user_tree / ".git").exists()
        if managed:
            env = environment({"GIT_OPTIONAL_LOCKS": "0"})
            listing = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
            listing += ["--cached", "--others", "--exclude-standard"]
            paths = capture(listing, cwd=user_tree, env=env)
        else:
            exclude = f"--exclude-from={self.git_dir / 'info' / 'products'}"
            empty = "empty.index"
            paths = self._git("ls-files", "-z", "--others", exclude, index=empty, work=user_tree)
        index = "user.index"
        tracked = self._git("ls-files", "-z", index=index, work=user_tree)
        names = sorted({*paths.split("\0"), *tracked.split("\0")} - {""})
        update = ["update-index", "--add", "--remove", "-z", "--stdin"]
        self._git(*update, index=index, work=user_tree, stdin="\0".join(names).encode() + b"\0")
        return self._git("write-tree", index=index, work=user_tree).strip()

    def track(self, paths: list[str]) -> str:
        """Of an unpacked archive: the pristine tree with at least these paths in it."""
        index = "pristine.index"
        known = set(self._git("ls-files", "-z", index=index).split("\0"))
        missing = [path for path in paths if path not in known]
        if missing:
            # A file is pristine only while no patch is checked out over it.
            self.checkout(self._git("write-tree", index=index).strip())
            present = [path for path in missing if (self.work / path).is_file()]
            if present:
                self._git("add", "--force", "--", *present, index=index)
                self._state.unlink(missing_ok=True)  # the work tree's index lacks them
        return self._git("write-tree", index=index).strip()

    def apply(self, pristine: str, patches: tuple[PatchFile, ...]) -> str:
        """The git tree of the source with patches; the work tree is not touched.

        Raises PatchError with git's words and the rejected hunk.
        """
        index = "apply.index"
        self._git("read-tree", pristine, index=index)
        for patch in patches:
            self._apply_one(patch, index)
        return self._git("write-tree", index=index).strip()

    def _apply_one(self, patch: PatchFile, index: str) -> None:
        apply = ["apply", "--cached", "--whitespace=nowarn"]
        text = patch.text.encode()
        try:
            self._git(*apply, "-", index=index, stdin=text)
        except CommandError as error:
            why = error.output.strip()
            if self._applies_in_reverse(apply, text, index):
                raise PatchError(
                    f"{patch.path} is in this source already",
                    why="it applies in reverse",
                    advice="leave it out, or choose an older kernel with --source",
                ) from error
            raise PatchError(
                f"{patch.path} does not apply",
                why="\n".join(filter(None, [why, rejected_hunk(patch, why)])),
                advice="rebase it onto this kernel, or choose another one with --source",
            ) from error

    def _applies_in_reverse(self, apply: list[str], text: bytes, index: str) -> bool:
        try:
            self._git(*apply, "--check", "--reverse", "-", index=index, stdin=text)
        except CommandError:
            return False
        return True

    def checkout(self, tree: str) -> None:
        """Make the work tree hold a git tree; heals what an interrupted checkout left.

        From a state that is known, git looks only at what differs, and refuses where
        someone has touched that.
        """
        before = self._state.read_text() if self._state.exists() else ""
        self._state.unlink(missing_ok=True)
        try:
            if before:
                self._git("read-tree", "-m", "-u", before, tree)
        except CommandError:
            before = ""
        if not before:
            self._git("read-tree", "--reset", "-u", tree)
        write_text(self._state, tree)

    def difference(self, pristine: str, tree: str, below: tuple[str, ...] = ()) -> str:
        """Digest of what differs between two trees, or folders of them: mode, blob and path."""
        compare = ["diff-tree", "-r", "--no-renames", pristine, tree, "--", *below]
        rows = self._git(*compare).splitlines()
        return digest(*sorted(rows))

    def changed(self, pristine: str, tree: str) -> tuple[Change, ...]:
        """What differs between two trees, path by path; a rename is a deletion and an addition."""
        said = self._git("diff-tree", "-r", "-z", "--no-renames", pristine, tree).split("\0")
        changes = []
        for row, path in zip(said[0:-1:2], said[1::2], strict=True):
            _, _, before, after, status = row.split(" ")
            changes.append(Change(path, status, mode_only=before == after))
        return tuple(changes)

    def kconfig_digest(self, tree: str) -> str:
        """Digest of the Kconfig files that git knows in a tree."""
        rows = self._git("ls-tree", "-r", tree).splitlines()
        return digest(*(row for row in rows if "/Kconfig" in row))


@dataclass(frozen=True)
class Source:
    """A tree that is ready to be patched and built.

    `pristine` is its git tree, or None for an unpacked archive, of which git
    knows only what patches touch; `digest` names its content either way.
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


def patched(tree: Tree, pristine: str | None, patches: tuple[PatchFile, ...]) -> tuple[str, str]:
    """(pristine tree, patched tree); without a pristine tree, of an unpacked archive."""
    base = pristine or tree.track(touched(patches))
    return base, tree.apply(base, patches) if patches else base
