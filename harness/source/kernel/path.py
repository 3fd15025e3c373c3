# SPDX-License-Identifier: MIT
"""`path:DIR`: a developer's tree as it is, uncommitted changes included."""

from pathlib import Path

from harness.ask.catalog import nearest
from harness.errors import PlanError
from harness.host.store import digest
from harness.source.clone import Clone
from harness.source.kernel.request import Request, kernel_version
from harness.source.paths import printable
from harness.source.tree import Source, Tree

INDEX = "user.index"
_IGNORES = ".gitignore"
_IGNORES_ALL = ("*", "/*")
# What a build leaves in its tree, beyond what the tree itself says.
_PRODUCTS = (
    ".git",
    "*.o",
    "*.ko",
    "*.a",
    "*.mod",
    "*.mod.c",
    "*.order",
    ".*.cmd",
    ".*.d",
    ".*.sw?",
    ".checked-*",
    ".tmp_*",
    "/.config*",
    "/.version",
    "/.vmlinux*",
    "/vmlinux*",
    "/System.map",
    "/Module.symvers",
    "/modules.*",
    "/modules-only.symvers",
    "/tags",
    "/include/generated/",
    "/include/config/",
    "/arch/*/include/generated/",
)
# Where rules ignore all, as those of Debian's packages do, which end with /* and have lost
# the kernel's own exceptions.
_NOT_IGNORED = ("!/*", "!.*", "!tags/")
_SHOWN = 3


def from_path(directory: str, request: Request) -> Source:
    """The tree in a directory, which is only read."""
    user_tree = _folder(directory)
    version = kernel_version(user_tree, str(user_tree))
    clone = Clone(user_tree) if (user_tree / ".git").exists() else None
    name = clone.name if clone else f"path-{digest(str(user_tree))[:12]}"
    tree = Tree(request.cache.use(request.cache.sources / name, f"path:{user_tree}"))
    with request.cache.lock(f"source-{name}"):
        tree.prepare(clone)
        request.say(f"reading {user_tree}")
        pristine = snapshot(tree, user_tree, clone)
        left_out = _overlooked(tree, user_tree, pristine) if clone else []
    _say_what_is_left_out(left_out, request)
    return Source(
        spec=f"path:{user_tree}", version=version, digest=pristine, tree=tree, pristine=pristine
    )


def _folder(directory: str) -> Path:
    """The folder that was named; raises PlanError where that cannot be a tree's."""
    folder = Path(directory).expanduser().resolve()
    if not folder.is_dir():
        beside = [other.name for other in folder.parent.iterdir()] if folder.parent.is_dir() else []
        raise PlanError(
            f"there is no folder {folder}{nearest(folder.name, beside)}",
            advice="give the folder of a kernel tree, such as path:~/linux",
        )
    if (folder / "objects").is_dir() and (folder / "HEAD").is_file():
        raise PlanError(
            f"{folder} is a repository",
            why="it has no work tree that could be taken as it is",
            advice=f"name a commit of it: git:{folder}@REF",
        )
    return folder


def _say_what_is_left_out(paths: list[str], request: Request) -> None:
    some, left = ", ".join(map(printable, paths[:_SHOWN])), len(paths) - _SHOWN
    if paths:
        more = f" and {left} more" if left > 0 else ""
        request.say(f"left out, as {_IGNORES} says: {some}{more}; git add -f takes them in")


def snapshot(tree: Tree, user_tree: Path, clone: Clone | None) -> str:
    """The git tree of what lies in a developer's tree.

    Where git manages it, what `git status` shows; anywhere else, all but what a build left.
    """
    if clone:
        tree.git.fill(INDEX, clone.head(), clone.staged())
        changed = clone.unstaged()
    else:
        changed = sorted(
            {*_not_built(tree, user_tree), *tree.git.names("ls-files", "-z", index=INDEX)}
        )
    tree.git.update(INDEX, changed, work=user_tree)
    return tree.git.write_tree(INDEX)


def _not_built(tree: Tree, user_tree: Path) -> list[str]:
    """The files of a tree that are not left of a build: the kernel's own rules tell them."""
    excludes = [f"--exclude={pattern}" for pattern in _PRODUCTS]
    if _ignores_all(user_tree):
        excludes = [f"--exclude={pattern}" for pattern in _NOT_IGNORED] + excludes
    listing = ("ls-files", "-z", "--others", f"--exclude-per-directory={_IGNORES}", *excludes)
    found = tree.git.names(*listing, index="empty.index", work=user_tree)
    return [path for path in found if not path.endswith("/")]


def _ignores_all(user_tree: Path) -> bool:
    """True where the top folder's rules leave out whatever lies in it."""
    rules = user_tree / _IGNORES
    if not rules.exists():
        return False
    lines = rules.read_text(encoding="utf-8", errors="replace").splitlines()
    return any(line.strip() in _IGNORES_ALL for line in lines)


def _overlooked(tree: Tree, user_tree: Path, taken: str) -> list[str]:
    """Files that git does not manage, and that no build left: someone may miss them."""
    if not _ignores_all(user_tree):
        return []
    held = tree.paths(taken)
    return [path for path in _not_built(tree, user_tree) if path not in held]
