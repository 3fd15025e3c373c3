# SPDX-License-Identifier: MIT
"""What the host lacks, and installing it: said first, done when allowed."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from harness.errors import HostError
from harness.host.process import ending_of, environment, has
from harness.model import Package


def present(package: Package) -> bool:
    """True if what the package provides, a command or a file, is here."""
    if package.provides.startswith("/"):
        return Path(package.provides).exists()
    return has(package.provides)


def missing(packages: Iterable[Package]) -> list[Package]:
    """Those of the packages that the host lacks."""
    return [package for package in packages if not present(package)]


def install_command(packages: list[Package]) -> list[list[str]]:
    """The commands that install packages, as root."""
    names = [package.package for package in packages]
    return [
        ["apt-get", "update", "--quiet"],
        ["apt-get", "install", "--quiet", "--yes", "--no-install-recommends", *names],
    ]


def ensure(
    packages: Sequence[Package],
    *,
    yes: bool,
    say: Callable[[str], None],
    ask: Callable[[str], bool],
) -> None:
    """Install what is missing, if that is allowed; raises HostError with the command if not."""
    lacking = missing(packages)
    if not lacking:
        return
    say("This machine lacks:")
    for package in lacking:
        say(f"  {package.package:<24} {package.why}")
    commands = install_command(lacking)
    elevate = _elevation()
    by_hand = " && ".join(shlex.join(["sudo", *command]) for command in commands)
    if elevate is None:
        raise HostError("packages are missing, and installing them takes root", advice=by_hand)
    if not (yes or os.environ.get("CI")):
        if not sys.stdin.isatty():
            raise HostError(
                "packages are missing, and there is no terminal to ask at",
                advice=f"{by_hand}\nor give --yes",
            )
        if not ask("Install them now?"):
            raise HostError("packages are missing", advice=by_hand)
    for command in commands:
        _run([*elevate, *command])
    still = missing(packages)
    if still:
        names = ", ".join(f"{package.package} ({package.provides})" for package in still)
        raise HostError("installed, and still not found: " + names)


def _elevation() -> list[str] | None:
    """What to put before a command to run it as root; None where nothing does."""
    if os.geteuid() == 0:
        return []
    return ["sudo"] if has("sudo") else None


def _run(command: list[str]) -> None:
    """In the foreground: sudo may ask for a password, apt shows its progress."""
    env = environment({"DEBIAN_FRONTEND": "noninteractive"})
    status = subprocess.run(command, env=env, check=False).returncode
    if status:
        raise HostError(
            f"{shlex.join(command)}: {ending_of(status)}",
            why="its own words are above",
            advice="check the network and the disk, then run the command again",
        )
