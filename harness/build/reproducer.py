# SPDX-License-Identifier: MIT
"""A person's reproducer, as its guest runs it: a C file compiled, a script or a program taken."""

import struct
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from harness.build.compile import run_step
from harness.build.kernel import toolchain
from harness.errors import BuildError, PlanError
from harness.host.store import Cache, digest, file_digest
from harness.model import Architecture

PROGRAM = "program"
# As syzbot's are compiled, but that warnings are nobody's business here.
COMPILE = ("-std=gnu11", "-O1", "-w", "-static", "-pthread")
LIMIT_BYTES = 16 << 20

# elf(5): e_ident, e_machine, e_phoff, e_phentsize, e_phnum of a 64-bit little-endian file.
_HEADER = struct.Struct("<16s2xH12xQ14xHH6x")
_64_LITTLE = b"\x7fELF\x02\x01"
_PT_INTERP = 3


class Kind(Enum):
    """What a person's file is."""

    C = "a C file"
    SCRIPT = "a script"
    PROGRAM = "a program"


@dataclass(frozen=True)
class Made:
    """A program in the store; it has a `userland` where it is a script or has shared libraries."""

    folder: Path
    sha256: str
    userland: bool

    @property
    def program(self) -> Path:
        """What the guest runs."""
        return self.folder / PROGRAM


def make(cache: Cache, architecture: Architecture, path: Path, name: str) -> Made:
    """The program of a person's file, from the store if it is there.

    Raises PlanError, by the file's `name`, where it is none or does not compile.
    """
    content = _content(path, name)
    kind = _kind(content, path, name)
    if kind is Kind.PROGRAM:
        _see_that_it_fits(content, architecture, name)
    made_with = (toolchain(architecture), *COMPILE) if kind is Kind.C else ()
    label = digest(kind.value, content, *made_with)

    def fill(new: Path) -> None:
        if kind is Kind.C:
            _compile(content, architecture, new, name)
        else:
            (new / PROGRAM).write_bytes(content)

    folder = cache.artifact(f"reproducer-{label}", name, fill)
    userland = kind is Kind.SCRIPT or (kind is Kind.PROGRAM and _has_interpreter(content))
    return Made(folder, file_digest(folder / PROGRAM), userland)


def _content(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise PlanError(f"cannot read {name}", why=str(error)) from error
    if len(content) > LIMIT_BYTES:
        raise PlanError(f"{name} is longer than {LIMIT_BYTES >> 20} MiB")
    return content


def _kind(content: bytes, path: Path, name: str) -> Kind:
    if content.startswith(b"\x7fELF"):
        return Kind.PROGRAM
    if content.startswith(b"#!"):
        return Kind.SCRIPT
    if path.suffix == ".c":
        return Kind.C
    raise PlanError(
        f"{name} is no reproducer",
        why="it is neither a C file (by its name), nor a script (#!), nor an ELF program",
    )


def _see_that_it_fits(content: bytes, architecture: Architecture, name: str) -> None:
    fits = content.startswith(_64_LITTLE) and len(content) >= _HEADER.size
    if not fits or _HEADER.unpack_from(content)[1] != architecture.elf:
        raise PlanError(
            f"{name} is no program for {architecture.name}",
            why=f"its ELF header is not that of a 64-bit {architecture.triplet} file",
            advice="give its C file, or choose another --machine",
        )


def _has_interpreter(content: bytes) -> bool:
    """True for a program that wants a dynamic linker."""
    _, _, offset, size, number = _HEADER.unpack_from(content)
    kinds = (content[offset + size * i :][:4] for i in range(number))
    return any(int.from_bytes(kind, "little") == _PT_INTERP for kind in kinds)


def _compile(content: bytes, architecture: Architecture, new: Path, name: str) -> None:
    """Confined to its folder, as a stranger's code is; raises PlanError."""
    source = new / "reproducer.c"
    source.write_bytes(content)
    argv = [f"{architecture.triplet}-gcc", *COMPILE, "-o", PROGRAM, source.name]
    try:
        run_step("reproducer", argv, new, readable=[])
    except BuildError as error:
        raise PlanError(
            f"{name} does not compile for {architecture.name}",
            why=error.why,
            advice="make it compile with " + " ".join(argv[: len(COMPILE) + 1]),
        ) from error
