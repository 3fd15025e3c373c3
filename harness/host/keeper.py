# SPDX-License-Identifier: MIT
"""The cache as a store of things that can go: what each takes, when it was used, out with it."""

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.host.keeping import FOLDERS, SOURCES, is_final, kind_of
from harness.host.register import in_use
from harness.host.store import Cache, write_json
from harness.model import CacheEntry

_BLOCK = 512
# How long the size of what changes is believed where it need not be exact.
_FRESH_S = 24 * 3600.0


class Keeper:
    """Knows the entries of a cache; what nobody uses, it removes."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache

    def entries(self, *, exact: bool, kind: str = "") -> list[CacheEntry]:
        """All that is kept, or of a kind; what changes is measured again to be `exact`."""
        with self.cache.gate():
            used = in_use(self.cache.using)
        found = []
        for name in self._names():
            if kind not in ("", kind_of(name)):
                continue
            # Another process may remove it meanwhile.
            with suppress(FileNotFoundError):
                found.append(self._entry(name, exact=exact, in_use=name in used))
        return found

    def _entry(self, name: str, *, exact: bool, in_use: bool) -> CacheEntry:
        kind, record = kind_of(name), self.cache.record(name)
        known = json.loads(record.read_bytes()) if record.exists() else {}
        used = (record if record.exists() else self.cache.root / name).stat().st_mtime
        if not _holds(known, kind, exact=exact):
            known = self._measured(name, known, used)
        return CacheEntry(
            kind=kind,
            name=name,
            of=known.get("of", ""),
            bytes=known["bytes"],
            used=used,
            in_use=in_use,
        )

    def _names(self) -> Iterator[str]:
        for folder in FOLDERS:
            place = self.cache.root / folder
            for path in sorted(place.iterdir()) if place.is_dir() else ():
                # What begins with a dot is being made, or was left by a killed run.
                if path.is_dir() and not path.name.startswith("."):
                    yield f"{folder}/{path.name}"

    def _measured(self, name: str, known: dict[str, Any], used: float) -> dict[str, Any]:
        """What is known of an entry, its size included; that is no use of it."""
        known = {**known, "bytes": _size(self.cache.root / name), "measured": time.time()}
        record = self.cache.record(name)
        write_json(record, known)
        os.utime(record, (used, used))
        return known

    def remove(self, entries: Iterable[CacheEntry]) -> list[CacheEntry]:
        """Remove what nobody has taken up meanwhile; what is gone."""
        gone = [entry for entry in entries if self.cache.remove(self.cache.root / entry.name)]
        self._forget()
        return gone

    def _forget(self) -> None:
        """Remove what is remembered of sources that are gone."""
        for memory in (self.cache.root / SOURCES).glob("*.json"):
            if not self.cache.remembers(memory.stem):
                memory.unlink()


def _holds(known: dict[str, Any], kind: str, *, exact: bool) -> bool:
    """True where the size that is known need not be measured again."""
    if "bytes" not in known or is_final(kind):
        return "bytes" in known
    return not exact and time.time() - known["measured"] < _FRESH_S


def _size(folder: Path) -> int:
    """Bytes that a folder takes on the disk, each file counted once."""
    seen: set[tuple[int, int]] = set()
    size = 0
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            with suppress(FileNotFoundError):
                about = os.lstat(f"{parent}/{name}")
                identity = about.st_dev, about.st_ino
                size += 0 if identity in seen else about.st_blocks * _BLOCK
                seen.add(identity)
    return size
