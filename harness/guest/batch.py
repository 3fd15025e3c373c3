# SPDX-License-Identifier: MIT
"""One cell in one guest: a batch goes in, records come out, the end is named."""

import json
import mmap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from harness.build import recipe
from harness.build.image import GuestImage, overlaid
from harness.guest import blocks, outer
from harness.guest.files import CONSOLE, EXECUTED, OUTCOME, RECORDS, REGISTERS, TRACE
from harness.guest.given import given
from harness.guest.records import HEADER, RecordsError, channel_bytes, parse
from harness.guest.saved import Saved, System, leave_executed
from harness.guest.trace import accesses
from harness.machine import qemu
from harness.machine.argv import CHANNEL_BYTES, Blocks, Files, Program, Trace
from harness.machine.console import Watch, watch
from harness.machine.crash import locate, recognize, step_failed
from harness.model import GuestEnd, Machine, Outcome, Scenario
from harness.model.coverage import Span

_BLOCKS = "blocks.log"

CAUSES = {
    Watch.CLOSED: None,
    Watch.SILENT: GuestEnd.HANG,
    Watch.FLOODED: GuestEnd.FLOOD,
}


@dataclass(frozen=True)
class Guest:
    """What one cell boots: a kernel, its modules, the image, on a machine.

    With a person's program, and Debian's system on a disk where that needs it.
    `modules` is the folder that they are in, `program` is the QEMU that plays the machine,
    where it is not the host's.  What it executes of the addresses that are `watched` is noted.
    `system` is what it goes on from: the same, booted once, or the outer system around it.
    """

    kernel: Path
    modules: Path
    symbols: Path
    image: GuestImage
    machine: Machine
    scenario: Scenario
    program: Program | None = None
    system: System | None = None
    reproducer: Path | None = None
    disk: Path | None = None
    watched: tuple[Span, ...] = ()

    @property
    def loaded(self) -> tuple[Path, ...]:
        """The files of the modules that its scenario has it load."""
        return tuple(self.modules / name for name in recipe.modules(self.scenario))


def run(
    guest: Guest, folder: Path, timeout_scale: float = 1.0, saved: Saved | None = None
) -> Outcome:
    """Boot or go on, perform the batch, and leave the observation in `folder`.

    `saved` is the guest's system.  Raises HostError when QEMU does not start; whatever the
    guest does is an outcome.
    """
    inside = saved is not None and saved.system.outer is not None
    with _entered(guest, folder, saved) as own:
        trace = trace_of(guest.scenario, folder)
        watched = blocks_of(guest.watched, folder)
        files = replace(own, program=guest.program, disk=guest.disk, trace=trace, blocks=watched)
        with qemu.running(guest.machine, files, folder / "qemu.log") as machine:
            silence_s = guest.machine.timeout_s * timeout_scale
            said = saved.boot_log.read_bytes() if saved and not inside else b""
            seen = watch(machine.console, folder / CONSOLE, silence_s, before=said)
            where = ""
            if seen is Watch.SILENT:
                registers = _registers(machine, folder, inside=inside)
                where = locate_hang(registers, guest.symbols, folder)
            reason = machine.monitor.shutdown_reason() if seen is Watch.CLOSED else ""
            fault = machine.fault() if seen is Watch.CLOSED else None
        if fault and not _is_full(folder):
            raise fault
        if inside and seen is Watch.CLOSED:
            reason = outer.reason_of_end(folder)
        outcome = _recognized(folder, seen, where, reason)
        outcome = leave_records(outcome, files.channel, folder)
    if watched:
        before = blocks.read(saved.executed.read_text()) if saved else ()
        leave_executed(watched, folder / EXECUTED, before)
    leave_outcome(outcome, folder)
    return outcome


@contextmanager
def _entered(guest: Guest, folder: Path, saved: Saved | None) -> Iterator[Files]:
    """What is booted, or gone on from, with the batch in its reach."""
    texts = recipe.texts(guest.scenario)
    if saved and not saved.system.outer:
        with _given(guest, folder, texts, saved) as files:
            yield files
        return
    parts = laid_out(
        guest.image,
        guest.kernel,
        folder,
        texts,
        modules=guest.loaded,
        reproducer=guest.reproducer,
    )
    with parts as files:
        if saved is None:
            yield files
            return
        with outer.entered(saved, guest.machine, files, folder) as around:
            yield around


@contextmanager
def _given(guest: Guest, folder: Path, texts: Mapping[str, str], saved: Saved) -> Iterator[Files]:
    """A guest that has booted, with what is its own, and an empty channel."""
    _leave_texts(texts, folder)
    own = {name: folder / name for name in texts}
    own |= {f"{recipe.MODULES_PLACE}/{path.name}": path for path in _left(guest, saved.system)}
    own |= {recipe.REPRODUCER: guest.reproducer} if guest.reproducer else {}
    with given(folder, own) as place, _channel(folder) as channel:
        yield saved.files(place, channel, folder / CONSOLE)


