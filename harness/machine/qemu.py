# SPDX-License-Identifier: MIT
"""QEMU's lifetime: started, watched through QMP, ended politely, killed if not."""

import asyncio
import logging
import re
import socket
import subprocess
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TypeVar

from qemu.qmp import QMPClient, QMPError

from harness.errors import HostError
from harness.host import process
from harness.machine import ending
from harness.machine.argv import Descriptors, Files, build_argv
from harness.model import Machine

HANDSHAKE_S = 20.0
COMMAND_S = 5.0
EVENT_S = 1.0
QUIT_S = 5.0
MIGRATION_S = 20.0
# What of a file QEMU writes at most: its log, and a trace that its guest can flood.
# The channel, which is mapped and as long as it will be, is none of it.
FILE_BYTES = 16 << 20

_BUSY = "run it again when the host is less busy; see the evidence"

Result = TypeVar("Result")

_FORWARD = re.compile(r"^\s*TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)", re.MULTILINE)

# How a machine is saved: QEMU tells when it is over, and leaves memory in its files.
_SAVED_SO = ("events", "x-ignore-shared")

# What speaking to a QEMU that is gone, or that does not answer, raises.
SILENCE = (QMPError, OSError, TimeoutError, EOFError)


class Monitor:
    """QMP over a socket; every exchange is bounded in time."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._runner = asyncio.Runner()
        self._client = QMPClient()

    def _bounded(self, work: Coroutine[None, None, Result], seconds: float) -> Result:
        return self._runner.run(asyncio.wait_for(work, seconds))

    def connect(self) -> None:
        """Take QEMU's greeting and leave negotiation mode."""
        self._bounded(self._client.connect(self._connection), HANDSHAKE_S)

    def execute(self, command: str, arguments: dict[str, object] | None = None) -> object:
        """What QEMU returns for a command; raises QMPError, OSError or TimeoutError."""
        return self._bounded(self._client.execute(command, arguments), COMMAND_S)

    def save(self, place: Path) -> None:
        """Write the state of a machine that stops itself into a file, without memory in files.

        It stays stopped.  Raises QMPError, OSError or TimeoutError.
        """
        self._bounded(self._await("STOP"), HANDSHAKE_S)
        with place.open("wb") as file:
            self._migrate("migrate", file)

    def load(self, place: Path) -> None:
        """Make a machine that waits for it what another one was when it was saved.

        It announces itself to no network afterwards: the timer would wake QEMU's main loop,
        which takes a CPU that is about to halt for one that has, and sets the clock forward
        from a time that is past (icount_start_warp_timer(), accel/tcg in 7.2).
        """
        self.execute("migrate-set-parameters", {"announce-rounds": 0})
        with place.open("rb") as file:
            self._migrate("migrate-incoming", file)

    def _migrate(self, command: str, file: IO[bytes]) -> None:
        wanted = [{"capability": name, "state": True} for name in _SAVED_SO]
        self.execute("migrate-set-capabilities", {"capabilities": wanted})
        self._client.send_fd_scm(file.fileno())
        self.execute("getfd", {"fdname": "state"})
        self.execute(command, {"uri": "fd:state"})
        self._bounded(self._await_migration(), MIGRATION_S)

    async def _await_migration(self) -> None:
        status: object = ""
        while status not in ("completed", "failed"):
            status = (await self._await("MIGRATION")).get("status")
        if status == "failed":
            raise QMPError("the machine's state could not be written, or read")

    def shutdown_reason(self) -> str:
        """Why the machine ended, by QEMU's SHUTDOWN event; empty where it did not say.

        Such as guest-shutdown, guest-reset, host-signal (qapi/run-state.json,
        ShutdownCause).
        """
        with suppress(*SILENCE):
            return str(self._bounded(self._await("SHUTDOWN"), EVENT_S).get("reason", ""))
        return ""

    async def _await(self, name: str) -> dict[str, object]:
        """What the next event of a name tells."""
        while True:
            event = await self._client.events.get()
            if event["event"] == name:
                data = event.get("data")
                return data if isinstance(data, dict) else {}

    def close(self) -> None:
        """Let go of the socket and of what waits on it."""
        with suppress(*SILENCE):
            self._bounded(self._client.disconnect(), COMMAND_S)
        self._runner.close()


