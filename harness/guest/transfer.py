# SPDX-License-Identifier: MIT
"""Files and folders that a person puts into a guest, or gets from it, as with scp -r."""

import os
import posixpath
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness.errors import HostError, PlanError, advice_on
from harness.guest.sftp import Entry, Files
from harness.guest.ssh import BoundsError, RefusedError
from harness.source.paths import printable

# Of all that is got from a guest, which may make up what it likes.
GET_BYTES = 1 << 30
GET_ENTRIES = 100_000
GET_DEPTH = 64

_CHUNK = 1 << 16
_PERMISSIONS = 0o777
_NO_NAMES = ("", ".", "..")
_SHOWN = 5
_PUT_LESS = "what is written in the guest is kept in its memory (df): put less, or elsewhere"
_GET_LESS = "get less of it, such as one file; see in the guest what makes it so much"


@dataclass(frozen=True)
class Put:
    """A file or folder of ours, and where it goes; a path that ends in / is a folder."""

    local: Path
    path: str


@dataclass(frozen=True)
class Get:
    """A path in the guest, and the place of ours that it goes to."""

    path: str
    local: Path


def parse_put(text: str) -> Put:
    """FILE[:PATH], where FILE is the longest beginning that exists; raises PlanError."""
    colons = [place for place in range(1, len(text)) if text[place] == ":"]
    for end in (len(text), *reversed(colons)):
        local = Path(text[:end])
        if _exists(local):
            name = local.name if local.name not in _NO_NAMES else local.resolve().name
            return Put(local, text[end + 1 :] or name or "/")
    raise PlanError(
        f"--put {printable(text)}: there is no such file",
        why="neither that exists, nor what is before a colon in it",
        advice="give FILE, or FILE:PATH with PATH in the guest",
    )


def _exists(path: Path) -> bool:
    """Whether there is such a file; none has a name that is too long."""
    with suppress(OSError):
        return path.exists()
    return False


def parse_get(text: str) -> Get:
    """PATH[:FILE], divided at the last colon; raises PlanError.

    What exists in the guest must not decide it: the guest would choose where on this host
    it writes to.
    """
    path, colon, local = text.rpartition(":")
    if not colon:
        path, local = text, posixpath.basename(text.rstrip("/"))
    if not path or not local or (not colon and local in _NO_NAMES):
        raise PlanError(
            f"--get {printable(text)}: it does not say what, or where to",
            advice="give PATH, or PATH:FILE with FILE on this host",
        )
    return Get(path, Path(local) if not local.endswith("/") else Path(local) / _name(path))


def _name(path: str) -> str:
    """What a path of the guest's is called in a folder of ours; nothing where that is no name."""
    name = posixpath.basename(path.rstrip("/"))
    return "" if name in _NO_NAMES else name


# --- into the guest ----------------------------------------------------------


def put(files: Files, wanted: Put) -> None:
    """Put a file or folder into the guest, and make the folders above it.

    Raises HostError, and what ends the session.
    """
    path = wanted.path
    with _putting(wanted.local, path):
        if path.endswith("/") or _is_folder(files, path):
            path = posixpath.join(path, wanted.local.name or wanted.local.resolve().name)
        _make_parents(files, path)
    _put(files, wanted.local, path, ())


def _put(files: Files, local: Path, path: str, above: tuple[tuple[int, int], ...]) -> None:
    """A file, or a folder and all in it; symbolic links are what they lead to."""
    with _ours("read", local):
        about = local.stat()
        inside = sorted(local.iterdir()) if stat.S_ISDIR(about.st_mode) else []
    this, mode = (about.st_dev, about.st_ino), about.st_mode & _PERMISSIONS
    if not stat.S_ISDIR(about.st_mode):
        _see_that_it_ends(local, about.st_mode, above)
        with _putting(local, path):
            files.write(path, _contents(local), mode)
        return
    if this in above:
        raise HostError(
            f"{printable(str(local))} leads to a folder that it is in",
            advice="remove that symbolic link, or put what is needed by itself",
        )
    with _putting(local, path):
        if not _is_folder(files, path):
            files.make_folder(path)
    for each in inside:
        _put(files, each, posixpath.join(path, each.name), (*above, this))
    with _putting(local, path):
        files.change_mode(path, mode)


def _see_that_it_ends(local: Path, mode: int, above: tuple[tuple[int, int], ...]) -> None:
    """A pipe that a person names is read to its end; one in a folder may have none."""
    if above and not stat.S_ISREG(mode):
        raise HostError(
            f"{printable(str(local))} is neither a file nor a folder",
            advice="move it out of the folder that is put, or name what is needed",
        )


def _contents(local: Path) -> Iterator[bytes]:
    with _ours("read", local):
        file = local.open("rb")
    with file:
        while True:
            with _ours("read", local):
                data = file.read(_CHUNK)
            if not data:
                return
            yield data


def _is_folder(files: Files, path: str) -> bool:
    return stat.S_ISDIR(files.mode(path) or 0)


def _make_parents(files: Files, path: str) -> None:
    parent = posixpath.dirname(path)
    if parent and files.mode(parent) is None:
        _make_parents(files, parent)
        files.make_folder(parent)
        files.change_mode(parent, 0o755)


@contextmanager
def _putting(local: Path, path: str) -> Iterator[None]:
    """Name what the guest does not take."""
    try:
        yield
    except RefusedError as error:
        raise HostError(
            f"the guest does not take {printable(str(local))} as {printable(path)}",
            why=printable(error.why),
            advice=_PUT_LESS,
        ) from error


@contextmanager
def _ours(verb: str, path: Path) -> Iterator[None]:
    """Name what this host refuses."""
    try:
        yield
    except OSError as error:
        raise HostError(
            f"cannot {verb} {printable(str(path))}",
            why=error.strerror or str(error),
            advice=advice_on(error) or "see what lies there (ls -ld)",
        ) from error


