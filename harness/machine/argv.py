# SPDX-License-Identifier: MIT
"""QEMU's command line for a machine: a pure function of data."""

from dataclasses import dataclass
from pathlib import Path

from harness.model import Accelerator, Machine, Outer, Traced

CHANNEL_BYTES = 64 << 20
# What is put into a machine that goes on from where it was saved.
GIVEN_BYTES = 64 << 20

_KERNEL_ARGUMENTS = (
    "nokaslr",  # the same addresses in each run
    "panic=-1",  # reboot at once: with -no-reboot QEMU ends
    "softlockup_panic=1",
    "hung_task_panic=1",
    "rdinit=/init",
)
# A guest that is saved has no virtio device, whose driver enables all devices of the channel's
# vendor.  A device's memory that has, or had, an address when it is saved cannot be left out of
# what is saved (migration/ram.c of QEMU 7.2: "Mismatched GPAs").
_SAVED_ARGUMENTS = ("initcall_blacklist=virtio_pci_driver_init",)
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
class Blocks:
    """The log of the blocks of code that QEMU translates, from these addresses to those."""

    log: Path
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Around:
    """The outer system that a machine's QEMU runs in; its own console is appended to `console`."""

    row: Outer
    console: Path


@dataclass(frozen=True)
class Saving:
    """What a machine has that is saved, or goes on from there.

    Its `memory` is a file, and `given` holds what is put in.  It boots, changes the memory's
    file and stops itself (guest-images/saved/wait.c); from a `state` in which it was saved it
    goes on, and leaves the file as it is.
    """

    memory: Path
    given: Path
    state: Path | None = None


@dataclass(frozen=True)
class Files:
    """What is run and opened: the kernel, the initramfs, and the channel's backing file.

    QEMU only reads the `disk`; with `network` the guest has one for SSH; `gdb` is
    the socket of a stub, for a machine that waits for a debugger; `program` a
    QEMU in place of the host's; `trace` what QEMU writes of the PMU's registers, or `blocks`
    of the code that is executed: both are its one log.
    With `outer`, kernel and initramfs are the outer system's; with `saving`, the machine is
    one that is saved.
    """

    kernel: Path
    initramfs: Path
    channel: Path
    disk: Path | None = None
    network: bool = False
    gdb: Path | None = None
    program: Program | None = None
    trace: Trace | None = None
    blocks: Blocks | None = None
    outer: Around | None = None
    saving: Saving | None = None


@dataclass(frozen=True)
class Descriptors:
    """Sockets that QEMU inherits: the serial console and the monitor."""

    console: int
    monitor: int


# What a guest's QEMU finds in an outer system: guest-images/outer.
INSIDE = Files(Path("/guest/kernel"), Path("/guest/initramfs.cpio"), Path("/run/channel"))
INSIDE_DESCRIPTORS = Descriptors(console=3, monitor=4)


def build_argv(machine: Machine, files: Files, descriptors: Descriptors) -> list[str]:
    """The command line on this host, of the machine or of the outer system around it.

    It waits for the monitor's `cont`.  The one thing that the guest can write on the host
    is the channel's file, whose size is fixed; what it makes QEMU write, such as a trace,
    machine/qemu.py bounds.
    A guest has no network, or one that reaches nothing, but that a port of the host's
    loopback leads to its SSH server.
    """
    if files.outer:
        return _outer_argv(files.outer, machine, files, descriptors)
    return [
        *_program(machine.qemu, files.program),
        *("-accel", machine.accelerator),
        *("-machine", f"{machine.board}{_backed(files)}"),
        *("-cpu", machine.cpu),
        *("-smp", str(machine.cpus)),
        *_memory(machine, None, files.saving),
        *(machine.session_clock if files.disk else machine.clock),
        *_controlled(descriptors),
        *("-serial", "chardev:console"),
        *_channel(files),
        *_session(files),
        *(_traced(machine, files.trace) if files.trace else ()),
        *(_translated(files.blocks) if files.blocks else ()),
        *_started(files, machine.console, _arguments(machine, files)),
    ]


def memory_bytes(machine: Machine, outer: Outer | None) -> int:
    """How large the memory is: a machine's, or what its outer system needs, and its guest."""
    return ((outer.memory_mib if outer else 0) + machine.memory_mib) << 20


def inner_argv(machine: Machine) -> list[str]:
    """The command line within an outer system: as on a host of this kind, but for the paths."""
    return build_argv(machine, INSIDE, INSIDE_DESCRIPTORS)


def _outer_argv(
    around: Around, machine: Machine, files: Files, descriptors: Descriptors
) -> list[str]:
    """The outer system: as many CPUs as its guest has, its guest's console and channel as its own.

    The guest's console is a second serial port: what comes from there, no
    outer system has said.
    """
    row = around.row
    return [
        *_program(row.qemu, files.program),
        *("-accel", row.accelerator),
        *("-machine", f"{row.board}{_backed(files)}"),
        *("-cpu", row.cpu),
        *("-smp", str(machine.cpus)),
        *_memory(machine, row, files.saving),
        *row.clock,
        *_controlled(descriptors),
        *("-chardev", f"file,id=outer,append=on,path={_escaped(around.console)}"),
        *("-serial", "chardev:outer"),
        *("-device", "pci-serial,chardev=console"),
        *_channel(files),
        *_started(files, row.console, row.kernel_arguments),
    ]


