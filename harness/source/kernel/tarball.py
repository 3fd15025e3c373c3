# SPDX-License-Identifier: MIT
"""`tarball:FILE-or-URL[#SHA256]`: a release, as kernel.org has them, or one of your own."""

import re
from pathlib import Path
from typing import Any

from harness.ask.catalog import nearest
from harness.errors import PlanError
from harness.host.download import NotThere, download
from harness.host.store import digest, file_digest
from harness.source.archive import Unreadable, unpack
from harness.source.kernel.request import Request, kernel_version
from harness.source.tree import Source, Tree

_URL = re.compile(r"(https?|ftp)://")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def from_tarball(text: str, request: Request) -> Source:
    """What is in a tarball; with its SHA-256 it is that one, or none."""
    where, _, sha256 = text.partition("#")
    if sha256 and not _SHA256.fullmatch(sha256):
        raise PlanError(
            f"{sha256} is no SHA-256",
            why="it has not 64 digits 0-9 and a-f",
            advice="sha256sum FILE",
        )
    if not _URL.match(where):
        where = str(_file(where))
    facts = request.cache.remembered(
        f"tarball-{_known_by(where, sha256)}",
        lambda: _fetch(where, sha256, request),
        # A digest says what it is: there is nothing to refresh.
        refresh=request.refresh and not sha256,
        say=request.say,
        of=f"tarball:{where}",
    )
    return Source(
        spec=f"tarball:{where}#{facts['sha256']}",
        version=facts["version"],
        digest=facts["sha256"],
        tree=Tree(request.cache.sources / facts["folder"]),
        pristine=None,
    )


def _file(name: str) -> Path:
    """A tarball on this host; raises PlanError with what is near where there is none."""
    path = Path(name).expanduser().resolve()
    if path.is_dir():
        raise PlanError(f"{path} is a folder", advice=f"give it as path:{path}")
    if not path.is_file():
        beside = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
        raise PlanError(
            f"there is no file {path}{nearest(path.name, beside)}",
            advice="write tarball:FILE, or tarball:URL#SHA256",
        )
    return path


def _known_by(where: str, sha256: str) -> str:
    """What a tarball is remembered by: its digest, its URL, or the file as it is now."""
    if sha256:
        return sha256[:20]
    if _URL.match(where):
        return digest(where)
    now = Path(where).stat()
    return digest(where, str(now.st_ino), str(now.st_size), str(now.st_mtime_ns))


def _fetch(where: str, sha256: str, request: Request) -> dict[str, Any]:
    """Have a tarball unpacked in the cache; what to remember of it."""
    place = _place(request, sha256)
    if not sha256 or not place.exists():
        with request.cache.scratch() as scratch:
            tarball = _download(where, scratch, request) if _URL.match(where) else Path(where)
            found = file_digest(tarball)
            if sha256 and found != sha256:
                raise PlanError(
                    f"{where} is not the tarball that was asked for",
                    why=f"its SHA-256 is      {found}\nwhat was asked for  {sha256}",
                    advice="find out which one is right before you build it",
                )
            sha256, place = found, _place(request, found)
            if not place.exists():
                request.say(f"unpacking {where}")
                with request.cache.publish(place) as new:
                    _unpack(where, tarball, Tree(new))
    version = kernel_version(Tree(place).work, where)
    return {"version": version, "sha256": sha256, "folder": place.name}


def _place(request: Request, sha256: str) -> Path:
    return request.cache.sources / f"tarball-{sha256[:20]}"


def _download(url: str, folder: Path, request: Request) -> Path:
    tarball = folder / "source.tar"
    request.say(f"downloading {url}")
    try:
        download(url, tarball)
    except NotThere as error:
        raise PlanError(error.what, why=error.why, advice="check the url") from error
    return tarball


def _unpack(where: str, tarball: Path, tree: Tree) -> None:
    """Unpack what a user named; raises PlanError where that is no kernel's tarball."""
    try:
        unpack(tree, tarball)
    except Unreadable as error:
        raise PlanError(
            f"{where} is no tarball", why=error.why, advice="tar tf FILE shows what is in one"
        ) from error
    kernel_version(tree.work, where)
