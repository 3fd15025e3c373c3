# SPDX-License-Identifier: MIT
"""The serial console: read through pexpect, logged, bounded."""

import re
import socket
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pexpect
from pexpect.socket_pexpect import SocketSpawn

LIMIT_BYTES = 4 << 20

# What is worth waking up for; machine/crash.py reads the rest afterwards.
_SIGNS = re.compile(rb"---\[ end Kernel panic|Kernel panic - not syncing|pmu-harness: [^\n]*\n")


class Watch(Enum):
    """Why watching the console stopped."""

    CLOSED = auto()
    SILENT = auto()
    FLOODED = auto()


class FloodError(Exception):
    """The guest printed more than a console may."""


if TYPE_CHECKING:
    _Spawn = SocketSpawn[bytes]
else:
    _Spawn = SocketSpawn


class _Console(_Spawn):
    """A spawn that logs what it reads, up to LIMIT_BYTES, so that no guest fills a disk."""

    def __init__(
        self,
        connection: socket.socket,
        log: IO[bytes],
        silence_s: float | None,
        echo: Callable[[bytes], None],
    ) -> None:
        super().__init__(connection, timeout=silence_s, searchwindowsize=4096, use_poll=True)
        self.log = log
        self.echo = echo
        self.left = LIMIT_BYTES

    def read_nonblocking(self, size: int = 1, timeout: float | None = -1) -> bytes:
        """What the guest printed; raises FloodError beyond the limit."""
        data = bytes(super().read_nonblocking(size, timeout))
        self.log.write(data[: self.left])
        self.echo(data[: self.left])
        self.left -= len(data)
        if self.left < 0:
            raise FloodError
        return data


def watch(
    connection: socket.socket,
    log: Path,
    silence_s: float | None,
    seen: Callable[[bytes], None] = lambda sign: None,
    echo: Callable[[bytes], None] = lambda data: None,
    *,
    before: bytes = b"",
) -> Watch:
    """Read the console until QEMU closes it, it floods, or it is silent for too long.

    Every sign of progress (a batch step) restarts the time, and is told to `seen`;
    `echo` gets all that is logged; `before` is what the console had said, and begins the log.
    """
    with log.open("wb") as file:
        file.write(before)
        console = _Console(connection, file, silence_s, echo)
        try:
            while True:
                console.expect(_SIGNS)
                if isinstance(console.match, re.Match):
                    seen(console.match.group())
        except pexpect.EOF:
            return Watch.CLOSED
        except pexpect.TIMEOUT:
            return Watch.SILENT
        except FloodError:
            return Watch.FLOODED
