# SPDX-License-Identifier: MIT
"""An outer system that has booted: saved once, and there each of its guests begins."""

import shlex
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from harness.build.outer import OuterImage
from harness.errors import HostError
from harness.host import process
from harness.host.store import Cache, digest
from harness.machine import qemu
from harness.machine.argv import (
    CHANNEL_BYTES,
    GUEST_BYTES,
    Around,
    Descriptors,
    Files,
    Program,
    build_argv,
)
from harness.machine.console import Watch, watch
from harness.model import Machine, Outer

BOOT_LOG = "boot.log"
# What guest-images/outer/wait.c says: on the guest's console, and on the outer system's own.
WAITING = b"pmu-harness: waiting"
AWAKE = b"awake"

_MEMORY = "memory"
_STATE = "state"
_TRIES = 5
# A trial takes some tenths of a second, or does not end.
_TRIAL_S = 10.0


@dataclass(frozen=True)
class Saved:
    """An outer system as it is when a guest begins, for machines of one size.

    What it does with a guest follows from its name: not from when it was saved.
    """

    name: str
    image: OuterImage
    folder: Path

    @property
    def boot_log(self) -> Path:
        """What its console said until then."""
        return self.folder / BOOT_LOG

    def around(self, guest: Path, console: Path) -> Around:
        """It, with a guest in its reach."""
        memory, state = self.folder / _MEMORY, self.folder / _STATE
        return Around(self.image.row, guest, console, memory, state)

    @property
    def nowhere(self) -> Around:
        """It, wherever it may lie: for a name of what it does."""
        return replace(_nowhere(self.image.row), state=Path(_STATE))


def _nowhere(row: Outer) -> Around:
    """An outer system that boots, wherever that is."""
    return Around(row, *(Path(name) for name in ("guest", "console", _MEMORY)))


def saved(
    image: OuterImage,
    machine: Machine,
    program: Program | None,
    *,
    version: str,
    cache: Cache,
    say: Callable[[str], None],
) -> Saved:
    """An outer system around machines of this size, booted unless that was done before.

    `version` names the QEMU: another one does not understand its state.  Raises HostError.
    """
    files = Files(Path("kernel"), Path("initramfs"), Path("channel"), outer=_nowhere(image.row))
    argv = build_argv(machine, files, Descriptors(console=3, monitor=4))
    name = digest(image.sha256, shlex.join(argv), version)

    def make(new: Path) -> None:
        say(f"booting {image.row.name} with {machine.cpus} CPUs, to be gone on from")
        _Maker(image, machine, program, new).make()

    size = f"{image.row.name}, {machine.cpus} CPUs"
    return Saved(name, image, cache.artifact(f"saved-{name}", size, make))


class _Maker:
    """Boots an outer system until it is saved so that it goes on."""

    def __init__(
        self, image: OuterImage, machine: Machine, program: Program | None, place: Path
    ) -> None:
        self.image = image
        self.machine = machine
        self.program = program
        self.place = place
        self.log = place / "qemu.log"

    def make(self) -> None:
        """Fill the folder; raises HostError.

        A try fails where the host was too slow to stop the system while it waited, or
        where that happened to be in the instant when a timer was set that QEMU does not
        save: see guest-images/outer/wait.c.
        """
        if not any(self._save() and self._goes_on() for _ in range(_TRIES)):
            raise HostError(
                f"the outer system {self.image.row.name} could not be saved in {_TRIES} tries",
                why=process.tail(self.place / "trial.log") or process.tail(self.place / BOOT_LOG),
                advice="try again when the host is less busy",
            )

    def _save(self) -> bool:
        """Boot and save it; False if it went on before it was stopped.  Raises HostError."""
        console, state = self.place / BOOT_LOG, self.place / _STATE
        for left in (console, state):
            left.unlink(missing_ok=True)
        with self._booted(console) as outer:

            def notice(sign: bytes) -> None:
                if sign.startswith(WAITING):
                    outer.monitor.save(state)
                    process.end(outer.child)

            log = self.place / "console.log"
            try:
                end = watch(outer.console, log, self.machine.timeout_s, notice)
            except qemu.SILENCE as error:
                raise outer.fault() or HostError(
                    "QEMU does not save the outer system",
                    why=process.tail(self.log) or str(error) or "it does not answer",
                ) from error
            if end is Watch.CLOSED and not state.exists() and (fault := outer.fault()):
                raise fault
        if not state.exists():
            raise HostError(
                f"the outer system {self.image.row.name} does not boot",
                why=process.tail(console) or process.tail(self.log),
                advice="./pmu-harness doctor",
            )
        return AWAKE not in console.read_bytes()

    def _goes_on(self) -> bool:
        """Whether it gets to its end from the saved state, without a guest."""
        console = self.place / "trial.log"
        console.unlink(missing_ok=True)
        with self._booted(console, self.place / _STATE) as outer:
            end = watch(outer.console, self.place / "console.log", _TRIAL_S)
        return end is Watch.CLOSED and AWAKE in console.read_bytes()

    @contextmanager
    def _booted(self, console: Path, state: Path | None = None) -> Iterator[qemu.Qemu]:
        """The outer system with no guest to run and an empty channel; or from a saved state."""
        memory = self.place / _MEMORY
        with tempfile.TemporaryDirectory(dir=self.place) as name:
            guest, channel = Path(name) / "guest", Path(name) / "channel"
            around = Around(self.image.row, guest, console, memory, state)
            _empty(guest, GUEST_BYTES)
            _empty(channel, CHANNEL_BYTES)
            if state is None:
                _empty(memory, around.memory_bytes(self.machine))
            files = Files(
                self.image.kernel,
                self.image.initramfs,
                channel,
                program=self.program,
                outer=around,
            )
            with qemu.running(self.machine, files, self.log) as outer:
                yield outer


def _empty(path: Path, size: int) -> None:
    """A file of zeroes that takes no space."""
    with path.open("wb") as file:
        file.truncate(size)
