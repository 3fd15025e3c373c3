# SPDX-License-Identifier: MIT
"""What is put into a machine that goes on from where it was saved: files, in a device's memory."""

import os
import shutil
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from harness.errors import HostError
from harness.machine.argv import GIVEN_BYTES

# What guest-images/saved/receive.c reads: a file's name and size, its contents from the next page.
_HEADER = struct.Struct("<56sQ")
_PAGE = 4096


@contextmanager
def given(folder: Path, files: Mapping[str, Path]) -> Iterator[Path]:
    """What holds these files by name, in a folder, gone with the block; raises HostError."""
    whole = folder / "given"
    try:
        put_in(whole, files)
        yield whole
    finally:
        whole.unlink(missing_ok=True)


def put_in(target: Path, files: Mapping[str, Path]) -> None:
    """Files by name in one of GIVEN_BYTES; raises HostError where they are longer than that."""
    with target.open("wb") as whole:
        for name, path in files.items():
            header = _HEADER.pack(name.encode(), path.stat().st_size)
            whole.write(header.ljust(_PAGE, b"\0"))
            with path.open("rb") as file:
                shutil.copyfileobj(file, whole)
            whole.seek(-whole.tell() % _PAGE, os.SEEK_CUR)
        if whole.tell() > GIVEN_BYTES:
            raise HostError(
                f"{', '.join(files)} do not fit into a machine that was saved",
                why=f"they take {whole.tell()} bytes, and there are {GIVEN_BYTES}",
                advice="make them smaller, or choose a machine that boots for each guest",
            )
        whole.truncate(GIVEN_BYTES)
