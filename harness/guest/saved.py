# SPDX-License-Identifier: MIT
"""A machine that has booted: saved once, and there each of its guests begins."""

import shlex
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from threading import Lock

from harness.build.image import overlaid
from harness.build.recipe import PRELUDE
from harness.errors import HostError
from harness.guest.blocks import executed, joined, written
from harness.guest.files import EXECUTED
from harness.host import process
from harness.host.keeper import Keeper
from harness.host.keeping import SAVED, beyond
from harness.host.store import Cache, digest
from harness.machine import qemu
from harness.machine.argv import (
    CHANNEL_BYTES,
    GIVEN_BYTES,
    Around,
    Blocks,
    Descriptors,
    Files,
    Program,
    Saving,
    build_argv,
    memory_bytes,
)
from harness.machine.console import Watch, watch
from harness.model import Machine, Outer
from harness.model.coverage import Span

BOOT_LOG = "boot.log"
# What guest-images/saved/wait.c says: before it has the machine stop, and when it went on, at the
# time at which it stopped or at a later one.
WAITING = b"pmu-harness: waiting"
AWAKE = b"wait: awake"
LATE = b"wait: late"

_MEMORY = "memory"
_STATE = "state"
_TRIES = 5
# A trial takes some tenths of a second, or does not end.
_TRIAL_S = 10.0


@dataclass(frozen=True)
class System:
    """What is booted once: a kernel and an initramfs on a machine, or an outer system for it.

    `contents` says which they are, and which QEMU plays them: another one does not understand
    the state.  Before it is saved a guest performs the `prelude`, the lines that its batches begin
    with, for which it has the `modules`.  What is executed of the addresses that are `watched`
    is noted.
    """

    title: str
    machine: Machine
    kernel: Path
    initramfs: Path
    contents: tuple[str, ...]
    program: Program | None = None
    outer: Outer | None = None
    prelude: str = ""
    modules: tuple[Path, ...] = ()
    watched: tuple[Span, ...] = ()

    @cached_property
    def name(self) -> str:
        """What it does with a guest follows from this: not from when it was saved."""
        argv = build_argv(self.machine, self._nowhere(None), Descriptors(console=3, monitor=4))
        return digest(*self.contents, self.prelude, shlex.join(argv))

    @property
    def nowhere(self) -> Files:
        """It going on, with a guest, wherever that is: for a name of what it does."""
        return self._nowhere(Path(_STATE))

    def _nowhere(self, state: Path | None) -> Files:
        return Files(
            Path("kernel"),
            Path("initramfs"),
            Path("channel"),
            program=Program(Path("qemu"), Path("firmware")) if self.program else None,
            outer=self._around(Path("console")),
            saving=Saving(Path(_MEMORY), Path("given"), state),
        )

    def files(self, saving: Saving, channel: Path, console: Path) -> Files:
        """What its QEMU opens; an outer system's own console is appended to `console`."""
        return replace(
            self.nowhere,
            kernel=self.kernel,
            initramfs=self.initramfs,
            channel=channel,
            program=self.program,
            outer=self._around(console),
            saving=saving,
        )

    def _around(self, console: Path) -> Around | None:
        return Around(self.outer, console) if self.outer else None


@dataclass(frozen=True)
class Saved:
    """A system that has booted, in a folder of the cache."""

    system: System
    folder: Path

    @property
    def boot_log(self) -> Path:
        """What its console said until then."""
        return self.folder / BOOT_LOG

    @property
    def executed(self) -> Path:
        """What it executed until then of what was watched."""
        return self.folder / EXECUTED

    def files(self, given: Path, channel: Path, console: Path) -> Files:
        """What its QEMU opens to go on with what it is given."""
        saving = Saving(self.folder / _MEMORY, given, self.folder / _STATE)
        return self.system.files(saving, channel, console)


class Saver:
    """Boots each system once, unless that was done before; what failed is not tried again."""

    def __init__(
        self, cache: Cache, limit: int, say: Callable[[str], None], patience: float = 1.0
    ) -> None:
        self.cache = cache
        # Bytes that all of them may take, but those that are in use.
        self.limit = limit
        self.say = say
        self.patience = patience
        self._used: set[Path] = set()
        self._failures: dict[str, HostError] = {}
        self._locks: dict[str, Lock] = {}

    def saved(self, system: System) -> Saved | None:
        """The system as it was saved; None where it could not be, which is said once.

        Its guests boot then; there are none without an outer system: that raises HostError.
        """
        name = digest(system.name, repr(system.watched))
        with self._locks.setdefault(name, Lock()):
            if name not in self._failures:
                try:
                    return Saved(system, self._folder(system, name))
                except (HostError, OSError) as error:
                    self._failures[name] = HostError.of(error)
                    if not system.outer:
                        self.say(f"{self._failures[name].what}: its guests boot")
        if system.outer:
            raise self._failures[name]
        return None

    def _folder(self, system: System, name: str) -> Path:
        def make(new: Path) -> None:
            self.say(f"booting {system.title}, to be gone on from")
            self._make_room()
            _Maker(system, new, system.machine.timeout_s * self.patience).make()

        folder = self.cache.artifact(f"saved-{name}", system.title, make)
        self._used.add(folder)
        return folder

    def _make_room(self) -> None:
        """Remove those that were not used for longest, where there are more than may be."""
        keeper = Keeper(self.cache)
        keeper.remove(beyond(keeper.entries(exact=False, kind=SAVED), self.limit))

    def release(self) -> None:
        """Say that no guest goes on from any of them now, so that they may go."""
        while self._used:
            self.cache.release(self._used.pop())


