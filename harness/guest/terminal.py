# SPDX-License-Identifier: MIT
"""A person's terminal, or a pipe, at a command in a guest: raw, with its size, until it ends."""

import os
import select
import signal
import termios
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

_CHUNK = 1 << 15
_STDIN, _STDOUT, _STDERR = 0, 1, 2


class Channel(Protocol):
    """The part of an SSH channel that a terminal needs."""

    def fileno(self) -> int:
        """Readable when the guest said something, or ended."""

    def recv_ready(self) -> bool:
        """True if there is standard output to read."""

    def recv(self, nbytes: int) -> bytes:
        """Standard output; waits, and is empty at the end."""

    def recv_stderr_ready(self) -> bool:
        """True if there is standard error to read."""

    def recv_stderr(self, nbytes: int) -> bytes:
        """Standard error."""

    def sendall(self, s: bytes) -> None:
        """Type."""

    def shutdown_write(self) -> None:
        """Say that nothing more will be typed."""

    def resize_pty(self, width: int = ..., height: int = ...) -> None:
        """Tell the terminal's size."""


def is_terminal() -> bool:
    """True if a person sits at both ends."""
    return os.isatty(_STDIN) and os.isatty(_STDOUT)


def size() -> tuple[int, int]:
    """Columns and lines."""
    columns, lines = os.get_terminal_size(_STDOUT)
    return columns, lines


@contextmanager
def raw() -> Iterator[None]:
    """Every key goes to the guest, Ctrl-C too; the terminal is as it was afterwards."""
    before = termios.tcgetattr(_STDIN)
    try:
        tty.setraw(_STDIN)
        yield
    finally:
        termios.tcsetattr(_STDIN, termios.TCSADRAIN, before)


@contextmanager
def forwarded_size(channel: Channel) -> Iterator[None]:
    """The guest's terminal is as large as ours, also when that changes."""

    def resize(*_: object) -> None:
        columns, lines = size()
        channel.resize_pty(width=columns, height=lines)

    before = signal.signal(signal.SIGWINCH, resize)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def relay(channel: Channel) -> None:
    """Carry bytes both ways until the guest's side ends."""
    sources: Sequence[int] = (channel.fileno(), _STDIN)
    while True:
        ready = select.select(sources, [], [])[0]
        if _STDIN in ready:
            typed = os.read(_STDIN, _CHUNK)
            if typed:
                channel.sendall(typed)
            else:
                channel.shutdown_write()
                sources = (channel.fileno(),)
        if channel.fileno() in ready and not _show(channel):
            return


def _show(channel: Channel) -> bool:
    """Pass on what the guest said; False once it says no more."""
    if channel.recv_stderr_ready():
        _write(_STDERR, channel.recv_stderr(_CHUNK))
        return True
    data = channel.recv(_CHUNK)
    _write(_STDOUT, data)
    while not data and channel.recv_stderr_ready():
        _write(_STDERR, channel.recv_stderr(_CHUNK))
    return bool(data)
