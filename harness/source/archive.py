# SPDX-License-Identifier: MIT
"""An unpacked archive, of which git knows only the files that some patch has to do with.

The archive's digest stands for the rest.  What there is else is in a manifest, so that what a
patch is told does not depend on the patches of earlier runs.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.errors import HostError
from harness.host import sandbox
from harness.host.process import DISK_FULL, CommandError, capture, environment
from harness.host.store import write_bytes
from harness.source.paths import Paths
from harness.source.tree import Tree

MANIFEST = "manifest"
INDEX = "pristine.index"


class Unreadable(HostError):
    """A file is no archive, or a damaged one."""


def unpack(tree: Tree, tarball: Path) -> None:
    """Fill a new tree from an archive, without the folder that all is in.

    Raises Unreadable, or HostError where it is the disk's fault.
    """
    unpacked = tree.folder / "unpacked"
    unpacked.mkdir()
    argv = ["tar", "--extract", "--no-same-owner", "--no-same-permissions"]
    argv += ["--file", str(tarball), "--directory", str(unpacked)]
    confined = sandbox.confine(argv, readable=[tarball], writable=[unpacked])
    try:
        capture(confined, env=environment({"XZ_DEFAULTS": "--threads=0"}))
    except CommandError as error:
        kind = HostError if DISK_FULL in error.output else Unreadable
        raise kind(f"cannot unpack {tarball.name}", why=error.output) from error
    _without_top(unpacked).rename(tree.work)
    shutil.rmtree(unpacked, ignore_errors=True)
    tree.prepare()
    held(tree)


def _without_top(folder: Path) -> Path:
    """The folder that all of an archive is in; the one that it was unpacked to where none is."""
    entries = list(folder.iterdir())
    alone = len(entries) == 1 and entries[0].is_dir() and not entries[0].is_symlink()
    return entries[0] if alone else folder


def held(tree: Tree) -> Paths:
    """All that was in the archive."""
    manifest = tree.git.folder / MANIFEST
    if not manifest.exists():
        # What lies there is the archive's only while no patch is checked out over it.
        tree.checkout(tree.git.write_tree(INDEX))
        listed = "".join(f"{path}\0" for path in sorted(_walk(tree.work)))
        write_bytes(manifest, listed.encode(errors="surrogateescape"))
    text = manifest.read_bytes().decode(errors="surrogateescape")
    return Paths(text.split("\0")[:-1])


def _walk(folder: Path, below: str = "") -> Iterator[str]:
    """The files and links below a folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = os.fsencode(entry.name).decode(errors="surrogateescape")
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path), f"{below}{name}/")
            else:
                yield f"{below}{name}"


def track(tree: Tree, names: set[str]) -> str:
    """The git tree of the archive with at least what these names have to do with."""
    known = set(tree.git.names("ls-files", "-z", index=INDEX))
    if not names <= known:
        source = held(tree)
        wanted = {path for name in names for path in source.in_the_way(name)}
        missing = sorted(wanted - known)
        if missing:
            # A file is pristine only while no patch is checked out over it.
            tree.checkout(tree.git.write_tree(INDEX))
            tree.git.update(INDEX, missing)
            tree.forget()  # the work tree's index lacks them
    return tree.git.write_tree(INDEX)
