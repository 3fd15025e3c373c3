# SPDX-License-Identifier: MIT
"""Standard streams that are closed from the beginning, and pipes that nobody reads any more."""

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from harness.errors import HostError

_IN, _OUT, _ERR = 0, 1, 2


class UnreadError(BaseException):
    """Nobody reads what is printed: no failure, but nothing goes on after it."""


class Group(click.Group):
    """A group that names a closed pipe; click would exit with 1, as for a kernel that fails."""

    def make_context(self, *arguments: Any, **more: Any) -> click.Context:
        """Parse the command line, or print help."""
        with naming_closed_pipes():
            return super().make_context(*arguments, **more)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with naming_closed_pipes():
            return super().invoke(ctx)


@contextmanager
def naming_closed_pipes() -> Iterator[None]:
    """Raise UnreadError where a block printed to a pipe that nobody reads."""
    try:
        yield
    except BrokenPipeError as error:
        if not _unread():
            raise HostError.of(error) from error
        raise UnreadError from error
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # rich exits with 1 as well.
            raise UnreadError from error
        raise


def _unread() -> bool:
    """True if one of our own pipes has no reader."""
    asked = select.poll()
    for stream in (_OUT, _ERR):
        asked.register(stream, 0)
    return any(event & select.POLLERR for _, event in asked.poll(0))


def open_closed() -> None:
    """Have /dev/null where a stream is closed (`<&-`), and not the first file that is opened."""
    for stream in (_IN, _OUT, _ERR):
        try:
            os.fstat(stream)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or os.fdopen(_IN)
    sys.stdout = sys.stdout or os.fdopen(_OUT, "w")
    sys.stderr = sys.stderr or os.fdopen(_ERR, "w")


def let_go() -> None:
    """Have Python's last flush meet no closed pipe."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (_OUT, _ERR):
        os.dup2(nothing, stream)
