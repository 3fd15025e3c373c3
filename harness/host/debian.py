# SPDX-License-Identifier: MIT
"""Debian's packages, through an apt configuration of our own that needs no root.

The archive is the one that the machine itself uses; the lists and the status are ours, so
that another architecture or suite leaves the machine's own untouched.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.errors import HostError
from harness.host.mirror import Place, apt_environment, own_archives, places, source_lines
from harness.host.process import CommandError, capture, logged
from harness.host.store import Cache
from harness.model import parse_version

KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)

_KERNEL_SOURCE = "linux-source-"
# Not the signature beside it, .orig.tar.xz.asc.
_TARBALL = re.compile(r"\.orig\.tar\.\w+$")


def own_architecture() -> str:
    """The machine's own Debian architecture, such as amd64."""
    return capture(["dpkg", "--print-architecture"]).strip()


def upstream_release(version: str) -> str:
    """The upstream part of a Debian version: 1:10.0.13+ds-0+deb13u1 is 10.0.13."""
    return re.split(r"[-+~]", version.partition(":")[2] or version, maxsplit=1)[0]


def newest_of(series: str, versions: Sequence[str]) -> str | None:
    """The Debian version with the newest upstream release of a series, such as 10.0."""
    wanted = parse_version(series)

    def release(version: str) -> tuple[int, ...]:
        return parse_version(upstream_release(version))

    fitting = [version for version in versions if release(version)[: len(wanted)] == wanted]
    return max(fitting, key=release, default=None)


