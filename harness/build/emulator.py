# SPDX-License-Identifier: MIT
"""From a row of emulators.yaml to a QEMU with its firmware, in a persistent build folder."""

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.ask.catalog import Catalog
from harness.build.compile import LOG, run_step
from harness.errors import HostError, SubjectError
from harness.host import sandbox
from harness.host.process import CommandError, version
from harness.host.progress import Progress
from harness.host.store import Cache, digest, file_digest, write_json, write_text
from harness.machine.argv import Program
from harness.model import Emulator, Firmware, Machine, PatchFile
from harness.source.apply import patched
from harness.source.emulator import Fetcher
from harness.source.tree import Source

COMPILER = "gcc"
FIRMWARE = "firmware"
FACTS = "emulator.json"

_STEP = re.compile(r"\[\d+/\d+\]")


@dataclass(frozen=True)
class Built:
    """What a build left in the store: the program, its firmware, and what they were made of."""

    row: Emulator
    folder: Path
    digest: str

    @property
    def program(self) -> Program:
        """What to run."""
        return Program(self.folder / self.row.target, self.folder / FIRMWARE)

    @property
    def facts(self) -> dict[str, Any]:
        """`version` (QEMU's own first line), `source`, `source_digest`, `patches`, ..."""
        return dict(json.loads((self.folder / FACTS).read_text(encoding="utf-8")))


class EmulatorBuilder:
    """Builds one row; the harness and its host answer for what fails, no kernel does."""

    def __init__(
        self,
        cache: Cache,
        row: Emulator,
        patches: tuple[PatchFile, ...],
        fetcher: Fetcher,
        progress: Progress,
    ) -> None:
        self.cache = cache
        self.row = row
        self.patches = patches
        self.fetcher = fetcher
        self.progress = progress
        self.folder = cache.builds / f"emulator-{row.name}"
        self.log = self.folder / LOG

    def build(self, *, rerun: bool = False) -> Built:
        """The emulator, from the store if it is there; a `rerun` builds it from nothing.

        Raises HostError, with the log as evidence.
        """
        with self._answering():
            source, firmware, toolchain, built = self._fetched()
            if rerun or not built.folder.exists():
                with self._locked(source):
                    if rerun or not built.folder.exists():
                        self._make(built, source, firmware, toolchain, rerun=rerun)
            return built

    def built(self) -> Built | None:
        """The emulator if the store has it; nothing is fetched to find that out."""
        if not self.fetcher.remembers(self.row):
            return None
        with self._answering():
            *_, built = self._fetched()
        return built if built.folder.exists() else None

    def _fetched(self) -> tuple[Source, dict[Firmware, Path], str, Built]:
        """What the emulator is made of, and where in the store it belongs."""
        source = self.fetcher.source(self.row.source)
        firmware = {
            row: self.fetcher.firmware(row) if row.package else source.tree.work
            for row in self.row.firmware
        }
        toolchain = version(COMPILER)
        name = self._digest(source, firmware, toolchain)
        place = self.cache.use(self.cache.artifacts / f"emulator-{name}", self.row.name)
        built = Built(self.row, place, name)
        return source, firmware, toolchain, built

    def _digest(self, source: Source, firmware: dict[Firmware, Path], toolchain: str) -> str:
        blobs = [
            path.name if row.package else row.model_dump_json() for row, path in firmware.items()
        ]
        return digest(
            source.digest,
            json.dumps([self.row.target, *self._options()]),
            toolchain,
            json.dumps([patch.text for patch in self.patches]),
            *blobs,
        )

    def _options(self) -> list[str]:
        """What configure is told, but for where Python is; it must not go online."""
        fixed = [f"--cc={COMPILER}", "--disable-download", f"--with-pkgversion={self.row.name}"]
        return [*fixed, *self.row.configure]

    @contextmanager
    def _locked(self, source: Source) -> Iterator[None]:
        """The build folder and the tree to ourselves."""
        say = self.progress.say
        waiting = f"another run builds the emulator {self.row.name}: waiting"
        ours = self.cache.lock(f"emulator-{self.row.name}", lambda: say(waiting))
        with ours, source.locked(self.cache, say):
            yield

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """What looks like a subject's fault is none here; what git or tar say is shown."""
        whose = f"the emulator {self.row.name}"
        try:
            yield
        except SubjectError as error:
            advice = "no kernel is to blame: see configs/emulators.yaml and the row's patches"
            raise HostError.instead_of(error, whose, advice) from error
        except (CommandError, OSError) as error:
            said = error.output if isinstance(error, CommandError) else ""
            raise HostError(
                f"{whose} cannot be built",
                why=f"{error}\n{said}",
                advice=f"check the disk below {self.cache.root} (df), then run it again",
            ) from error

    def _make(
        self,
        built: Built,
        source: Source,
        firmware: dict[Firmware, Path],
        toolchain: str,
        *,
        rerun: bool,
    ) -> None:
        began = time.monotonic()
        self.cache.use(self.folder, self.row.name)
        if rerun:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.log.unlink(missing_ok=True)
        _, tree = patched(source.tree, source.pristine, self.patches)
        with self.progress.stage(f"build the emulator {self.row.name}", self.log) as note:
            source.tree.checkout(tree)
            self._configure(source, toolchain)
            self._step(source, ["ninja", f"-j{os.cpu_count()}", self.row.target], note)
            with self.cache.publish(built.folder) as new:
                shutil.copy2(self.folder / self.row.target, new / self.row.target)
                shutil.copyfile(self.log, new / LOG)
                blobs = _lay_out(firmware, new / FIRMWARE)
                facts = {
                    "emulator": self.row.name,
                    "version": version(str(new / self.row.target)),
                    "digest": built.digest,
                    "source": source.spec,
                    "source_digest": source.digest,
                    "patches": [patch.path for patch in self.patches],
                    "configure": self._options(),
                    "firmware": blobs,
                    "toolchain": toolchain,
                    "sandbox": sandbox.why_unavailable() or "bubblewrap, no network",
                    "seconds": f"{time.monotonic() - began:.1f}",
                }
                write_json(new / FACTS, facts)

    def _configure(self, source: Source, toolchain: str) -> None:
        """Configure in an empty folder, unless nothing that it depends on changed."""
        configure = source.tree.work / "configure"
        argv = [str(configure), f"--python={sys.executable}", *self._options()]
        stamp = self.folder / "configure.stamp"
        made_of = (configure.read_bytes(), source.tree.token())
        key = digest(json.dumps(argv), toolchain, sys.version, *made_of)
        if stamp.exists() and stamp.read_text() == key:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._step(source, argv, lambda _: None)
        write_text(stamp, key)

    def _step(self, source: Source, argv: list[str], note: Callable[[str], None]) -> None:
        """One command, confined to the build folder; ninja's [n/m] is shown."""

        def follow(line: str) -> None:
            if found := _STEP.match(line):
                note(found[0])

        python = [Path(sys.prefix), Path(sys.base_prefix)]
        readable = [source.tree.work, *python]
        run_step(self.row.target, argv, self.folder, readable=readable, follow=follow)


