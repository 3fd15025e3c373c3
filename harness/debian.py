# SPDX-License-Identifier: MIT
"""Debian's packages, through an apt configuration of our own that needs no root.

The archive is the one that the machine itself uses (`apt-get indextargets`);
the lists and the status are ours, so that another architecture or suite leaves
the machine's own untouched.
"""

import re
from pathlib import Path

from harness.errors import HostError
from harness.process import CommandError, capture, environment, logged

KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)


def _apt_environment() -> dict[str, str]:
    return environment({"DEBIAN_FRONTEND": "noninteractive"})


def _codename() -> str:
    """The machine's own suite, such as bookworm; empty where os-release(5) has none."""
    try:
        text = Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return ""
    found = re.search(r"^VERSION_CODENAME=(\w+)", text, flags=re.MULTILINE)
    return found[1] if found else ""


def machine_archives() -> list[tuple[str, str, str]]:
    """(site, suite, component) of each archive that this machine takes its own suite from.

    Third parties' archives do not carry the suite's name, and are left out.
    """
    form = "$(SITE)|$(RELEASE)|$(COMPONENT)"
    targets = ["apt-get", "indextargets", "--format", form, "Created-By: Packages"]
    rows = capture(targets, env=_apt_environment()).splitlines()
    archives = set()
    for row in rows:
        site, suite, component = row.split("|")
        if suite.split("-")[0] == _codename():
            archives.add((site, suite, component))
    return sorted(archives)


class Archive:
    """The packages of one Debian architecture, for the machine's own suite."""

    def __init__(self, folder: Path, architecture: str) -> None:
        self.folder = folder / architecture
        self.architecture = architecture
        self.log = self.folder / "apt.log"

    @property
    def _config(self) -> Path:
        return self.folder / "apt.conf"

    def _configure(self) -> None:
        archives = machine_archives()
        if not archives:
            raise HostError(
                "this machine takes its packages from no Debian archive",
                why=f"apt-get indextargets names none for the suite {_codename() or '(unknown)'}",
                advice="see /etc/apt/sources.list and /etc/apt/sources.list.d",
            )
        keyring = next((path for path in KEYRINGS if path.exists()), None)
        options = f"[arch={self.architecture}" + (f" signed-by={keyring}]" if keyring else "]")
        lists = self.folder / "lists" / "partial"
        packages = self.folder / "cache" / "archives" / "partial"
        for folder in (lists, packages):
            folder.mkdir(parents=True, exist_ok=True)
        sources = self.folder / "sources.list"
        sources.write_text(
            "".join(f"deb {options} {site} {suite} {part}\n" for site, suite, part in archives)
        )
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

    def _apt(self, *argv: str) -> str:
        env = {**_apt_environment(), "APT_CONFIG": str(self._config)}
        return capture(argv, cwd=self.folder, env=env)

    def update(self) -> None:
        """Fetch the lists of packages anew; raises HostError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._configure()
        env = {**_apt_environment(), "APT_CONFIG": str(self._config)}
        try:
            logged(["apt-get", "update"], self.log, env=env)
        except CommandError as error:
            raise HostError(
                "cannot read Debian's list of packages",
                why=error.output,
                evidence=self.log,
                advice="check the network; what is in the cache already needs none",
            ) from error

    def kernel_sources(self) -> list[str]:
        """Versions X.Y for which there is a package linux-source-X.Y."""
        names = self._apt("apt-cache", "search", "--names-only", r"^linux-source-[0-9.]+$")
        return re.findall(r"^linux-source-(\d+\.\d+) ", names, flags=re.MULTILINE)

    def download(self, package: str) -> Path:
        """Fetch a package's file; raises HostError."""
        for old in self.folder.glob(f"{package}_*.deb"):
            old.unlink()
        try:
            self._apt("apt-get", "download", package)
        except CommandError as error:
            raise HostError(
                f"cannot fetch Debian's package {package} for {self.architecture}",
                why=error.output,
                advice="check the network, and the package's name",
            ) from error
        return next(self.folder.glob(f"{package}_*.deb"))


def package_version(package: Path) -> str:
    """The version of a package's file, such as 6.12.117-1~deb12u1."""
    return capture(["dpkg-deb", "--field", str(package), "Version"]).strip()


def extract(package: Path, target: Path) -> None:
    """Unpack a package's files below a folder."""
    target.mkdir(parents=True, exist_ok=True)
    capture(["dpkg-deb", "--extract", str(package), str(target)])
