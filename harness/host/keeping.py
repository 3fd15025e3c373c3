# SPDX-License-Identifier: MIT
"""What kinds of things the cache keeps, and which go first."""

from collections.abc import Iterable, Sequence

from harness.model import CacheEntry

# Folders of the cache, and what an entry in them is called; artifacts by how their names begin.
SOURCES, BUILDS, ARTIFACTS = "sources", "builds", "artifacts"
SAVED = "saved"
_FOLDERS = {
    SOURCES: "source",
    BUILDS: "build",
    "observations": "observation",
    "trials": "trial",
    "memories": "memory",
    "debian": "packages",
}
_ARTIFACTS = {
    "kernel": "kernel",
    "selftests": "selftests",
    "image": "image",
    "disk": "disk",
    "emulator": "emulator",
    "outer": "outer",
    "saved": SAVED,
    "accelerator": "trial",
}
FOLDERS = (*_FOLDERS, ARTIFACTS)
KINDS = tuple(dict.fromkeys((*_FOLDERS.values(), *_ARTIFACTS.values())))
# What is whole when it is published, and does not change.
_FINAL = {
    "kernel",
    "selftests",
    "image",
    "disk",
    "emulator",
    "outer",
    "observation",
    "memory",
    SAVED,
}


def kind_of(name: str) -> str:
    """What an entry is; other artifacts than are known are what they are called."""
    folder, _, rest = name.partition("/")
    if folder != ARTIFACTS:
        return _FOLDERS[folder]
    prefix = rest.partition("-")[0]
    return _ARTIFACTS.get(prefix, prefix)


def is_final(kind: str) -> bool:
    """True where an entry keeps its size."""
    return kind in _FINAL


def total(entries: Iterable[CacheEntry]) -> int:
    """Bytes that entries take together."""
    return sum(entry.bytes for entry in entries)


def beyond(entries: Sequence[CacheEntry], limit: int) -> list[CacheEntry]:
    """What is to go so that the rest is within a limit: first what was not used for longest.

    Never what is in use; so the rest may be beyond it still.
    """
    left, going = total(entries), []
    for entry in sorted(entries, key=lambda entry: entry.used):
        if left <= limit:
            break
        if not entry.in_use:
            going.append(entry)
            left -= entry.bytes
    return going
