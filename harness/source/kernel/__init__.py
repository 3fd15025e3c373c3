# SPDX-License-Identifier: MIT
"""Where a kernel tree comes from: a function for each kind of source, and a row in KINDS."""

import re
from collections.abc import Callable
from pathlib import Path

from harness.ask.catalog import nearest
from harness.errors import HostError, PlanError
from harness.host.process import CommandError
from harness.source.kernel.debian import from_debian, offered_versions
from harness.source.kernel.git import from_git, split
from harness.source.kernel.path import from_path
from harness.source.kernel.request import Request, kernel_version
from harness.source.kernel.tarball import from_tarball
from harness.source.tree import Source

__all__ = [
    "KINDS",
    "Request",
    "kernel_version",
    "kind_of",
    "local_repository",
    "offered_versions",
    "resolve",
]

KINDS: dict[str, Callable[[str, Request], Source]] = {
    "debian": from_debian,
    "git": from_git,
    "path": from_path,
    "tarball": from_tarball,
}
_FORMS = "debian:VERSION[@SUITE], git:DIR-or-URL[@REF], tarball:FILE-or-URL[#SHA256], or path:DIR"
_RELEASE = re.compile(r"\d+\.\d+")


def kind_of(spec: str) -> tuple[str, str]:
    """(kind, the text behind its colon); a folder or a file alone has none.  Raises PlanError."""
    kind, colon, rest = spec.partition(":")
    if colon and kind in KINDS and rest:
        return kind, rest
    alone = Path(spec).expanduser()
    if alone.is_dir():
        return "path", spec
    if alone.is_file():
        return "tarball", spec
    meant = nearest(kind, list(KINDS))
    if _RELEASE.match(spec):
        meant = f" (did you mean debian:{spec}?)"
    raise PlanError(f"unknown source {spec}{meant}", advice=f"write {_FORMS}")


def local_repository(spec: str) -> tuple[Path, str]:
    """(folder, ref) of a source that is a git repository on this host; raises PlanError."""
    kind, rest = kind_of(spec)
    where, ref = split(rest) if kind == "git" else (rest, "HEAD")
    folder = Path(where).expanduser().resolve()
    if kind not in ("git", "path") or not folder.is_dir():
        raise PlanError(
            f"{spec} has no commits to choose from",
            why="a range is one of a repository with its history, on this host",
            advice="give it with --source path:DIR, or git:DIR",
        )
    return folder, ref


def resolve(spec: str, request: Request) -> Source:
    """A source from its text, fetched if need be.

    Raises PlanError for one that does not exist, HostError where it cannot be had.
    """
    kind, rest = kind_of(spec)
    try:
        return KINDS[kind](rest, request)
    except CommandError as error:
        raise HostError(
            f"the source {spec} cannot be read",
            why=f"{error}\n{error.output}",
            advice="check that it is whole, and the disk (df)",
        ) from error
