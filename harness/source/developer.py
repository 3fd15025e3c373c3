# SPDX-License-Identifier: MIT
"""A developer's tree as it is, uncommitted changes included, as a git tree of the harness's."""

from pathlib import Path

from harness.host.process import capture, environment
from harness.host.store import write_text
from harness.source.tree import Tree

INDEX = "user.index"
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


def snapshot(tree: Tree, user_tree: Path) -> str:
    """The git tree of what lies in a developer's tree, which is only read.

    Where git manages it, git's own ignore rules hold.
    """
    managed = (user_tree / ".git").exists()
    listed = _managed(user_tree) if managed else _unmanaged(tree, user_tree)
    tracked = tree.git.names("ls-files", "-z", index=INDEX)
    tree.git.update(INDEX, sorted({*listed, *tracked}), work=user_tree)
    return tree.git.write_tree(INDEX)


def _managed(user_tree: Path) -> list[str]:
    """What git would have in its next commit if all were added."""
    listing = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listing += ["--cached", "--others", "--exclude-standard"]
    env = environment({"GIT_OPTIONAL_LOCKS": "0"})
    return capture(listing, cwd=user_tree, env=env, errors="surrogateescape").split("\0")[:-1]


def _unmanaged(tree: Tree, user_tree: Path) -> list[str]:
    """All but what a build leaves."""
    products = tree.git.folder / "info" / "products"
    write_text(products, "\n".join(_BUILD_PRODUCTS) + "\n")
    listing = ("ls-files", "-z", "--others", f"--exclude-from={products}")
    return tree.git.names(*listing, index="empty.index", work=user_tree)