class _Maker:
    """Boots a system until it stops itself, saves it, and sees that it goes on."""

    def __init__(self, system: System, place: Path, silence_s: float) -> None:
        self.system = system
        self.place = place
        self.silence_s = silence_s
        self.log = place / "qemu.log"

    def make(self) -> None:
        """Fill the folder; raises HostError.

        Where QEMU's threads came in the wrong order the clock is not that of the instruction
        at which the machine stopped (process.confine() is there for that), and it is saved anew.
        """
        for _ in range(_TRIES):
            self._save()
            said = self._tried()
            if LATE not in said:
                break
        if AWAKE not in said:
            raise HostError(
                f"{self.system.title} does not go on from where it was saved",
                why=process.tail(self.place / "trial.log"),
            )

    def _save(self) -> None:
        """Boot and save it; raises HostError."""
        state, log = self.place / _STATE, self.place / BOOT_LOG
        blocks = Blocks(self.place / "blocks.log", self.system.watched)
        with self._running(BOOT_LOG, None, blocks if blocks.spans else None) as machine:

            def notice(sign: bytes) -> None:
                if sign.startswith(WAITING):
                    process.confine(machine.child)
                    machine.monitor.save(state)
                    process.end(machine.child)

            try:
                end = watch(machine.console, self._console(BOOT_LOG), self.silence_s, notice)
            except qemu.SILENCE as error:
                raise machine.fault() or HostError(
                    f"QEMU does not save {self.system.title}",
                    why=process.tail(self.log) or str(error) or "it does not answer",
                ) from error
            if end is Watch.CLOSED and not state.exists() and (fault := machine.fault()):
                raise fault
        if not state.exists():
            raise HostError(
                f"{self.system.title} does not boot",
                why=process.tail(log) or process.tail(self.log),
                advice="./pmu-harness doctor",
            )
        leave_executed(blocks, self.place / EXECUTED)

    def _tried(self) -> bytes:
        """What it says on its way to its end from the saved state, with nothing given.

        Nothing where it does not get there, unless it was late.
        """
        trial = self.place / "trial.log"
        with self._running(trial.name, self.place / _STATE) as machine:
            end = watch(machine.console, self._console(trial.name), _TRIAL_S)
        said = trial.read_bytes()
        return said if end is Watch.CLOSED or LATE in said else b""

    def _console(self, log: str) -> Path:
        """Where the console is logged that the harness reads: an outer system's is its guest's."""
        return self.place / ("console.log" if self.system.outer else log)

    def _initramfs(self, folder: Path) -> Path:
        """What it boots with."""
        system = self.system
        if not system.prelude:
            return system.initramfs
        target = folder / "initramfs.cpio"
        overlaid(target, system.initramfs, {PRELUDE: system.prelude}, system.modules)
        return target

    @contextmanager
    def _running(
        self, log: str, state: Path | None, blocks: Blocks | None = None
    ) -> Iterator[qemu.Qemu]:
        """The system as it boots, or from a saved state; nothing is given, the channel empty."""
        memory = self.place / _MEMORY
        with tempfile.TemporaryDirectory(dir=self.place) as name:
            given, channel = Path(name) / "given", Path(name) / "channel"
            _empty(given, GIVEN_BYTES)
            _empty(channel, CHANNEL_BYTES)
            files = self.system.files(Saving(memory, given, state), channel, self.place / log)
            files = replace(files, blocks=blocks)
            if state is None:
                _empty(memory, memory_bytes(self.system.machine, self.system.outer))
                files = replace(files, initramfs=self._initramfs(Path(name)))
            with qemu.running(self.system.machine, files, self.log) as machine:
                yield machine


def leave_executed(blocks: Blocks, target: Path, before: Iterable[Span] = ()) -> None:
    """Keep of a log of blocks the addresses, each once: the log is many times as long.

    With what was executed `before`, of the same addresses.
    """
    log = blocks.log.read_text(errors="replace") if blocks.log.exists() else ""
    spans = joined(executed(log.splitlines()), before)
    target.write_text(written(spans), encoding="ascii")
    blocks.log.unlink(missing_ok=True)


def _empty(path: Path, size: int) -> None:
    """A file of zeroes that takes no space."""
    with path.open("wb") as file:
        file.truncate(size)