# --- out of the guest --------------------------------------------------------


class Getter:
    """Gets what is asked for from one guest, which is not trusted.

    Nothing is written outside the place that was named, no symbolic link is made or
    followed below it, no set-user-ID bit is kept, and all together is bounded.
    """

    def __init__(self, files: Files, say: Callable[[str], None]) -> None:
        self._files = files
        self._say = say
        self._bytes = GET_BYTES
        self._entries = GET_ENTRIES
        self._left_out: list[str] = []
        self._unread: list[str] = []

    def get(self, wanted: Get) -> None:
        """Get a file, or a folder with all in it, and make the folders above it.

        Says which links and devices it left out.  Raises PlanError for what is not there,
        HostError for what cannot be had, and what ends the session.
        """
        self._left_out, self._unread = [], []
        with _getting(wanted.path):
            mode = self._files.mode(wanted.path)
        if mode is None:
            raise PlanError(
                f"--get {printable(wanted.path)}: the guest has no such file",
                advice="see how the command ended; a PATH with a colon in it needs :FILE behind it",
            )
        with _ours("write", wanted.local):
            inside = _name(wanted.path) if wanted.local.is_dir() else ""
            target = wanted.local / inside
            target.parent.mkdir(parents=True, exist_ok=True)
        if stat.S_ISDIR(mode):
            self._folder(wanted.path, target, mode, 0)
        elif stat.S_ISREG(mode):
            with _getting(wanted.path):
                self._file(wanted.path, target, mode, anywhere=True)
        else:
            raise HostError(
                f"{printable(wanted.path)} is neither a file nor a folder",
                advice="have the command write what it says into a file",
            )
        self._tell(wanted.path)

    def _folder(self, path: str, target: Path, mode: int, depth: int) -> None:
        if depth > GET_DEPTH:
            raise _too_much(path, f"folders in folders, more than {GET_DEPTH} deep")
        with _ours("make", target):
            made = not target.is_dir() or target.is_symlink()
            if made:
                target.mkdir(0o700)
        with _getting(path):
            entries = self._files.entries(path, self._entries)
        self._entries -= len(entries)
        for entry in entries:
            self._entry(path, entry, target, depth)
        if made:
            with _ours("write", target):
                target.chmod(mode & _PERMISSIONS)

    def _entry(self, folder: str, entry: Entry, target: Path, depth: int) -> None:
        if "/" in entry.name or "\0" in entry.name or entry.name in _NO_NAMES:
            raise HostError(
                f"the guest has a file in {printable(folder)} that it calls "
                f"{printable(repr(entry.name))}",
                why="that is no name, but leads elsewhere on this host; nothing more is got",
                advice="do not trust what else came from this guest",
            )
        path = posixpath.join(folder, entry.name)
        if stat.S_ISDIR(entry.mode):
            self._folder(path, target / entry.name, entry.mode, depth + 1)
        elif not stat.S_ISREG(entry.mode):
            self._left_out.append(path)
        else:
            try:
                self._file(path, target / entry.name, entry.mode)
            except RefusedError as error:
                self._unread.append(str(error))

    def _file(self, path: str, target: Path, mode: int, *, anywhere: bool = False) -> None:
        """A file's contents; with `anywhere` also into a device, or through a link of ours."""
        special = anywhere and (target.is_symlink() or (target.exists() and not target.is_file()))
        with _into(target) if special else _whole(target, mode & _PERMISSIONS) as file:
            for data in self._files.read(path):
                self._bytes -= len(data)
                if self._bytes < 0:
                    raise _too_much(path, f"more than {GET_BYTES >> 20} MiB")
                with _ours("write", target):
                    _write(file, data)

    def _tell(self, path: str) -> None:
        """Say what is not there of it; raises HostError for what should be."""
        if self._left_out:
            self._say(
                f"left out of {printable(path)}, as neither files nor folders:\n"
                + _some(self._left_out)
            )
        if self._unread:
            raise HostError(
                f"the guest does not give all of {printable(path)}",
                why=_some(self._unread),
                advice="the rest was got; see in the guest whether these can be read (cat)",
            )


def _write(file: IO[bytes], data: bytes) -> None:
    """All of it: without a buffer a part may be written, and with one an error comes later."""
    while data:
        data = data[file.write(data) :]


def _some(names: list[str]) -> str:
    """Some of many, a line each."""
    more = len(names) - _SHOWN
    lines = [printable(name) for name in names[:_SHOWN]]
    return "\n".join([*lines, *([f"and {more} more"] if more > 0 else [])])


def _too_much(path: str, what: str) -> HostError:
    return HostError(f"--get came to its bound at {printable(path)}", why=what, advice=_GET_LESS)


@contextmanager
def _getting(path: str) -> Iterator[None]:
    """Name what the guest does not give."""
    try:
        yield
    except RefusedError as error:
        raise HostError(
            f"the guest does not give {printable(path)}",
            why=printable(error.why),
            advice="see in the guest whether it can be read (cat)",
        ) from error
    except BoundsError as error:
        raise _too_much(path, printable(str(error))) from error


@contextmanager
def _whole(target: Path, mode: int) -> Iterator[IO[bytes]]:
    """A file to fill beside its place, where it is whole or absent."""
    with _ours("write", target):
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".pmu-harness.")
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb", buffering=0) as file:
            yield file
        with _ours("write", target):
            beside.chmod(mode)
            beside.rename(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


@contextmanager
def _into(target: Path) -> Iterator[IO[bytes]]:
    """Something that a person named and that is there, such as /dev/stdout."""
    with _ours("write", target):
        file = target.open("wb", buffering=0)
    with file:
        yield file