class Archive:
    """The packages of one Debian architecture, for the machine's own suite or another.

    Another suite is read from the same sites, with `sources` its source packages as well.
    The lists are fetched once in a run, when they are first needed.
    """

    def __init__(
        self, cache: Cache, architecture: str, suite: str = "", *, sources: bool = False
    ) -> None:
        self.cache = cache
        words = [architecture, suite, "sources" if sources else ""]
        self.folder = cache.debian / "-".join(filter(None, words))
        self.architecture = architecture
        self.suite = suite
        self.sources = sources
        self.log = self.folder / "apt.log"
        self._updated = False

    def of(self, suite: str) -> "Archive":
        """The packages of another suite."""
        return Archive(self.cache, self.architecture, suite)

    @property
    def _config(self) -> Path:
        return self.folder / "apt.conf"

    def _configure(self, there: Sequence[Place]) -> None:
        keyring = next((path for path in KEYRINGS if path.exists()), None)
        options = f"[arch={self.architecture}" + (f" signed-by={keyring}]" if keyring else "]")
        lists = self.folder / "lists" / "partial"
        packages = self.folder / "cache" / "archives" / "partial"
        for folder in (lists, packages):
            folder.mkdir(parents=True, exist_ok=True)
        sources = self.folder / "sources.list"
        sources.write_text("".join(source_lines(there, options, sources=self.sources)))
        self._config.write_text(
            f'APT::Architecture "{self.architecture}";\n'
            f'APT::Architectures {{ "{self.architecture}"; }};\n'
            'APT::Sandbox::User "";\n'
            'Acquire::Languages "none";\n'
            'Acquire::Retries "3";\n'
            f'Dir::State "{self.folder}";\n'
            'Dir::State::status "/dev/null";\n'
            f'Dir::Cache "{self.folder}/cache";\n'
            f'Dir::Etc::sourcelist "{sources}";\n'
            'Dir::Etc::sourceparts "/dev/null";\n'
        )

    @property
    def _environment(self) -> dict[str, str]:
        return {**apt_environment(), "APT_CONFIG": str(self._config)}

    def _apt(self, *argv: str, cwd: Path | None = None) -> str:
        return capture(argv, cwd=cwd, env=self._environment)

    @contextmanager
    def _lists(self) -> Iterator[None]:
        """The package lists of today, and apt to ourselves; raises HostError."""
        with self.cache.lock(f"apt-{self.folder.name}"):
            self.cache.use(self.folder, " ".join(filter(None, [self.architecture, self.suite])))
            if not self._updated:
                self._update()
                self._updated = True
            yield

    def _update(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        there = places(self.suite, self.folder) if self.suite else own_archives()
        # A mirror may be at odds with itself about updates of a suite, for days; packages that
        # are not installed can do without.
        without = [place for place in there if place[1] == self.suite]
        try:
            try:
                self._read_lists(there)
            except CommandError:
                if not without or without == there:
                    raise
                self._read_lists(without)
        except CommandError as error:
            raise HostError(
                "cannot read Debian's list of packages",
                why=error.output,
                evidence=self.log,
                advice="check the network; what is in the cache already needs none",
            ) from error

    def _read_lists(self, there: Sequence[Place]) -> None:
        self._configure(there)
        logged(["apt-get", "update"], self.log, env=self._environment)

    def kernel_sources(self) -> dict[str, list[str]]:
        """Versions of the packages linux-source-X.Y by X.Y, the newest first."""
        with self._lists():
            said = self._apt("apt-cache", "search", "--names-only", r"^linux-source-[0-9.]+$")
            names = re.findall(r"^(linux-source-\d+\.\d+) ", said, flags=re.MULTILINE)
            rows = self._apt("apt-cache", "madison", *names).splitlines() if names else []
        found: dict[str, list[str]] = {}
        for row in rows:
            name, version, _ = (word.strip() for word in row.split("|"))
            known = found.setdefault(name.removeprefix(_KERNEL_SOURCE), [])
            if version not in known:
                known.append(version)
        return found

    def source_version(self, package: str, series: str) -> str:
        """The newest version of a source package in an upstream series; raises HostError."""
        try:
            with self._lists():
                said = self._apt("apt-cache", "showsrc", "--only-source", package)
        except CommandError as error:
            said = error.output
        versions = re.findall(r"^Version: (\S+)$", said, flags=re.MULTILINE)
        newest = newest_of(series, versions)
        if newest is None:
            raise HostError(
                f"Debian {self.suite} has no source of {package} {series}",
                why="it has " + (", ".join(versions) or f"no source package {package}"),
                advice="change the suite or the series in the row, or give a tarball's url",
            )
        return newest

    def _fetch(
        self, what: str, argv: Sequence[str], *, check: str, cwd: Path | None = None
    ) -> None:
        """One command of apt's that fetches `what`; raises HostError, with what to `check`."""
        try:
            with self._lists():
                self._apt(*argv, cwd=cwd)
        except CommandError as error:
            raise HostError(
                f"cannot fetch Debian's {what}", why=error.output, advice=f"check {check}"
            ) from error

    def download_source(self, package: str, version: str, folder: Path) -> Path:
        """Fetch a source package into a folder; its upstream tarball.  Raises HostError.

        apt verifies what it fetches against the signed Release file.
        """
        fetch = ["apt-get", "source", "--download-only", "--only-source", f"{package}={version}"]
        what = f"source package {package} {version}"
        self._fetch(what, fetch, check="the network and the disk", cwd=folder)
        return next(path for path in folder.iterdir() if _TARBALL.search(path.name))

    def download(self, package: str, folder: Path, version: str = "") -> Path:
        """Fetch a package's file into a folder, the newest or one version; raises HostError."""
        self._fetch(
            f"package {package} for {self.architecture}",
            ["apt-get", "download", f"{package}={version}" if version else package],
            check="the network, the disk and the package's name",
            cwd=folder,
        )
        return next(folder.glob(f"{package}_*.deb"))

    def newest_kernel(self, package: str) -> str:
        """The package with the kernel that a package without a version depends on.

        Such as linux-image-6.1.0-40-cloud-arm64 for linux-image-cloud-arm64; raises HostError.
        """
        try:
            with self._lists():
                said = self._apt("apt-cache", "depends", "--important", package)
        except CommandError as error:
            said = error.output
        match = re.search(r"Depends: (linux-image-\S+)", said)
        if not match:
            raise HostError(
                f"Debian has no kernel package {package} for {self.architecture}",
                why=said,
                advice="change `kernel` in the row of configs/outers.yaml",
            )
        return match[1]

    def download_all(self, packages: Sequence[str], folder: Path) -> list[Path]:
        """Fetch packages and all that they depend on into a folder; raises HostError."""
        (folder / "partial").mkdir(parents=True)
        install = ["apt-get", "install", "--download-only", "--yes", "--no-install-recommends"]
        self._fetch(
            f"packages {', '.join(packages)} for {self.architecture}",
            [*install, f"-oDir::Cache::archives={folder}", *packages],
            check="the network, the disk and the packages' names",
        )
        return sorted(folder.glob("*.deb"))


def package_version(package: Path) -> str:
    """The version of a package's file, such as 6.12.117-1~deb12u1."""
    return capture(["dpkg-deb", "--field", str(package), "Version"]).strip()


def extract(package: Path, target: Path) -> None:
    """Unpack a package's files below a folder."""
    target.mkdir(parents=True, exist_ok=True)
    capture(["dpkg-deb", "--extract", str(package), str(target)])
