# SPDX-License-Identifier: MIT
"""Where the lines of a kernel's sources lie in its image, which has no debug information.

A source is compiled once more, with line tables, by the command that kbuild noted.  gcc makes
the same code with -g as without (GCC manual, "Options for Debugging Your Program"); whether it
did is seen by where the functions lie in the image.
"""

import json
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from harness.build.compile import run_step
from harness.build.kernel import SYMBOLS, Builder, Kernel
from harness.errors import BuildError
from harness.host import stranger
from harness.host.store import digest, write_text
from harness.model import Function, LineTable
from harness.model.coverage import Span

_TABLE = "lines.json"
_COMMAND = re.compile(r"^(?:saved)?cmd_\S+ := (.*)$", re.MULTILINE)
# Line tables and functions, no variables: enough, and faster to make.
_DEBUG = "-g1"
# Of how code is told to be a line's: tables that were made otherwise are made anew.
_VERSION = "2"
_OBJECT, _ELF = "lines.o", "lines.elf"
_WHY_HEADER = "a header that no changed source has code of"


def line_table(builder: Builder, kernel: Kernel, paths: Iterable[str]) -> LineTable:
    """Of these sources of a kernel, from the store if it is there.

    Why nothing is known of one is in the table: it is no fault of anybody's.
    """
    wanted = sorted(paths)
    if not wanted:
        return LineTable()
    place = builder.cache.artifacts / f"lines-{digest(_VERSION, kernel.digest, *wanted)}"
    builder.cache.use(place, kernel.subject.name)
    if not place.exists():
        with builder.cache.publish(place) as new:
            write_text(new / _TABLE, _made(builder, kernel, wanted).model_dump_json())
    return LineTable.model_validate(json.loads((place / _TABLE).read_bytes()))


def _made(builder: Builder, kernel: Kernel, paths: list[str]) -> LineTable:
    symbols = _addresses((kernel.folder / SYMBOLS).read_text(encoding="ascii"))
    known: list[LineTable] = []
    unknown: dict[str, str] = {}
    sources = [path for path in paths if path.endswith(".c")]
    with builder.configured(kernel.subject):
        for path in sources:
            try:
                known.append(_of_source(builder, path, symbols))
            except _UnknownError as error:
                unknown[path] = str(error)
            except BuildError:
                unknown[path] = "did not compile with line tables"
    lines: dict[str, dict[int, tuple[Span, ...]]] = {}
    for table in known:
        for path in set(paths) & set(table.lines):
            mine = lines.setdefault(path, {})
            for number, spans in table.lines[path].items():
                mine[number] = mine.get(number, ()) + spans
    for path in set(paths) - {*sources, *lines}:
        unknown[path] = _WHY_HEADER if path.endswith(".h") else "not C"
    return LineTable(
        spans=tuple(span for table in known for span in table.spans),
        functions={path: rows for table in known for path, rows in table.functions.items()},
        lines=lines,
        unknown=dict(sorted(unknown.items())),
    )


class _UnknownError(Exception):
    """Why nothing is known of a source."""


def _of_source(builder: Builder, path: str, symbols: Mapping[str, list[int]]) -> LineTable:
    """One source's table, by the addresses of the image."""
    from harness.build import dwarf  # noqa: PLC0415 (takes long)

    name = _linked(builder, path)
    try:
        with stranger.opened(builder.folder, name) as file, os.fdopen(os.dup(file), "rb") as opened:
            found = dwarf.read(opened, builder.source.tree.work, symbols)
    except Exception as error:
        # Whatever a stranger's build made of it.
        raise _UnknownError(f"its line table cannot be read: {error}") from error
    if not found.sections:
        raise _UnknownError("the image has its functions elsewhere")

    def moved(start: int, end: int) -> Span | None:
        section = next((one for one in found.sections if one.holds(start)), None)
        return (start + section.shift, end + section.shift) if section else None

    rows = [(name, moved(start, start + size)) for name, start, size in found.functions]
    return LineTable(
        spans=tuple((s.start + s.shift, s.start + s.length + s.shift) for s in found.sections),
        functions={path: tuple(Function(name=n, span=span) for n, span in rows if span)},
        lines=found.lines,
    )


def _linked(builder: Builder, path: str) -> str:
    """The source's object with line tables, linked by itself so that its sections lie apart.

    Its place below the build folder.  The note may be a stranger's: what it says is run as
    confined as all that builds.
    """
    source = PurePosixPath(path)
    argv = _compiler(_note(builder, source.parent / f".{source.stem}.o.cmd"))
    run_step("line table", argv, builder.folder, readable=[builder.source.tree.work])
    ld = [f"{builder.architecture.triplet}-ld", "--noinhibit-exec", "-e", "0"]
    ld += ["--unresolved-symbols=ignore-all", "-o", _ELF, _OBJECT]
    run_step("line table", ld, builder.folder, readable=[])
    return _ELF


def _note(builder: Builder, name: PurePosixPath) -> str:
    """What kbuild noted of an object."""
    try:
        return stranger.read(builder.folder, name).decode(errors="replace")
    except (FileNotFoundError, stranger.NotPlainError) as error:
        raise _UnknownError("kbuild has no note of how it is compiled") from error


def _compiler(note: str) -> list[str]:
    """The command that compiled an object, for one with line tables."""
    found = _COMMAND.search(note)
    words = shlex.split(found[1].partition(" ; ")[0]) if found else []
    if "-o" not in words[:-1]:
        raise _UnknownError("kbuild's note of how it is compiled is of another form")
    argv = [word for word in words if not word.startswith("-Wp,-MMD")]
    argv[argv.index("-o") + 1] = _OBJECT
    return [*argv, _DEBUG]


def _addresses(system_map: str) -> dict[str, list[int]]:
    """Where functions of a name are, from a System.map: of static ones, maybe several."""
    found: dict[str, list[int]] = {}
    for line in system_map.splitlines():
        address, kind, name = line.split(maxsplit=2)
        if kind in "tTwW":
            found.setdefault(name, []).append(int(address, 16))
    return found
