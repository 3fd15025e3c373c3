# SPDX-License-Identifier: MIT
"""QEMU's command line for a machine: a pure function of data."""

from dataclasses import dataclass
from pathlib import Path

from harness.model import Accelerator, Machine, Traced

CHANNEL_BYTES = 64 << 20

_KERNEL_ARGUMENTS = (
    "nokaslr",  # the same addresses in each run
    "panic=-1",  # reboot at once: with -no-reboot QEMU ends
    "softlockup_panic=1",
    "hung_task_panic=1",
    "rdinit=/init",
)
# No display, no devices but those that are asked for.
_BARE = ("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot")
# QEMU's own seccomp filter.
_SANDBOX = ("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
_TRIAL_MEMORY_MIB = 32

SSH_PORT = 22


@dataclass(frozen=True)
class Program:
    """A QEMU that is not the host's: its binary, and the folder of its firmware."""

    binary: Path
    firmware: Path


@dataclass(frozen=True)
class Trace:
    """The register trace: QEMU's log, and what it tells of."""

    log: Path
    events: tuple[Traced, ...]


@dataclass(frozen=True)
class Files:
    """What is run and opened: the kernel, the initramfs, and the channel's backing file.

    With a `disk`, which QEMU only reads, the guest has a network for SSH; `gdb` is
    the socket of a stub, for a machine that waits for a debugger; `program` a
    QEMU in place of the host's; `trace` what QEMU writes of the PMU's registers.
    """

    kernel: Path
    initramfs: Path
    channel: Path
    disk: Path | None = None
    gdb: Path | None = None
    program: Program | None = None
    trace: Trace | None = None


@dataclass(frozen=True)
class Descriptors:
    """Sockets that QEMU inherits: the serial console and the monitor."""

    console: int
    monitor: int


def build_argv(machine: Machine, files: Files, descriptors: Descriptors) -> list[str]:
    """The whole command line; the machine waits for the monitor's `cont`.

    The one thing that the guest can write on the host is the channel's file, whose
    size is fixed; what it makes QEMU write, such as a trace, machine/qemu.py bounds.
    A guest without a disk has no network; one with a disk has a network that reaches
    nothing, but that a port of the host's loopback leads to its SSH server.
    """
    append = " ".join((f"console={machine.console}", *_KERNEL_ARGUMENTS, *machine.kernel_arguments))
    return [
        *_program(machine.qemu, files.program),
        *("-accel", machine.accelerator),
        *("-machine", machine.board),
        *("-cpu", machine.cpu),
        *("-smp", str(machine.cpus)),
        *("-m", str(machine.memory_mib)),
        *(machine.session_clock if files.disk else machine.clock),
        *_BARE,
        "-S",
        *_SANDBOX,
        *("-chardev", f"socket,id=monitor,fd={descriptors.monitor}"),
        *("-mon", "chardev=monitor,mode=control"),
        *("-chardev", f"socket,id=console,fd={descriptors.console}"),
        *("-serial", "chardev:console"),
        "-object",
        f"memory-backend-file,id=channel,share=on,size={CHANNEL_BYTES},"
        f"mem-path={_escaped(files.channel)}",
        *("-device", "ivshmem-plain,memdev=channel"),
        *_session(files),
        *(_traced(machine, files.trace) if files.trace else ()),
        *("-kernel", str(files.kernel)),
        *("-initrd", str(files.initramfs)),
        *("-append", append),
    ]


def trial_argv(accelerator: Accelerator, image: Path, program: Program | None) -> list[str]:
    """The command line that tries an accelerator; the guest's words are QEMU's own output."""
    return [
        *_program(accelerator.qemu, program),
        *("-accel", accelerator.accelerator),
        *("-machine", accelerator.board),
        *("-cpu", accelerator.cpu),
        *("-m", str(_TRIAL_MEMORY_MIB)),
        *accelerator.clock,
        *_BARE,
        *_SANDBOX,
        *("-serial", "stdio"),
        *("-kernel", str(image)),
    ]


def _program(qemu: str, program: Program | None) -> list[str]:
    """The host's QEMU, or another one, which looks for firmware in its own folder first."""
    if program is None:
        return [qemu]
    return [str(program.binary), "-L", str(program.firmware)]


def _session(files: Files) -> list[str]:
    """The disk and the network of a guest with an SSH server, and a debugger's socket.

    The host's port is 0: the kernel chooses a free one, and the monitor knows which.
    """
    words = []
    if files.disk:
        disk = f"driver=file,node-name=disk,read-only=on,filename={_escaped(files.disk)}"
        forward = f"hostfwd=tcp:127.0.0.1:0-:{SSH_PORT}"
        words += ["-blockdev", disk, "-device", "virtio-blk-pci,drive=disk"]
        words += ["-netdev", f"user,id=ssh,restrict=on,ipv6=off,{forward}"]
        words += ["-device", "virtio-net-pci,netdev=ssh,romfile="]
    if files.gdb:
        words += ["-gdb", f"unix:path={_escaped(files.gdb)},server=on,wait=off"]
    return words


def _traced(machine: Machine, trace: Trace) -> list[str]:
    """The register trace; without a time stamp, which would be the host's."""
    events = [machine.trace_events.replace("*", event) for event in trace.events]
    return ["-D", str(trace.log), *(word for event in events for word in ("-trace", event))]


def _escaped(path: Path) -> str:
    """A path in a comma-separated option: QEMU wants commas doubled."""
    return str(path).replace(",", ",,")
