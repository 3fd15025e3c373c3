# SPDX-License-Identifier: MIT
"""Where this machine takes its Debian packages from, and which suites there are there."""

import re
from collections.abc import Sequence
from pathlib import Path

from harness.errors import HostError
from harness.host.download import NotThere
from harness.host.process import bounded, capture, environment, tail

HELPER = "/usr/lib/apt/apt-helper"
# More than any InRelease file has, in bytes.
_INDEX_BYTES = 16 << 20
_INDEX_S = 60.0
# What Debian's suites are called in turn; each is a link to the suite's own name.
_ALIASES = ("oldoldstable", "oldstable", "stable", "testing", "unstable", "experimental")
# The suite without a name of its own.
_NAMELESS = "experimental"
_BACKPORTS = "-backports"

_ABSENT = re.compile(r"  (404|410)  ")

# (site, suite, component), as in sources.list(5).
Place = tuple[str, str, str]


def apt_environment() -> dict[str, str]:
    """What apt is run with."""
    return environment({"DEBIAN_FRONTEND": "noninteractive"})


def codename() -> str:
    """The machine's own suite, such as bookworm; empty where os-release(5) has none."""
    try:
        text = Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return ""
    found = re.search(r"^VERSION_CODENAME=(\w+)", text, flags=re.MULTILINE)
    return found[1] if found else ""


def machine_archives() -> list[Place]:
    """Each archive that this machine takes its own suite from.

    Third parties' archives do not carry the suite's name, and are left out.
    """
    form = "$(SITE)|$(RELEASE)|$(COMPONENT)"
    targets = ["apt-get", "indextargets", "--format", form, "Created-By: Packages"]
    rows = capture(targets, env=apt_environment(), seconds=_INDEX_S).splitlines()
    archives = set()
    for row in rows:
        site, suite, component = row.split("|")
        if suite.split("-")[0] == codename():
            archives.add((site, suite, component))
    return sorted(archives)


def own_archives() -> list[Place]:
    """The same, at least one; raises HostError."""
    archives = machine_archives()
    if not archives:
        raise HostError(
            "this machine takes its packages from no Debian archive",
            why=f"apt-get indextargets names none for the suite {codename() or '(unknown)'}",
            advice="see /etc/apt/sources.list and /etc/apt/sources.list.d",
        )
    return archives


def reach(folder: Path, seconds: float) -> None:
    """Fetch the signed index of the machine's own suite into a folder; raises HostError."""
    site, suite, _ = own_archives()[0]
    index(site, suite, folder, seconds)


def index(site: str, suite: str, folder: Path, seconds: float = _INDEX_S) -> str:
    """A suite's signed index; raises NotThere where there is none, or HostError.

    With apt's own program, and so through the proxy that apt uses.
    """
    url = f"{site.rstrip('/')}/dists/{suite}/InRelease"
    log, target = folder / "reach.log", folder / "InRelease"
    target.unlink(missing_ok=True)
    fetch = [HELPER, "download-file", url, str(target)]
    status = bounded(
        fetch, stdout=folder / "out.log", stderr=log, seconds=seconds, size=_INDEX_BYTES
    )
    if status is None:
        raise HostError(f"{url} did not come within {seconds:g} s")
    if status:
        said = tail(log)
        kind = NotThere if _ABSENT.search(said) else HostError
        raise kind(f"{url} cannot be fetched", why=said)
    return target.read_text(encoding="utf-8", errors="replace")


def has(site: str, suite: str, folder: Path) -> bool:
    """True if a site has a suite; raises HostError where it cannot be asked."""
    try:
        index(site, suite, folder)
    except NotThere:
        return False
    return True


def suites(folder: Path) -> dict[str, str]:
    """The suites at the site of the machine's own, each with its alias; raises HostError.

    From the oldest to experimental, backports behind what they are for.
    """
    site = own_archives()[0][0]
    found = {}
    for alias in _ALIASES:
        try:
            text = index(site, alias, folder)
        except NotThere:
            continue
        named = re.search(r"^Codename: (\S+)$", text, flags=re.MULTILINE)
        name = named[1] if named and alias != _NAMELESS else alias
        found[name] = alias
        if has(site, name + _BACKPORTS, folder):
            found[name + _BACKPORTS] = alias + _BACKPORTS
    return found


def places(suite: str, folder: Path) -> list[Place]:
    """Where another suite is, of the sites of the machine's own; raises HostError for nowhere."""
    wanted = of_suite(own_archives(), codename(), suite)
    there = [place for place in wanted if has(place[0], place[1], folder)]
    if not there:
        raise HostError(
            f"Debian has no suite {suite}",
            why="\n".join(f"there is no {site} {name}" for site, name, _ in wanted),
            advice="check its name; ./pmu-harness run --source debian:VERSION@SUITE names some",
        )
    return there


def of_suite(archives: Sequence[Place], own: str, suite: str) -> list[Place]:
    """Where another suite may be: bookworm-security becomes trixie-security."""
    return [(site, name.replace(own, suite, 1), part) for site, name, part in archives]


def source_lines(places: Sequence[Place], options: str, *, sources: bool) -> list[str]:
    """The lines of sources.list(5), with the source packages or without."""
    kinds = ("deb", "deb-src") if sources else ("deb",)
    return [
        f"{kind} {options} {site} {name} {part}\n" for site, name, part in places for kind in kinds
    ]
