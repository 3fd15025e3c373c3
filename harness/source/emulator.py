# SPDX-License-Identifier: MIT
"""QEMU's source and the firmware of its guests: fetched, verified, unpacked, remembered."""

import shutil
from collections.abc import Callable
from functools import cache as cached
from pathlib import Path
from typing import Any

from harness.errors import HostError
from harness.host.debian import Archive, extract, own_architecture, package_version
from harness.host.download import download
from harness.host.store import Cache, digest, file_digest
from harness.model import Emulator, EmulatorSource, Firmware
from harness.source.archive import unpack
from harness.source.tree import Source, Tree

VERSION = "VERSION"


class Fetcher:
    """Sources and firmware, from the cache if they are there; a refresh asks Debian again.

    `archive` gives the packages of a suite.
    """

    def __init__(
        self,
        cache: Cache,
        say: Callable[[str], None],
        *,
        refresh: bool = False,
        archive: Callable[[str], Archive] | None = None,
    ) -> None:
        self.cache = cache
        self.say = say
        self.refresh = refresh
        self.archive = cached(archive or self._archive)

    def _archive(self, suite: str) -> Archive:
        return Archive(self.cache, own_architecture(), suite, sources=True)

    def remembers(self, row: Emulator) -> bool:
        """True if nothing needs to be fetched for an emulator."""
        names = [_name_of_source(row.source)]
        names += [_name_of_firmware(firmware) for firmware in row.firmware if firmware.package]
        return all(self.cache.remembers(name) for name in names)

    def source(self, row: EmulatorSource) -> Source:
        """The unpacked source; raises HostError where it cannot be had."""
        find = self._from_url if row.url else self._from_debian
        # A tarball is what its digest says: there is nothing to refresh.
        refresh = self.refresh and not row.url
        facts = self.cache.remembered(
            _name_of_source(row),
            lambda: find(row),
            refresh=refresh,
            say=self.say,
            of=row.url or f"{row.debian} {row.series} of {row.suite}",
        )
        return Source(
            spec=facts["spec"],
            version=facts["version"],
            digest=facts["sha256"],
            tree=Tree(self.cache.sources / facts["folder"]),
            pristine=None,
        )

    def _from_debian(self, row: EmulatorSource) -> dict[str, Any]:
        archive = self.archive(row.suite)
        self.say(f"asking Debian {row.suite} for the source of {row.debian} {row.series}")
        version = archive.source_version(row.debian, row.series or "")
        with self.cache.scratch() as scratch:
            self.say(f"downloading {row.debian} {version}")
            tarball = archive.download_source(row.debian, version, scratch)
            return self._unpacked(f"debian:{row.debian}={version}", tarball, file_digest(tarball))

    def _from_url(self, row: EmulatorSource) -> dict[str, Any]:
        with self.cache.scratch() as scratch:
            self.say(f"downloading {row.url}")
            tarball = scratch / "source.tar"
            download(row.url, tarball)
            found = file_digest(tarball)
            if found != row.sha256:
                raise HostError(
                    f"{row.url} is not the tarball that its row names",
                    why=f"its SHA-256 is    {found}\nthe row's is      {row.sha256}",
                    advice="find out which one is right before configs/emulators.yaml is changed",
                )
            return self._unpacked(row.url, tarball, found)

    def _unpacked(self, spec: str, tarball: Path, sha256: str) -> dict[str, Any]:
        """Unpack a tarball unless it is there, objects built of it too; what to remember of it."""
        place = self.cache.sources / f"emulator-{sha256[:20]}"
        if not place.exists():
            self.say(f"unpacking {tarball.name}")
            with self.cache.publish(place) as new:
                unpack(Tree(new), tarball)
        version = Tree(place).work / VERSION
        if not version.exists():
            raise HostError(f"{spec} is no source of QEMU", why=f"it holds no file {VERSION}")
        return {
            "spec": spec,
            "version": version.read_text(encoding="utf-8").strip(),
            "sha256": sha256,
            "folder": place.name,
        }

    def firmware(self, row: Firmware) -> Path:
        """A folder, named by its content, that holds a package's files; raises HostError."""
        facts = self.cache.remembered(
            _name_of_firmware(row),
            lambda: self._from_package(row),
            refresh=self.refresh,
            say=self.say,
            of=row.package,
        )
        return self.cache.sources / str(facts["folder"])

    def _from_package(self, row: Firmware) -> dict[str, Any]:
        with self.cache.scratch() as scratch:
            self.say(f"downloading {row.package}")
            package = self.archive(row.suite).download(row.package, scratch)
            extract(package, scratch / "root")
            files = [scratch / "root" / file for file in row.files]
            for file in files:
                if file.is_symlink() or not file.is_file():
                    raise HostError(
                        f"Debian's package {row.package} holds no file "
                        f"{file.relative_to(scratch / 'root')}",
                        advice="correct the firmware in configs/emulators.yaml",
                    )
            digests = {file.name: file_digest(file) for file in files}
            place = self.cache.sources / f"firmware-{digest(*digests, *digests.values())}"
            with self.cache.publish(place) as new:
                for file in files:
                    shutil.copyfile(file, new / file.name)
            return {
                "package": row.package,
                "package_version": package_version(package),
                "files": digests,
                "folder": place.name,
            }


def _name_of_source(row: EmulatorSource) -> str:
    """Under which a source is remembered."""
    if row.url:
        return f"emulator-{row.sha256[:12]}"
    return f"emulator-{row.debian}-{row.suite}-{row.series}"


def _name_of_firmware(row: Firmware) -> str:
    """Under which a package's files are remembered."""
    return f"firmware-{digest(row.model_dump_json())}"
