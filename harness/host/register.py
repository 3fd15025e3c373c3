# SPDX-License-Identifier: MIT
"""What is used of the cache, by files that are locked for as long as their process lives."""

import fcntl
import os
import tempfile
import weakref
from pathlib import Path


class Register:
    """Names of what is used, for as long as this lives, or its process, however that ends."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        in_use(folder)
        self._file, _ = tempfile.mkstemp(dir=folder)
        weakref.finalize(self, os.close, self._file)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self.names: set[str] = set()

    def add(self, name: str) -> None:
        """Name something more."""
        os.write(self._file, f"{name}\n".encode())
        self.names.add(name)

    def remove(self, name: str) -> None:
        """Name something no more."""
        self.names.discard(name)
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, "".join(f"{name}\n" for name in self.names).encode())


def in_use(folder: Path) -> set[str]:
    """What living processes use; files of dead ones are removed."""
    names: set[str] = set()
    for path in folder.glob("*"):
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                names |= set(file.read().decode().splitlines())
            else:
                path.unlink(missing_ok=True)
    return names
