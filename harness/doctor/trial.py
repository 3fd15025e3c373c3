# SPDX-License-Identifier: MIT
"""Try an accelerator: boot a program that counts on it, within a time, and remember it."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from harness.ask.catalog import Catalog
from harness.build import bare
from harness.build.emulator import stored
from harness.doctor.device import ask
from harness.errors import HarnessError, HostError
from harness.host import process
from harness.host.progress import Progress
from harness.host.store import Cache, digest, write_json
from harness.machine.argv import Program, trial_argv
from harness.machine.crash import clean
from harness.model import Accelerator, Boot, DeviceFacts, Obstacle, Stage, Trial

CONSOLE = "console.log"
QEMU_LOG = "qemu.log"
TRIAL = "trial.json"
IMAGE = "image"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
FILE_BYTES = 64 << 10
WORDS = 8


@dataclass(frozen=True)
class Qemu:
    """The QEMU that a row names: its file, its version, and a program of our own."""

    binary: Path
    version: str
    program: Program | None

    @property
    def identity(self) -> str:
        """What is another one when the file was replaced, whatever its version says."""
        about = self.binary.stat()
        return f"{self.binary} {self.version} {about.st_size} {about.st_mtime_ns}"


class Doctor:
    """Tries accelerators; `rerun` tries again what is remembered of this boot of the host."""

    def __init__(
        self, catalog: Catalog, cache: Cache, progress: Progress, *, rerun: bool = False
    ) -> None:
        self.catalog = catalog
        self.cache = cache
        self.progress = progress
        self.rerun = rerun

    def trial(self, row: Accelerator) -> Trial:
        """What is remembered of an accelerator, or seen now; it never raises HarnessError."""
        return self._trial(row, may_boot=True)

    def remembered(self, row: Accelerator) -> Trial:
        """What is known by now, with an earlier boot if there was one; nothing is booted."""
        return self._trial(row, may_boot=False)

    def _trial(self, row: Accelerator, *, may_boot: bool) -> Trial:
        trial = Trial(accelerator=row.name, device=ask(row) if row.device else None)
        try:
            qemu = self._qemu(row)
        except HarnessError as error:
            return _stopped(trial, Stage.QEMU, error)
        trial = trial.model_copy(update={"binary": str(qemu.binary), "version": qemu.version})
        if trial.device and trial.device.error:
            return trial
        try:
            recipe = self._bare(row).digest()
            key = self._key(row, qemu, recipe, trial.device)
            known = None if self.rerun else self._known(row, key)
            if known or not may_boot:
                return known or trial
            image = self._image(row, recipe)
        except HarnessError as error:
            return _stopped(trial, Stage.PROGRAM, error)
        return self._boot(row, qemu, image, trial, key)

    def _qemu(self, row: Accelerator) -> Qemu:
        """The QEMU of a row; raises HostError where it is not there, or not built."""
        program = None
        if row.emulator:
            built = stored(row.emulator, self.catalog, self.cache, self.progress)
            if built is None:
                raise HostError(
                    f"the emulator {row.emulator} is not built",
                    why="it is built when a run first needs it",
                    advice=f"./pmu-harness emulator build {row.emulator}",
                )
            program = built.program
        command = str(program.binary) if program else row.qemu
        binary = process.where(command)
        if binary is None:
            raise HostError(f"{command} is not installed", advice="./pmu-harness setup")
        return Qemu(Path(binary), process.version(command), program)

    def _bare(self, row: Accelerator) -> bare.Program:
        architecture = self.catalog.architectures[row.architecture]
        return bare.Program(row, architecture, self.catalog.root / "guest-images")

    def _image(self, row: Accelerator, recipe: str) -> Path:
        """The program, from the store if it is there; raises HostError."""

        def make(new: Path) -> None:
            self._bare(row).compile(new / IMAGE)

        return self.cache.artifact(f"accelerator-{recipe}", row.name, make) / IMAGE

    def _key(self, row: Accelerator, qemu: Qemu, recipe: str, device: DeviceFacts | None) -> str:
        """All that a trial depends on: it holds for one boot of the host at the most."""
        boot = BOOT_ID.read_text(encoding="ascii")
        driver = device.model_dump_json() if device else ""
        return digest(boot, row.model_dump_json(), qemu.identity, recipe, driver)

    def _known(self, row: Accelerator, key: str) -> Trial | None:
        """What lies in the cache, if it is of this boot, QEMU, program and driver."""
        try:
            memory = json.loads((self.cache.trials / row.name / TRIAL).read_bytes())
            if memory["key"] != key:
                return None
            trial = Trial.model_validate(memory["trial"])
        except (OSError, ValueError, KeyError, TypeError, ValidationError):
            return None
        return trial.model_copy(update={"remembered": True})

    def _boot(self, row: Accelerator, qemu: Qemu, image: Path, trial: Trial, key: str) -> Trial:
        """Boot the program; what QEMU and the guest said stays in the cache, as evidence."""
        place = self.cache.use(self.cache.trials / row.name, row.name)
        lock = self.cache.lock(f"trial-{row.name}")
        with lock, self.progress.stage(f"try {row.name}"), self.cache.publish(place) as new:
            began = time.monotonic()
            try:
                status = process.bounded(
                    trial_argv(row, image, qemu.program),
                    stdout=new / CONSOLE,
                    stderr=new / QEMU_LOG,
                    seconds=row.timeout_s,
                    size=FILE_BYTES,
                )
            except HostError as error:
                return _stopped(trial, Stage.BOOT, error)
            boot = Boot(
                status=status,
                signal=process.signal_of(status),
                seconds=round(time.monotonic() - began, 2),
                console=clean((new / CONSOLE).read_bytes()),
                words=tuple(clean(process.tail(new / QEMU_LOG, WORDS).encode()).splitlines()),
                evidence=str(place),
            )
            seen = trial.model_copy(update={"boot": boot})
            write_json(new / TRIAL, {"key": key, "trial": seen.model_dump(mode="json")})
        return seen


def _stopped(trial: Trial, stage: Stage, error: HarnessError) -> Trial:
    """A trial that did not come to a boot."""
    obstacle = Obstacle(
        stage=stage,
        what=error.what,
        why=error.why,
        evidence=str(error.evidence or ""),
        advice=error.advice,
    )
    return trial.model_copy(update={"obstacle": obstacle})
