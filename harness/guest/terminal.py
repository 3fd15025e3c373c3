# SPDX-License-Identifier: MIT
"""A person's terminal, or pipes, at a command in a guest: every byte both ways, until it ends."""

import os
import select
import signal
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

_CHUNK = 1 << 15
_STDIN, _STDOUT, _STDERR = 0, 1, 2


class Channel(Protocol):
    """The part of an SSH channel that a terminal needs."""

    def recv(self, nbytes: int) -> bytes:
        """Standard output; waits, and is empty at the end."""

    def recv_stderr(self, nbytes: int) -> bytes:
        """Standard error; waits, and is empty at the end."""

    def sendall(self, s: bytes) -> None:
        """Type; waits for a guest that does not read."""

    def shutdown_write(self) -> None:
        """Say that nothing more will be typed."""

    def recv_exit_status(self) -> int:
        """Wait for the command's end; -1 where it has no status."""


class OutputError(Exception):
    """What the guest says cannot be written to standard output."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


def is_terminal() -> bool:
    """True if a person types, whoever reads."""
    return os.isatty(_STDIN)


def size() -> tuple[int, int]:
    """Columns and lines."""
    columns, lines = os.get_terminal_size(_STDIN)
    return columns, lines


@contextmanager
def raw() -> Iterator[None]:
    """Every key goes to the guest, Ctrl-C too; the terminal is as it was afterwards."""
    before = termios.tcgetattr(_STDIN)
    try:
        tty.setraw(_STDIN, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(_STDIN, termios.TCSADRAIN, before)


@contextmanager
def forwarded_size(resize: Callable[[int, int], None]) -> Iterator[None]:
    """The guest's terminal is as large as ours, also when that changes."""
    before = signal.signal(signal.SIGWINCH, lambda *_: resize(*size()))
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def relay(channel: Channel) -> int:
    """Carry bytes both ways until the command ends; its exit status.

    Each way has a thread of its own, so that none waits for another: not for a guest that
    does not read, nor for a reader of ours that is slow.  What was typed and not read when
    the command ends is lost, as in a pipe.  Raises OutputError.
    """
    outputs = _Way(channel.recv, _show), _Way(channel.recv_stderr, _show_errors)
    with _typing(channel):
        for way in outputs:
            way.start()
        for way in outputs:
            way.finish()
        return channel.recv_exit_status()


class _Way(threading.Thread):
    """One way out of the guest, until it has no more to say."""

    def __init__(self, receive: Callable[[int], bytes], show: Callable[[bytes], None]) -> None:
        super().__init__(daemon=True)
        self._receive = receive
        self._show = show
        self._fault: Exception | None = None

    def run(self) -> None:
        """Pass on what comes."""
        try:
            while data := self._receive(_CHUNK):
                self._show(data)
        except Exception as error:
            self._fault = error

    def finish(self) -> None:
        """Wait for the end; raises what ended it early."""
        self.join()
        if self._fault:
            raise self._fault


def _show(data: bytes) -> None:
    try:
        _write(_STDOUT, data)
    except OSError as error:
        raise OutputError(error) from error


def _show_errors(data: bytes) -> None:
    # A command goes on whose errors nobody reads.
    with suppress(OSError):
        _write(_STDERR, data)


def _write(fd: int, data: bytes) -> None:
    """All of it, also to a pipe that another process made non-blocking."""
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            select.select([], [fd], [])


@contextmanager
def _typing(channel: Channel) -> Iterator[None]:
    """Pass standard input on, until its end or that of the block."""
    woken, wake = os.pipe()
    typist = threading.Thread(target=_type, args=(channel, woken), daemon=True)
    typist.start()
    try:
        yield
    finally:
        os.close(wake)


def _type(channel: Channel, woken: int) -> None:
    # A command that ends early reads no more; who waits for its end tells of any other cause.
    with os.fdopen(woken), suppress(Exception):
        while typed := _typed(woken):
            channel.sendall(typed)
        channel.shutdown_write()


def _typed(woken: int) -> bytes:
    """Some bytes of standard input; none at its end, or when the thread is woken.

    Its end is also where it cannot be read: nohup(1) leaves one that can only be written.
    """
    while True:
        try:
            if woken in select.select([_STDIN, woken], [], [])[0]:
                return b""
            return os.read(_STDIN, _CHUNK)
        except BlockingIOError:  # Another process that shares it was faster.
            continue
        except OSError:
            return b""