class Qemu:
    """One running QEMU; `port` of the loopback leads to the SSH server of a guest that has one."""

    def __init__(
        self,
        child: "subprocess.Popen[bytes]",
        console: socket.socket,
        monitor: Monitor,
        log: Path,
    ) -> None:
        self.child = child
        self.console = console
        self.monitor = monitor
        self.log = log
        self.port = 0
        self._oom_kills = process.oom_kills()

    def release(self, files: Files) -> None:
        """Let the machine run, or its debugger; raises HostError when QEMU gets not so far."""
        try:
            self.monitor.connect()
            if files.saving and files.saving.state:
                self.monitor.load(files.saving.state)
            if files.network:
                self.port = self._forwarded_port()
            if not files.gdb:
                self.monitor.execute("cont")
        except SILENCE as error:
            raise self._not_started(error) from error

    def _not_started(self, error: Exception) -> HostError:
        """Why it did not come so far: it ended, or does not answer and is ended."""
        if not _is_over(self.child, EVENT_S):
            process.end(self.child)
            why = process.tail(self.log) or str(error) or type(error).__name__
            return HostError("QEMU does not answer", why=why, evidence=self.log, advice=_BUSY)
        when = " before its machine ran"
        why = process.tail(self.log)
        return self.fault(when) or HostError(f"QEMU ended{when}", why=why, evidence=self.log)

    def _human(self, line: str) -> str:
        """What QEMU's monitor for people says."""
        command: dict[str, object] = {"command-line": line}
        return str(self.monitor.execute("human-monitor-command", command))

    def registers(self) -> str:
        """The registers of a machine that does not answer, or nothing."""
        with suppress(*SILENCE):
            return self._human("info registers")
        return ""

    def _forwarded_port(self) -> int:
        """Which port the kernel gave to QEMU; raises HostError, or what SILENCE names."""
        said = self._human("info usernet")
        match = _FORWARD.search(said)
        if not match:
            raise HostError("QEMU forwards no port to the guest", why=said, evidence=self.log)
        return int(match[1])

    def fault(self, when: str = "") -> HostError | None:
        """Of a machine that has ended: that QEMU failed, or that somebody ended it, and how.

        None where it ended as its guest chose.  What does not end by itself is ended.
        """
        if not _is_over(self.child, QUIT_S):
            with suppress(*SILENCE):
                self.monitor.execute("quit")
            if not _is_over(self.child, QUIT_S):
                process.end(self.child)
                return None
        status = self.child.returncode
        words = process.tail(self.log)
        name = process.signal_of(status)
        asked = None if status else ending.asked(words)
        if asked:
            name = process.signal_of(-asked.number) + asked.sender
        elif not status:
            return None
        killed = process.oom_kills_since(self._oom_kills)
        likely, advice = ending.cause(name, killed) if name else ("", "")
        return HostError(
            f"QEMU {ending.said(status, name)}{when}",
            why="\n".join(filter(None, (likely, words))),
            evidence=self.log,
            advice=advice,
        )


def _is_over(child: "subprocess.Popen[bytes]", seconds: float) -> bool:
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _is_emulated(machine: Machine, files: Files) -> bool:
    """Whether QEMU executes the machine, or what is around it, itself.

    Such guests live some seconds, and touch little of a huge page: to clear those took an
    eighth of a guest's time on a host whose memory is fragmented.
    """
    return (files.outer.row if files.outer else machine).accelerator == "tcg"


@contextmanager
def running(machine: Machine, files: Files, log: Path) -> Iterator[Qemu]:
    """A QEMU that runs the machine, its own words in `log`; none is left behind.

    Raises HostError when QEMU does not start.
    """
    logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)
    console, console_far = socket.socketpair()
    monitor, monitor_far = socket.socketpair()
    descriptors = Descriptors(console=console_far.fileno(), monitor=monitor_far.fileno())
    with console, monitor, log.open("wb") as output:
        with console_far, monitor_far:
            child = process.start(
                build_argv(machine, files, descriptors),
                stdout=output,
                pass_fds=(descriptors.console, descriptors.monitor),
                file_bytes=FILE_BYTES,
                huge_pages=not _is_emulated(machine, files),
            )
        qemu = Qemu(child, console, Monitor(monitor), log)
        try:
            qemu.release(files)
            yield qemu
        finally:
            process.end(child)
            qemu.monitor.close()
