# SPDX-License-Identifier: MIT
"""QEMU's lifetime: started, watched through QMP, ended politely, killed if not."""

import logging
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from qemu.qmp import QMPError
from qemu.qmp.legacy import QEMUMonitorProtocol

from harness import process
from harness.errors import HostError
from harness.machine.argv import Descriptors, Files, build_argv
from harness.model import Machine

HANDSHAKE_S = 20.0
QUIT_S = 5.0


class Qemu:
    """One running QEMU."""

    def __init__(self, child: "subprocess.Popen[bytes]", console: socket.socket, log: Path) -> None:
        self.child = child
        self.console = console
        self.log = log
        self.monitor: QEMUMonitorProtocol | None = None

    def connect(self, monitor: socket.socket) -> None:
        """Speak QMP; raises HostError when QEMU does not get that far."""
        protocol = QEMUMonitorProtocol(monitor)
        try:
            protocol.settimeout(HANDSHAKE_S)
            protocol.connect()
            self.monitor = protocol
            protocol.cmd("cont")
        except (QMPError, OSError, TimeoutError) as error:
            raise HostError(
                "QEMU does not start",
                why=process.tail(self.log) or str(error),
                evidence=self.log,
            ) from error

    def registers(self) -> str:
        """The registers of a machine that does not answer, or nothing."""
        return str(self._command("human-monitor-command", {"command-line": "info registers"}) or "")

    def _command(self, name: str, arguments: dict[str, object] | None = None) -> object:
        if self.monitor is None:
            return None
        with suppress(QMPError, OSError, TimeoutError):
            return self.monitor.cmd_raw(name, arguments).get("return")
        return None

    def finish(self) -> int:
        """Wait for the end that the guest chose, or bring it about; QEMU's status."""
        try:
            self.child.wait(QUIT_S)
        except subprocess.TimeoutExpired:
            self._command("quit")
            with suppress(subprocess.TimeoutExpired):
                self.child.wait(QUIT_S)
        return process.end(self.child)

    def close(self) -> None:
        """Let go of the sockets, QEMU being gone."""
        if self.monitor is not None:
            with suppress(QMPError, OSError, TimeoutError):
                self.monitor.close()


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
            )
        qemu = Qemu(child, console, log)
        try:
            qemu.connect(monitor)
            yield qemu
        finally:
            process.end(child)
            qemu.close()
