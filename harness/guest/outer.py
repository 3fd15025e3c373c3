# SPDX-License-Identifier: MIT
"""A guest whose QEMU runs in an outer system: how it gets in, and what is said of its end."""

import os
import shutil
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from harness.errors import HostError
from harness.guest.saved import Saved
from harness.machine.argv import GUEST_BYTES, INSIDE, Files, inner_argv
from harness.machine.crash import clean, inner_end
from harness.model import Machine

CONSOLE = "outer.log"
ARGV = "argv"

# What guest-images/outer/receive.c reads: a file's name and size, its contents from the next page.
_HEADER = struct.Struct("<56sQ")
_PAGE = 4096

# A file that QEMU writes tells nobody that it grew.
_ASKED_AGAIN_S = 0.05


@contextmanager
def entered(saved: Saved, machine: Machine, files: Files, folder: Path) -> Iterator[Files]:
    """The outer system with a guest's files in its reach, gone with the block.

    The inner QEMU's command line stays in `folder`, and the outer system's console.
    """
    words = "".join(f"{word}\n" for word in inner_argv(machine))
    (folder / ARGV).write_text(words, encoding="ascii")
    guest = folder / "guest"
    put_in(
        guest,
        {
            INSIDE.kernel.name: files.kernel,
            INSIDE.initramfs.name: files.initramfs,
            ARGV: folder / ARGV,
        },
    )
    console = folder / CONSOLE
    shutil.copyfile(saved.boot_log, console)
    image = saved.image
    around = saved.around(guest, console)
    try:
        yield replace(files, kernel=image.kernel, initramfs=image.initramfs, outer=around)
    finally:
        guest.unlink(missing_ok=True)


def put_in(target: Path, files: Mapping[str, Path]) -> None:
    """Files by name in one of GUEST_BYTES, from where an outer system takes them.

    Raises HostError where they are longer than that.
    """
    with target.open("wb") as whole:
        for name, path in files.items():
            header = _HEADER.pack(name.encode(), path.stat().st_size)
            whole.write(header.ljust(_PAGE, b"\0"))
            with path.open("rb") as file:
                shutil.copyfileobj(file, whole)
            whole.seek(-whole.tell() % _PAGE, os.SEEK_CUR)
        if whole.tell() > GUEST_BYTES:
            raise HostError(
                "a kernel and its initramfs do not fit into an outer system",
                why=f"they take {whole.tell()} bytes, and there are {GUEST_BYTES}",
                advice="configure the kernel smaller, or choose a machine without an outer system",
            )
        whole.truncate(GUEST_BYTES)


def registers(console: socket.socket, folder: Path, patience_s: float) -> str:
    """The inner machine's registers, asked for through its console; or nothing.

    The outer system's own would tell of its kernel as often as of the guest's.
    """
    log = folder / CONSOLE
    begin = log.stat().st_size
    console.send(b"?")
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        with log.open("rb") as file:
            file.seek(begin)
            said = file.read()
        if b'"return": "' in said and said.endswith(b"\n"):
            return said.decode("utf-8", errors="replace").replace("\\r\\n", "\n")
        time.sleep(_ASKED_AGAIN_S)
    return ""


def reason_of_end(folder: Path) -> str:
    """Why the inner QEMU shut its machine down; raises HostError where that is not how it ended."""
    log = folder / CONSOLE
    console = clean(log.read_bytes())
    end = inner_end(console)
    if end and end.status == 0:
        return end.reason
    what = f"in the outer system, {end.said}" if end else "the outer system stopped"
    raise HostError(what, why=console[-2000:], evidence=log)