def _lay_out(firmware: dict[Firmware, Path], folder: Path) -> dict[str, str]:
    """Put all firmware into one folder; the SHA-256 of each file, by its name."""
    folder.mkdir()
    for row, place in firmware.items():
        for file in row.files:
            path = place / (Path(file).name if row.package else file)
            shutil.copyfile(path, folder / path.name)
    return {path.name: file_digest(path) for path in sorted(folder.iterdir())}


def provide(
    name: str,
    catalog: Catalog,
    cache: Cache,
    progress: Progress,
    *,
    refresh: bool = False,
    rerun: bool = False,
) -> Built:
    """The emulator of a row, built if need be.

    Raises PlanError for one that does not exist, HostError where it cannot be made.
    """
    return _builder(name, catalog, cache, progress, refresh=refresh).build(rerun=rerun)


def stored(name: str, catalog: Catalog, cache: Cache, progress: Progress) -> Built | None:
    """The emulator of a row if it is built; nothing is fetched, nothing built."""
    return _builder(name, catalog, cache, progress, refresh=False).built()


def _builder(
    name: str, catalog: Catalog, cache: Cache, progress: Progress, *, refresh: bool
) -> EmulatorBuilder:
    row = catalog.find("emulators", name)
    fetcher = Fetcher(cache, progress.say, refresh=refresh)
    return EmulatorBuilder(cache, row, catalog.emulator_patches(row), fetcher, progress)


def provide_for(
    machine: Machine, catalog: Catalog, cache: Cache, progress: Progress
) -> Built | None:
    """The emulator that a machine takes; none where the host's QEMU plays it."""
    name = catalog.on_host(machine).emulator
    return provide(name, catalog, cache, progress) if name else None
