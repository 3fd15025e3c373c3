# SPDX-License-Identifier: MIT
"""What was found out once, and holds for as long as what it was found from is the same.

A memory's name is a digest of all that it depends on, this program included; its first line is
the digest of that name and the rest.  What is not whole, or is another's, is found out again.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from harness.host.store import Cache, digest, write_bytes

PACKAGE = Path(__file__).resolve().parents[1]
_LOCK = PACKAGE.parent / "requirements.lock"
_VALUE = "value"


@cache
def code(*below: str) -> str:
    """Digest of this program, or of these files and folders of its package.

    Python, and the libraries by the file that locks them, are a part of it.
    """
    return digest(sys.version, *(part for name in below or ("",) for part in _contents(name)))


def _contents(below: str) -> Iterator[str | bytes]:
    """All that decides what it does: names and contents."""
    for name in sorted(_names(PACKAGE / below)):
        yield name
        with open(name, "rb") as file:  # noqa: PTH123 (there are hundreds)
            yield file.read()
    if _LOCK.exists():
        yield _LOCK.read_bytes()


def _names(place: Path) -> Iterator[str]:
    if place.is_file():
        yield str(place)
    for folder, _, files in os.walk(place):
        yield from (f"{folder}/{name}" for name in files if name.endswith((".py", ".html")))


def _seal(name: str, value: bytes) -> bytes:
    return hashlib.sha256(b"%s\0%s" % (name.encode(), value)).hexdigest().encode()


def kept(path: Path, name: str) -> bytes | None:
    """What was kept in a file under a name; None where there is nothing, or something else."""
    try:
        seal, _, value = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    return value if seal == _seal(name, value) else None


def keep(path: Path, name: str, value: bytes) -> None:
    """Keep a value in a file, below the digest of its name and itself."""
    write_bytes(path, _seal(name, value) + b"\n" + value)


class Memory:
    """The memories of a cache; where that cannot be written, all is found out again."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache

    def recall(self, kind: str, key: str, of: str) -> bytes | None:
        """What is known of a kind under a key; `of` says what it is for."""
        name = f"{kind}-{key}"
        with suppress(OSError):
            return kept(self.cache.use(self.cache.memories / name, of) / _VALUE, name)
        return None

    def keep(self, kind: str, key: str, value: bytes) -> None:
        """Remember it from now on."""
        name = f"{kind}-{key}"
        with suppress(OSError), self.cache.publish(self.cache.memories / name) as new:
            keep(new / _VALUE, name, value)

    def known(self, kind: str, key: str, of: str, find: Callable[[], Any]) -> Any:
        """What is known, plain data; found out where it is not."""
        value = self.recall(kind, key, of)
        if value is None:
            value = json.dumps(find()).encode()
            self.keep(kind, key, value)
        return json.loads(value)