def _left(guest: Guest, system: System) -> list[Path]:
    """The modules that were not loaded when its system was saved."""
    return [path for path in guest.loaded if path not in system.modules]


def _registers(machine: qemu.Qemu, folder: Path, *, inside: bool) -> str:
    """The registers of a silent guest, or nothing."""
    if inside:
        return outer.registers(machine.console, folder, qemu.COMMAND_S)
    return machine.registers()


def leave_outcome(outcome: Outcome, folder: Path) -> None:
    """Write how the guest ended beside what it left."""
    (folder / OUTCOME).write_text(json.dumps(outcome.model_dump(mode="json"), indent=1) + "\n")


def locate_hang(registers: str, symbols: Path, folder: Path) -> str:
    """The function that a silent guest is in; its registers are kept as evidence."""
    (folder / REGISTERS).write_text(registers)
    return locate(registers, symbols.read_text(encoding="ascii"))


@contextmanager
def laid_out(
    image: GuestImage,
    kernel: Path,
    folder: Path,
    texts: Mapping[str, str],
    *,
    modules: Sequence[Path],
    keys: Mapping[str, bytes] | None = None,
    reproducer: Path | None = None,
) -> Iterator[Files]:
    """The initramfs of one boot (image, then overlay) and an empty channel, gone with the block.

    `texts` (the batch, a scenario) go into the overlay, and stay in `folder`.
    """
    _leave_texts(texts, folder)
    initramfs = folder / "initramfs.cpio"
    overlaid(initramfs, image.initramfs, texts, modules, keys=keys, reproducer=reproducer)
    try:
        with _channel(folder) as channel:
            yield Files(kernel=kernel, initramfs=initramfs, channel=channel)
    finally:
        initramfs.unlink(missing_ok=True)


def _leave_texts(texts: Mapping[str, str], folder: Path) -> None:
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="ascii")


@contextmanager
def _channel(folder: Path) -> Iterator[Path]:
    """An empty one, gone with the block."""
    channel = folder / "channel"
    with channel.open("wb") as file:
        file.truncate(CHANNEL_BYTES)
    try:
        yield channel
    finally:
        channel.unlink(missing_ok=True)


def trace_of(scenario: Scenario, folder: Path) -> Trace | None:
    """The register trace that a scenario asks for, in its cell's folder."""
    return Trace(folder / TRACE, scenario.trace) if scenario.trace else None


def blocks_of(watched: tuple[Span, ...], folder: Path) -> Blocks | None:
    """The log of what is executed at these addresses, in a cell's folder."""
    return Blocks(folder / _BLOCKS, watched) if watched else None


def _is_full(folder: Path) -> bool:
    """True if the trace came to its bound."""
    trace = folder / TRACE
    return trace.exists() and trace.stat().st_size >= qemu.FILE_BYTES


def _recognized(folder: Path, seen: Watch, where: str, reason: str) -> Outcome:
    """How the guest ended, by its console and by what the host saw."""
    console = (folder / CONSOLE).read_bytes()
    if not _is_full(folder):
        return recognize(console, cause=CAUSES[seen], where=where, reason=reason)
    outcome = recognize(console, cause=GuestEnd.FLOOD)
    more = f"{outcome.summary}: the register trace has more than {qemu.FILE_BYTES >> 20} MiB"
    return outcome.model_copy(update={"summary": more})


def _traced(outcome: Outcome, folder: Path) -> bytes:
    """The trace as lines of records, of a flood none; raises RecordsError.

    A QEMU that was ended may have left a part of a last line.
    """
    trace = folder / TRACE
    if outcome.end is GuestEnd.FLOOD or not trace.exists():
        return b""
    whole, end, _ = trace.read_bytes().rpartition(b"\n")
    return b"".join(b"%s\n" % line.model_dump_json().encode() for line in accesses(whole + end))


def leave_records(
    outcome: Outcome, channel: Path, folder: Path, from_tools: bytes = b""
) -> Outcome:
    """Store the records, what tools and a register trace say first.

    A guest that ended well left whole ones, and none of a step that failed.
    """
    with channel.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        _, length = HEADER.unpack_from(view)
        held = view[: HEADER.size + min(length, CHANNEL_BYTES)]
    try:
        lines = from_tools + _traced(outcome, folder) + channel_bytes(held)
        (folder / RECORDS).write_bytes(lines)
        records = parse(lines)
    except RecordsError as error:
        return Outcome(end=GuestEnd.STOPPED_EARLY, stage="batch", summary=str(error))
    if outcome.end is not GuestEnd.DONE:
        return outcome
    if not records.complete:
        return Outcome(
            end=GuestEnd.STOPPED_EARLY, stage="batch", summary="the records end too early"
        )
    if records.failure:
        return step_failed((folder / CONSOLE).read_bytes(), records.failure)
    return outcome
