# SPDX-License-Identifier: MIT
"""The guest's files, one request at a time; what a hostile guest answers is bounded, and named."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice

import paramiko

from harness.guest.ssh import BoundsError, RefusedError, Session, SessionError

_CHUNK = 1 << 15


@dataclass(frozen=True)
class Entry:
    """A name in a folder, with what is behind it: st_mode of stat(2), 0 where it is not told."""

    name: str
    mode: int


class Files:
    """Raises RefusedError for what the guest does not do, and the session's own errors."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @contextmanager
    def _asking(self, path: str) -> Iterator[tuple[paramiko.SFTPClient, bytes]]:
        """The client, and a path as the guest takes it; any refusal with its path.

        paramiko has OSError for a refusal, and for a connection that is gone.
        """
        with self._session.files() as client:
            try:
                yield client, os.fsencode(path)
            except TimeoutError:
                raise
            except UnicodeError as error:
                raise RefusedError(path, "the guest answers in bytes that are no UTF-8") from error
            except OSError as error:
                channel = client.get_channel()
                if channel is None or channel.closed:
                    raise
                missing = isinstance(error, FileNotFoundError)
                raise RefusedError(path, error.strerror or str(error), missing=missing) from error

    def mode(self, path: str) -> int | None:
        """st_mode of a file, behind symbolic links as well; None where there is none."""
        try:
            with self._asking(path) as (client, name):
                return client.stat(name).st_mode or 0
        except RefusedError as error:
            if error.missing:
                return None
            raise

    def entries(self, path: str, limit: int) -> list[Entry]:
        """What is in a folder, by name, symbolic links as such.

        Raises BoundsError for more than `limit` entries.
        """
        with self._asking(path) as (client, name):
            listed = client.listdir_iter(name, read_aheads=1)
            found = [
                Entry(entry.filename, entry.st_mode or 0) for entry in islice(listed, limit + 1)
            ]
        if len(found) > limit:
            raise BoundsError(f"{path} has more than {limit} entries")
        return sorted(found, key=lambda entry: entry.name)

    def read(self, path: str) -> Iterator[bytes]:
        """A file's contents, however long it says that it is: those of /proc say 0."""
        with self._asking(path) as (client, name):
            file = client.open(name, "rb")
        try:
            while True:
                with self._asking(path):
                    data = file.read(_CHUNK)
                if not data:
                    return
                yield data
        finally:
            self._close(path, file)

    def write(self, path: str, content: Iterable[bytes], mode: int) -> None:
        """Make a file, or write another one's contents into it.

        paramiko waits for no answer while it is pipelined, and looks at those that come
        only with the next write: the last one is not, so that all are looked at.
        """
        with self._asking(path) as (client, name):
            file = client.open(name, "wb")
            file.set_pipelined(True)
        last = b""
        try:
            for data in content:
                with self._asking(path):
                    file.write(last)
                last = data
            with self._asking(path):
                file.set_pipelined(False)
                file.write(last)
        finally:
            self._close(path, file)
        self.change_mode(path, mode)

    def _close(self, path: str, file: paramiko.SFTPFile) -> None:
        with suppress(SessionError), self._asking(path):
            file.close()

    def make_folder(self, path: str) -> None:
        """Make a folder, for its owner only as yet."""
        with self._asking(path) as (client, name):
            client.mkdir(name, 0o700)

    def change_mode(self, path: str, mode: int) -> None:
        """Say who may read, write and execute."""
        with self._asking(path) as (client, name):
            client.chmod(name, mode)
