# SPDX-License-Identifier: MIT
"""QEMU's command line for a machine: a pure function of data."""

from dataclasses import dataclass
from pathlib import Path

from harness.model import Machine

CHANNEL_BYTES = 64 << 20

_KERNEL_ARGUMENTS = (
    "nokaslr",  # the same addresses in each run
    "panic=-1",  # reboot at once: with -no-reboot QEMU ends
    "softlockup_panic=1",
    "hung_task_panic=1",
    "rdinit=/init",
)


@dataclass(frozen=True)
class Files:
    """What QEMU opens: the kernel, the initramfs, and the channel's backing file."""

    kernel: Path
    initramfs: Path
    channel: Path


@dataclass(frozen=True)
class Descriptors:
    """Sockets that QEMU inherits: the serial console and the monitor."""

    console: int
    monitor: int


def build_argv(machine: Machine, files: Files, descriptors: Descriptors) -> list[str]:
    """The whole command line; the machine waits for the monitor's `cont`.

    No network, no display, QEMU's seccomp sandbox on.  The one thing that the
    guest can write on the host is the channel's file, whose size is fixed.
    """
    append = " ".join((f"console={machine.console}", *_KERNEL_ARGUMENTS))
    return [
        machine.qemu,
        *("-accel", machine.accelerator),
        *("-machine", machine.board),
        *("-cpu", machine.cpu),
        *("-smp", str(machine.cpus)),
        *("-m", str(machine.memory_mib)),
        *machine.clock,
        "-nodefaults",
        "-no-user-config",
        *("-display", "none"),
        "-no-reboot",
        "-S",
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        *("-chardev", f"socket,id=monitor,fd={descriptors.monitor}"),
        *("-mon", "chardev=monitor,mode=control"),
        *("-chardev", f"socket,id=console,fd={descriptors.console}"),
        *("-serial", "chardev:console"),
        "-object",
        f"memory-backend-file,id=channel,share=on,size={CHANNEL_BYTES},"
        f"mem-path={_escaped(files.channel)}",
        *("-device", "ivshmem-plain,memdev=channel"),
        *("-kernel", str(files.kernel)),
        *("-initrd", str(files.initramfs)),
        *("-append", append),
    ]


def _escaped(path: Path) -> str:
    """A path in a comma-separated option: QEMU wants commas doubled."""
    return str(path).replace(",", ",,")
