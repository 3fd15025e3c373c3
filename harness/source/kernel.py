# SPDX-License-Identifier: MIT
"""Where a kernel tree comes from: `debian:VERSION` or `path:DIR`.

Another kind is a function from the text behind the colon to a Source, and a
row in KINDS.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.ask.catalog import nearest
from harness.errors import PlanError
from harness.host.debian import Archive, extract, package_version
from harness.host.process import capture
from harness.host.store import Cache, digest, file_digest, write_json
from harness.source import archive
from harness.source.developer import snapshot
from harness.source.tree import Source, Tree

_MAKEFILE_VERSION = re.compile(r"^(VERSION|PATCHLEVEL|SUBLEVEL) = (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Request:
    """What resolving a source may use."""

    cache: Cache
    archive: Archive
    refresh: bool
    say: Callable[[str], None]


def kernel_version(tree: Path) -> str:
    """`6.12.117` from the top Makefile; raises PlanError where there is none."""
    try:
        head = (tree / "Makefile").read_text(encoding="utf-8", errors="replace")[:4096]
    except OSError as error:
        raise PlanError(f"{tree} is no kernel tree", why=str(error)) from error
    found = dict(_MAKEFILE_VERSION.findall(head))
    if not {"VERSION", "PATCHLEVEL"} <= found.keys() or not (tree / "Kconfig").exists():
        raise PlanError(
            f"{tree} is no kernel tree", why="its Makefile has no VERSION, or it has no Kconfig"
        )
    return ".".join(found[key] for key in ("VERSION", "PATCHLEVEL", "SUBLEVEL") if key in found)


def offered_versions(request: Request) -> list[str]:
    """Kernel versions that the machine's own distribution has the source of.

    Remembered in the cache until a refresh, so that a warm run asks nobody.
    """
    memory = request.cache.sources / "debian.json"
    if memory.exists() and not request.refresh:
        return list(json.loads(memory.read_text(encoding="utf-8")))
    request.say("asking Debian which kernel sources there are")
    versions = request.archive.kernel_sources()
    write_json(memory, versions)
    return versions


def _from_debian(version: str, request: Request) -> Source:
    facts = request.cache.remembered(
        f"debian-{version}",
        lambda: _fetch(version, request),
        refresh=request.refresh,
        say=request.say,
    )
    tree = Tree(request.cache.sources / facts["folder"])
    return Source(
        spec=f"debian:{version}",
        version=facts["version"],
        digest=facts["sha256"],
        tree=tree,
        pristine=None,
    )


def _fetch(version: str, request: Request) -> dict[str, Any]:
    """Download and unpack Debian's linux-source package; what to remember of it."""
    offered = offered_versions(request)
    if version not in offered:
        raise PlanError(
            f"no kernel source {version}{nearest(version, offered)}",
            why="this machine's distribution offers " + (", ".join(offered) or "none"),
            advice="choose one of them, or give a tree with --source path:DIR",
        )
    name = f"linux-source-{version}"
    with request.cache.scratch() as scratch:
        request.say(f"downloading {name}")
        package = request.archive.download(name, scratch)
        request.say(f"unpacking {package.name}")
        folder = f"debian-{version}-{digest(package.name)[:8]}"
        with request.cache.publish(request.cache.sources / folder) as new:
            tree = Tree(new)
            sha256 = _unpack(package, name, tree)
            found = kernel_version(tree.work)
        return {
            "package": name,
            "package_version": package_version(package),
            "version": found,
            "sha256": sha256,
            "folder": folder,
        }


def _unpack(package: Path, name: str, tree: Tree) -> str:
    """Unpack the tarball inside a package; returns its SHA-256."""
    unpacked = tree.folder / "package"
    extract(package, unpacked)
    tarball = unpacked / "usr" / "src" / f"{name}.tar.xz"
    archive.unpack(tree, tarball)
    sha256 = file_digest(tarball)
    capture(["rm", "-r", str(unpacked)])
    return sha256


def _from_path(directory: str, request: Request) -> Source:
    user_tree = Path(directory).expanduser().resolve()
    version = kernel_version(user_tree)
    tree = Tree(request.cache.sources / f"path-{digest(str(user_tree))[:12]}")
    with request.cache.lock(f"source-{tree.folder.name}"):
        tree.prepare()
        request.say(f"reading {user_tree}")
        pristine = snapshot(tree, user_tree)
    return Source(
        spec=f"path:{user_tree}",
        version=version,
        digest=pristine,
        tree=tree,
        pristine=pristine,
    )


KINDS: dict[str, Callable[[str, Request], Source]] = {
    "debian": _from_debian,
    "path": _from_path,
}


def resolve(spec: str, request: Request) -> Source:
    """A source from its text, fetched if need be.

    Raises PlanError for one that does not exist, HostError where it cannot be had.
    """
    kind, _, rest = spec.partition(":")
    if kind not in KINDS or not rest:
        raise PlanError(
            f"unknown source {spec}{nearest(kind, list(KINDS))}",
            advice="write debian:VERSION, such as debian:6.12, or path:DIR",
        )
    return KINDS[kind](rest, request)
