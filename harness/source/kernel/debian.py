# SPDX-License-Identifier: MIT
"""`debian:VERSION[@SUITE]`: the source of a kernel that Debian has, in any suite."""

import re
from pathlib import Path
from typing import Any

from harness.ask.catalog import nearest
from harness.errors import HostError, PlanError
from harness.host import mirror
from harness.host.debian import Archive, extract, package_version, upstream_release
from harness.host.process import capture
from harness.host.store import digest, file_digest
from harness.model import parse_version
from harness.source import archive
from harness.source.kernel.request import Request, kernel_version
from harness.source.tree import Source, Tree

# Versions of linux-source-X.Y by X.Y, the newest first.
Offers = dict[str, list[str]]

_WORD = re.compile(r"[\w.+~-]+")


def from_debian(text: str, request: Request) -> Source:
    """The unpacked tarball of a package linux-source-X.Y.

    VERSION is X.Y, a release, or a package's version; the suite is the machine's own where
    it is left out.
    """
    version, at, suite = text.partition("@")
    for word in (version, *([suite] if at else [])):
        if not _WORD.fullmatch(word):
            raise PlanError(
                f"debian:{text} names no kernel",
                advice="write debian:VERSION or debian:VERSION@SUITE, such as debian:6.12",
            )
    suite = _suite(suite, request)
    name = f"{version}@{suite}" if suite else version
    facts = request.cache.remembered(
        f"debian-{name}",
        lambda: _fetch(version, suite, request),
        refresh=request.refresh,
        say=request.say,
        of=f"debian:{name}",
    )
    return Source(
        spec=f"debian:{name}",
        version=facts["version"],
        digest=facts["sha256"],
        tree=Tree(request.cache.sources / facts["folder"]),
        pristine=None,
    )


def offered_versions(request: Request, suite: str = "") -> Offers:
    """What a suite has the source of; the machine's own is `suite` "".

    Remembered in the cache until a refresh, so that a warm run asks nobody.
    """
    return _offers(request, _suite(suite, request))


def _suite(name: str, request: Request) -> str:
    """A suite by its own name, the machine's own as ""; raises PlanError for none."""
    if name in ("", mirror.codename()):
        return ""
    known = _suites(request)
    names = {alias: suite for suite, alias in known.items()}
    suite = names.get(name, name)
    if suite not in known:
        raise PlanError(
            f"Debian has no suite {name}{nearest(name, [*known, *names])}",
            why=f"its mirror has {', '.join(f'{one} ({known[one]})' for one in known)}",
        )
    return "" if suite == mirror.codename() else suite


def _suites(request: Request) -> dict[str, str]:
    """The suites that the mirror has, each with its alias."""

    def ask() -> dict[str, Any]:
        request.say("asking Debian which suites there are")
        with request.cache.scratch() as scratch:
            return dict(mirror.suites(scratch))

    name = "suites"
    return request.cache.remembered(name, ask, refresh=request.refresh, say=request.say)


def _offers(request: Request, suite: str) -> Offers:
    label = suite or mirror.codename()

    def ask() -> dict[str, Any]:
        request.say(f"asking Debian {label} which kernel sources there are")
        return dict(_archive(request, suite).kernel_sources())

    name = f"offers-{label}"
    return request.cache.remembered(name, ask, refresh=request.refresh, say=request.say)


def _archive(request: Request, suite: str) -> Archive:
    return request.archive.of(suite) if suite else request.archive


def _fetch(version: str, suite: str, request: Request) -> dict[str, Any]:
    """Download and unpack a linux-source package; what to remember of it."""
    found = _find(version, _offers(request, suite))
    if found is None:
        raise _not_offered(version, suite, request)
    series, exact = found
    name = f"linux-source-{series}"
    with request.cache.scratch() as scratch:
        request.say(f"downloading {name} {exact} of Debian {suite or mirror.codename()}")
        package = _archive(request, suite).download(name, scratch, exact)
        request.say(f"unpacking {package.name}")
        folder = f"debian-{series}-{digest(package.name)[:8]}"
        with request.cache.publish(request.cache.sources / folder) as new:
            tree = Tree(new)
            sha256 = _unpack(package, name, tree)
            release = kernel_version(tree.work, name)
        return {
            "package": name,
            "package_version": package_version(package),
            "version": release,
            "sha256": sha256,
            "folder": folder,
        }


def _find(version: str, offers: Offers) -> tuple[str, str] | None:
    """(X.Y, the package's version) of what a user calls `version`; None where it is not offered."""
    if version in offers:
        return version, offers[version][0]
    for series, versions in offers.items():
        for exact in versions:
            if version in (exact, upstream_release(exact)):
                return series, exact
    return None


def _unpack(package: Path, name: str, tree: Tree) -> str:
    """Unpack the tarball inside a package; returns its SHA-256."""
    unpacked = tree.folder / "package"
    extract(package, unpacked)
    tarball = unpacked / "usr" / "src" / f"{name}.tar.xz"
    archive.unpack(tree, tarball)
    sha256 = file_digest(tarball)
    capture(["rm", "-r", str(unpacked)])
    return sha256


def _not_offered(version: str, suite: str, request: Request) -> PlanError:
    """That a suite has no such kernel, which one does, and what is nearest."""
    own = mirror.codename()
    offers = {suite or own: _offers(request, suite)}
    try:
        for other in _suites(request):
            offers[other] = _offers(request, "" if other == own else other)
    except HostError as error:
        request.say(f"other suites cannot be asked: {error.what}")
    meant = " or ".join(meant_by(version, offers, own))
    table = [f"{name:<20} {_listed(found)}" for name, found in offers.items()]
    return PlanError(
        f"Debian {suite or own} has no kernel source {version}"
        + (f" (did you mean {meant}?)" if meant else ""),
        why="\n".join(["there are", *table]),
        advice="write debian:VERSION@SUITE; git:, tarball: and path: take any other kernel",
    )


def _listed(offers: Offers) -> str:
    """What a suite has, for people: with the packages' versions where there are several."""
    several = {
        name: f" ({', '.join(found)})" if len(found) > 1 else "" for name, found in offers.items()
    }
    return ", ".join(f"{name}{more}" for name, more in several.items()) or "none"


def meant_by(version: str, offers: dict[str, Offers], own: str) -> list[str]:
    """The sources that are a version, or else the next older and the next newer one."""

    def spec(release: str, suite: str) -> str:
        return f"debian:{release}" if suite == own else f"debian:{release}@{suite}"

    if version in offers:
        return [spec(next(iter(offers[version]), "VERSION"), version)]
    exact = [spec(version, suite) for suite in offers if _find(version, offers[suite])]
    if exact or not re.match(r"\d+\.\d+", version):
        return exact[:1]
    wanted = parse_version(upstream_release(version))
    there = {release: suite for suite in reversed(offers) for release in offers[suite]}
    ranked = sorted(there, key=parse_version)
    older = [release for release in ranked if parse_version(release) < wanted][-1:]
    newer = [release for release in ranked if parse_version(release) > wanted][:1]
    return [spec(release, there[release]) for release in (*older, *newer)]
