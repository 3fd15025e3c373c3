# SPDX-License-Identifier: MIT
"""Building the perf guest's disk: a Debian system with perf and an SSH server, as one ext4 file."""

import shutil
from collections.abc import Callable
from pathlib import Path

from harness.build.recipe import DISK_SPARE_MIB, LINKS, PACKAGES, TEXTS, UNWANTED
from harness.errors import HostError
from harness.host.debian import Archive, extract
from harness.host.process import CommandError, environment, logged
from harness.host.store import Cache, digest, write_text
from harness.model import Architecture

DISK = "disk.ext4"
PACKAGE_LIST = "packages.txt"

# Fixed, so that the same packages make the same file system.
_UUID = "70657266-0000-4000-8000-000000000000"
_FAKE_TIME = "1577836800"  # 2020-01-01
_TIMES = {"E2FSPROGS_FAKE_TIME": _FAKE_TIME, "SOURCE_DATE_EPOCH": _FAKE_TIME}
_MIB = 1 << 20


class DiskBuilder:
    """Builds the disk of one architecture from Debian's packages; needs no root."""

    def __init__(
        self,
        cache: Cache,
        architecture: Architecture,
        archive: Archive,
        say: Callable[[str], None],
    ) -> None:
        self.cache = cache
        self.architecture = architecture
        self.archive = archive
        self.say = say

    def build(self) -> Path:
        """The disk's file, from the store if it is there; raises HostError."""
        recipe = (PACKAGES, LINKS, TEXTS, UNWANTED, DISK_SPARE_MIB, _UUID, _FAKE_TIME)
        name = digest(self.architecture.debian, repr(recipe))
        return self.cache.artifact(f"disk-{name}", self.architecture.name, self._make) / DISK

    def _make(self, new: Path) -> None:
        root, packages = new / "root", new / "packages"
        self.say(f"fetching perf and an SSH server for {self.architecture.debian}")
        files = self.archive.download_all(PACKAGES, packages)
        root.mkdir()
        for file in files:
            extract(file, root)
        _finish(root)
        _pack(root, new / DISK, new / "build.log")
        write_text(new / PACKAGE_LIST, "".join(f"{file.name}\n" for file in files))
        shutil.rmtree(root)
        shutil.rmtree(packages)


def _finish(root: Path) -> None:
    """What makes a system of unpacked packages: an account, a shell's name."""
    for name in UNWANTED:
        shutil.rmtree(root / name, ignore_errors=True)
    for name in (*LINKS, *TEXTS):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
    for name, target in LINKS.items():
        (root / name).unlink(missing_ok=True)
        (root / name).symlink_to(target)
    for name, text in TEXTS.items():
        (root / name).write_text(text, encoding="ascii")
    for name in ("dev", "probes", "proc", "run", "sys", "tmp"):
        (root / name).mkdir(exist_ok=True)


def _pack(root: Path, target: Path, log: Path) -> None:
    """A folder as an ext4 file, everything in it root's, with a little room."""
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    size = sum(path.stat().st_size for path in files)
    mib = size * 11 // 10 // _MIB + DISK_SPARE_MIB
    make = ["fakeroot", "--", "mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0"]
    make += ["-U", _UUID, "-E", f"hash_seed={_UUID},root_owner=0:0", "-d", str(root)]
    try:
        logged([*make, str(target), f"{mib}M"], log, env=environment(_TIMES))
    except CommandError as error:
        raise HostError("the guest's disk cannot be made", why=error.output) from error
