# SPDX-License-Identifier: MIT
"""Stored observations: what one is named by, and what is kept of it."""

import shlex
import shutil
from dataclasses import replace
from pathlib import Path

from harness.build import recipe
from harness.build.emulator import Built
from harness.build.kernel import Kernel
from harness.guest import batch, outer
from harness.guest.batch import Guest
from harness.guest.files import CONSOLE, EVIDENCE, EXECUTED, OUTCOME, RECORDS, TRACE
from harness.guest.workload import Provided
from harness.host.store import Cache, digest
from harness.machine.argv import Descriptors, Files, Program, build_argv, inner_argv
from harness.run.folder import NOISE

_FILES = (
    *(recipe.BATCH, recipe.SCENARIO, CONSOLE, RECORDS, TRACE, NOISE, OUTCOME),
    *(outer.CONSOLE, outer.ARGV),
    EXECUTED,
)
_NOWHERE = Files(Path("kernel"), Path("initramfs"), Path("channel"))


def name_of(
    guest: Guest,
    kernel: Kernel,
    *,
    qemu: str,
    emulator: Built | None,
    provided: Provided | None,
    repetition: int,
) -> str:
    """Everything that a guest's run depends on, as a name; a repetition has its own.

    `qemu` is its version's line, `provided` what a guest over SSH gets.
    """
    facts = kernel.facts
    nowhere = replace(
        guest.system.nowhere if guest.system else _NOWHERE,
        program=Program(Path("qemu"), Path("firmware")) if emulator else None,
        trace=batch.trace_of(guest.scenario, Path()),
        blocks=batch.blocks_of(guest.watched, Path()),
    )
    argv = build_argv(guest.machine, nowhere, Descriptors(console=3, monitor=4))
    return digest(
        facts["image_sha256"],
        *(facts[f"{name}_sha256"] for name in recipe.modules(guest.scenario)),
        guest.image.sha256,
        recipe.batch(guest.scenario),
        recipe.script(guest.scenario),
        *_workload(guest, provided),
        *_reproducer(guest),
        shlex.join(argv),
        qemu,
        *([emulator.digest] if emulator else []),
        *([guest.system.name] if guest.system else []),
        *(inner_argv(guest.machine) if guest.system and guest.system.outer else []),
        *([f"repetition {repetition}"] if repetition else []),
    )


def _workload(guest: Guest, provided: Provided | None) -> list[str]:
    """What a tool's run depends on beside the kernel and the machine."""
    tool = guest.scenario.tool
    if tool is None or provided is None:
        return []
    return [tool.model_dump_json(), str(provided.disk), str(provided.selftests)]


def _reproducer(guest: Guest) -> list[str]:
    """What a person's program does depend on beside the kernel and the machine."""
    asked = guest.scenario.reproducer
    return [asked.sha256, str(guest.disk)] if asked else []


def keep(cache: Cache, place: Path, stored: Path, *, exact: bool) -> tuple[str, ...]:
    """Store what a guest left; of an exact one that is stored, the files that differ from it."""
    names = [name for name in _FILES if (place / name).exists()]
    if exact and stored.exists():
        return tuple(
            name for name in names if (stored / name).read_bytes() != (place / name).read_bytes()
        )
    with cache.publish(stored) as new:
        for name in names:
            shutil.copyfile(place / name, new / name)
        if (place / EVIDENCE).exists():
            shutil.copytree(place / EVIDENCE, new / EVIDENCE)
    return ()
