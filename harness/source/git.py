# SPDX-License-Identifier: MIT
"""A git store of the harness's own, deaf to the configuration of whoever runs it."""

from pathlib import Path
from typing import Any

from harness.host.process import capture, environment
from harness.host.store import write_text
from harness.source.clone import Clone

_OURS = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
_SETTINGS = {
    "core.bare": "false",
    "core.autocrlf": "false",
    "core.compression": "0",
    "core.bigFileThreshold": "1",  # straight into one pack, not 80,000 loose objects
    "core.fsync": "none",
    "checkout.workers": "0",  # as many as there are CPUs
    "gc.auto": "0",
}


class Store:
    """A git directory and the work tree that it belongs to; whoever uses it has both alone.

    What git says is text in which a byte that is no UTF-8 is a lone surrogate (PEP 383), so
    that a path can be given back to git.
    """

    def __init__(self, folder: Path, work: Path) -> None:
        self.folder = folder
        self.work = work

    def prepare(self, clone: Clone | None = None) -> None:
        """Make the store, once; with a clone's objects in it, which are not copied."""
        if (self.folder / "HEAD").exists():
            return
        self.work.mkdir(parents=True, exist_ok=True)
        env = environment(_OURS)
        kind = f"--object-format={clone.object_format if clone else 'sha1'}"
        capture(["git", "init", "--quiet", "--bare", kind, str(self.folder)], env=env)
        for key, value in _SETTINGS.items():
            capture(["git", "-C", str(self.folder), "config", key, value], env=env)
        if clone:
            write_text(self.folder / "objects" / "info" / "alternates", f"{clone.objects}\n")

    def run(
        self,
        *argv: str,
        index: str = "index",
        work: Path | None = None,
        stdin: bytes = b"",
        with_errors: bool = False,
    ) -> str:
        """What a git command says, with `with_errors` on both streams; raises CommandError."""
        # Nobody else is here: a lock that lies about is a killed run's.
        (self.folder / f"{index}.lock").unlink(missing_ok=True)
        env = environment(
            {
                **_OURS,
                "GIT_DIR": str(self.folder),
                "GIT_WORK_TREE": str(work or self.work),
                "GIT_INDEX_FILE": str(self.folder / index),
            }
        )
        return capture(
            ["git", *argv],
            cwd=work or self.work,
            env=env,
            stdin=stdin,
            errors="surrogateescape",
            with_errors=with_errors,
        )

    def names(self, *argv: str, stdin: bytes = b"", **where: Any) -> list[str]:
        """What a command prints with -z, one by one."""
        return self.run(*argv, stdin=stdin, **where).split("\0")[:-1]

    def write_tree(self, index: str) -> str:
        """The tree that an index describes."""
        return self.run("write-tree", index=index).strip()

    def fill(self, index: str, tree: str, entries: list[str]) -> None:
        """Have an index hold a tree but for entries, `MODE BLOB<tab>PATH`, of mode 0 for none."""
        listed = "".join(f"{entry}\0" for entry in entries).encode(errors="surrogateescape")
        self.run("read-tree", tree, index=index)
        self.run("update-index", "--replace", "-z", "--index-info", index=index, stdin=listed)

    def update(self, index: str, paths: list[str], work: Path | None = None) -> None:
        """Have an index hold these files as they are now, or not any more."""
        listed = "".join(f"{path}\0" for path in paths).encode(errors="surrogateescape")
        update = ("update-index", "--add", "--remove", "--replace", "-z", "--stdin")
        self.run(*update, index=index, work=work, stdin=listed)
