# SPDX-License-Identifier: MIT
"""A guest that is spoken to while it runs: booted, its console watched, its session opened."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from harness.build.image import GuestImage
from harness.build.recipe import BATCH
from harness.guest.batch import laid_out
from harness.guest.files import CONSOLE
from harness.guest.ssh import Keys, LostError, Session, TimeLimitError, make_keys
from harness.host import process
from harness.machine import qemu
from harness.machine.argv import Files, Program
from harness.machine.console import Watch, watch
from harness.model import Machine

FINISH_S = 10.0
_LISTENING = b"pmu-harness: listening"
_PANIC = b"Kernel panic"


@dataclass(frozen=True)
class Boot:
    """What a live guest boots: a kernel, the image with its batch, the disk, on a machine."""

    kernel: Path
    modules: tuple[Path, ...]
    image: GuestImage
    disk: Path
    machine: Machine
    batch: str
    program: Program | None = None
    gdb: Path | None = None
    echo: Callable[[bytes], None] = lambda data: None


class Live:
    """A guest in its run; the console's watcher ends the session when the guest is gone."""

    def __init__(
        self, machine: qemu.Qemu, keys: Keys, log: Path, echo: Callable[[bytes], None]
    ) -> None:
        self.machine = machine
        self._echo = echo
        self.seen: Watch | None = None
        self._keys = keys
        self._session: Session | None = None
        self._listening = threading.Event()
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, args=(log,), name="console")
        self._watcher.start()

    def _watch(self, log: Path) -> None:
        try:
            self.seen = watch(self.machine.console, log, None, self._notice, self._echo)
        finally:
            self._ended.set()
            self._listening.set()
            self._hang_up()

    def _notice(self, sign: bytes) -> None:
        if sign.startswith(_LISTENING):
            self._listening.set()
        elif sign.startswith(_PANIC):
            self._hang_up()

    def _hang_up(self) -> None:
        if self._session:
            self._session.close()

    def connect(self, limit_s: float, *, patient: bool = False) -> Session:
        """The session, as soon as the guest listens; raises LostError or TimeLimitError.

        One who is patient waits for as long as a debugger holds the guest.
        """
        if not self._listening.wait(None if patient else limit_s):
            raise TimeLimitError("the guest's SSH server did not come up")
        if self._ended.is_set():
            raise LostError("the guest ended before its SSH server came up")
        self._session = Session(self.machine.port, self._keys, limit_s)
        return self._session

    def finish(self, session: Session) -> None:
        """Let the guest write what it has and power off, sooner than it may answer."""
        with suppress(LostError):
            session.run(["sh", "-c", "echo >/run/finish"], FINISH_S)
        self.wait(FINISH_S)

    def wait(self, seconds: float | None = None) -> bool:
        """True once the console is closed: the guest is gone."""
        return self._ended.wait(seconds)

    def end(self) -> None:
        """End QEMU, and with it the watcher: what it reads from is still ours."""
        self._hang_up()
        process.end(self.machine.child)
        self._watcher.join()


@contextmanager
def booted(boot: Boot, folder: Path) -> Iterator[tuple[Live, Files]]:
    """A live guest, its console in `folder`; nothing of it is left behind.

    Raises HostError when QEMU does not start.
    """
    keys = make_keys()
    parts = laid_out(
        boot.image,
        boot.kernel,
        folder,
        {BATCH: boot.batch},
        modules=boot.modules,
        keys=keys.for_guest,
    )
    with parts as own:
        files = replace(own, disk=boot.disk, network=True, gdb=boot.gdb, program=boot.program)
        with qemu.running(boot.machine, files, folder / "qemu.log") as machine:
            live = Live(machine, keys, folder / CONSOLE, boot.echo)
            try:
                yield live, files
            finally:
                live.end()