def _backed(files: Files) -> str:
    """Where the board's memory is not QEMU's own."""
    return ",memory-backend=memory" if files.saving else ""


def _memory(machine: Machine, outer: Outer | None, saving: Saving | None) -> list[str]:
    """How much of it, and the file that it is in where the machine is saved."""
    size = memory_bytes(machine, outer)
    mib = ["-m", str(size >> 20)]
    if saving is None:
        return mib
    words = f"memory-backend-file,id=memory,share={'off' if saving.state else 'on'},size={size}"
    return [*mib, "-object", f"{words},mem-path={_escaped(saving.memory)}"]


def _controlled(descriptors: Descriptors) -> list[str]:
    """Confined, waiting, with a monitor; the console's socket has a name and no device yet."""
    return [
        *_BARE,
        "-S",
        *_SANDBOX,
        *("-chardev", f"socket,id=monitor,fd={descriptors.monitor}"),
        *("-mon", "chardev=monitor,mode=control"),
        *("-chardev", f"socket,id=console,fd={descriptors.console}"),
    ]


def _channel(files: Files) -> list[str]:
    """The records' way out; where the machine is saved, the way in, and how it stops itself.

    A machine with an ivshmem device that is no `master` cannot be saved.  Its memory is in a
    file that is shared, and so is no part of what is saved; where it goes on it must be as it
    was, unless it is private (ram_load() in migration/ram.c).
    """
    saving = files.saving
    if saving is None:
        return _file("channel", files.channel, CHANNEL_BYTES)
    private = saving.state is not None
    return [
        *_file("channel", files.channel, CHANNEL_BYTES, saved=True),
        *_file("given", saving.given, GIVEN_BYTES, saved=True, private=private),
        *("-device", "pvpanic-pci"),
        *("-action", "panic=pause"),
    ]


def _file(
    name: str, file: Path, size: int, *, saved: bool = False, private: bool = False
) -> list[str]:
    """A file of fixed size as a PCI BAR; one that is `private` is not written to."""
    shared = "off,readonly=on" if private else "on"
    words = f"memory-backend-file,id={name},share={shared},size={size}"
    master = ",master=on" if saved else ""
    return [
        *("-object", f"{words},mem-path={_escaped(file)}"),
        *("-device", f"ivshmem-plain,memdev={name}{master}"),
    ]


def _arguments(machine: Machine, files: Files) -> tuple[str, ...]:
    """What a guest's kernel is told beside what all are."""
    return (*machine.kernel_arguments, *(_SAVED_ARGUMENTS if files.saving else ()))


def _started(files: Files, console: str, more: tuple[str, ...]) -> list[str]:
    """What is booted, and what its kernel is told; or that a state comes.

    A PC's ROMs, which the state is for, come with a kernel; all else is in memory.
    """
    if files.saving and files.saving.state:
        return ["-incoming", "defer", "-kernel", str(files.kernel)]
    return _booted(files, console, more)


def _booted(files: Files, console: str, more: tuple[str, ...]) -> list[str]:
    """What is booted, and what its kernel is told."""
    return [
        *("-kernel", str(files.kernel)),
        *("-initrd", str(files.initramfs)),
        *("-append", " ".join((f"console={console}", *_KERNEL_ARGUMENTS, *more))),
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
        words += ["-blockdev", disk, "-device", "virtio-blk-pci,drive=disk"]
    if files.network:
        forward = f"hostfwd=tcp:127.0.0.1:0-:{SSH_PORT}"
        words += ["-netdev", f"user,id=ssh,restrict=on,ipv6=off,{forward}"]
        words += ["-device", "virtio-net-pci,netdev=ssh,romfile="]
    if files.gdb:
        words += ["-gdb", f"unix:path={_escaped(files.gdb)},server=on,wait=off"]
    return words


def _traced(machine: Machine, trace: Trace) -> list[str]:
    """The register trace; without a time stamp, which would be the host's."""
    events = [machine.trace_events.replace("*", event) for event in trace.events]
    return ["-D", str(trace.log), *(word for event in events for word in ("-trace", event))]


def _translated(blocks: Blocks) -> list[str]:
    """Each block is told before it is executed for the first time."""
    spans = ",".join(f"{start:#x}+{end - start:#x}" for start, end in blocks.spans)
    return ["-D", str(blocks.log), "-d", "in_asm", "-dfilter", spans]


def _escaped(path: Path) -> str:
    """A path in a comma-separated option: QEMU wants commas doubled."""
    return str(path).replace(",", ",,")
