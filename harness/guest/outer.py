# SPDX-License-Identifier: MIT
"""A guest whose QEMU runs in an outer system: how it gets in, and what is said of its end."""

import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import HostError
from harness.guest.given import given
from harness.guest.saved import Saved
from harness.machine.argv import INSIDE, Files, inner_argv
from harness.machine.crash import clean, inner_end
from harness.model import Machine

CONSOLE = "outer.log"
ARGV = "argv"

# A file that QEMU writes tells nobody that it grew.
_ASKED_AGAIN_S = 0.05


@contextmanager
def entered(saved: Saved, machine: Machine, files: Files, folder: Path) -> Iterator[Files]:
    """The outer system with a guest's files in its reach, gone with the block.

    The inner QEMU's command line stays in `folder`, and the outer system's console.
    """
    words = "".join(f"{word}\n" for word in inner_argv(machine))
    (folder / ARGV).write_text(words, encoding="ascii")
    console = folder / CONSOLE
    shutil.copyfile(saved.boot_log, console)
    inside = {
        INSIDE.kernel.name: files.kernel,
        INSIDE.initramfs.name: files.initramfs,
        ARGV: folder / ARGV,
    }
    with given(folder, inside) as guest:
        yield saved.files(guest, files.channel, console)


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
