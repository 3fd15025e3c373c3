# SPDX-License-Identifier: MIT
"""`debian:VERSION`: the source of a kernel that Debian has."""

import json
from pathlib import Path
from typing import Any

from harness.ask.catalog import nearest
from harness.errors import PlanError
from harness.host.debian import extract, package_version
from harness.host.process import capture
from harness.host.store import digest, file_digest, write_json
from harness.source import archive
from harness.source.kernel.request import Request, kernel_version
from harness.source.tree import Source, Tree


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


def from_debian(version: str, request: Request) -> Source:
    """The unpacked tarball of Debian's package linux-source-VERSION."""
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
            found = kernel_version(tree.work, name)
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
