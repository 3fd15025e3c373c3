# SPDX-License-Identifier: MIT
"""Files that a stranger's build has left: read without following a link, waiting, or flooding.

A build may put a link, a pipe or a device in the place of what is expected of it; whoever reads
or writes there, outside of its sandbox, would do that elsewhere.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath

_LIMIT = 1 << 30
_STAMP = 1 << 16


class NotPlainError(Exception):
    """What is there is no plain file of the folder, or too large."""


@contextmanager
def _place(folder: Path, name: str | PurePath) -> Iterator[tuple[int, str]]:
    """(descriptor of the folder that a file is in, its last name); no part may be a link."""
    *above, last = PurePath(name).parts
    place = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        for part in above:
            below = _open(part, os.O_PATH | os.O_DIRECTORY, place, name)
            os.close(place)
            place = below
        yield place, last
    finally:
        os.close(place)


@contextmanager
def opened(folder: Path, name: str | PurePath, flags: int = os.O_RDONLY) -> Iterator[int]:
    """A file's descriptor, below a folder that is trusted; no part of its path may be a link.

    Raises NotPlainError, or FileNotFoundError.
    """
    with _place(folder, name) as (place, last):
        file = _open(last, flags | os.O_NONBLOCK, place, name)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise NotPlainError(f"{name} is no plain file")
        yield file
    finally:
        os.close(file)


def _open(part: str, flags: int, place: int, name: str | PurePath) -> int:
    try:
        return os.open(part, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=place)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise NotPlainError(f"{name} is no plain file: {error.strerror}") from error


def read(folder: Path, name: str | PurePath, limit: int = _LIMIT) -> bytes:
    """What is in a file; raises NotPlainError for none, or for more than `limit` bytes."""
    with opened(folder, name) as file:
        if os.fstat(file).st_size > limit:
            raise NotPlainError(f"{name} has more than {limit >> 20} MiB")
        with os.fdopen(os.dup(file), "rb") as stream:
            return stream.read(limit)


def text(folder: Path, name: str | PurePath) -> str:
    """What is in a short file, such as a stamp; nothing for none."""
    try:
        return read(folder, name, _STAMP).decode(errors="replace")
    except (NotPlainError, FileNotFoundError):
        return ""


def remove(folder: Path, name: str | PurePath) -> None:
    """Remove a file, if it is there; raises NotPlainError where a link leads to it."""
    with suppress(FileNotFoundError), _place(folder, name) as (place, last):
        os.unlink(last, dir_fd=place)


def copy(folder: Path, name: str | PurePath, target: Path) -> None:
    """Copy a file out of the folder; raises NotPlainError."""
    with (
        opened(folder, name) as file,
        os.fdopen(os.dup(file), "rb") as old,
        target.open("wb") as new,
    ):
        shutil.copyfileobj(old, new)


def appending(path: Path) -> int:
    """The descriptor of a log, made if it is not there, to be written at its end.

    Raises NotPlainError where a link or a pipe is in its place.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    with opened(path.parent, path.name, flags) as file:
        os.set_blocking(file, True)
        return os.dup(file)
