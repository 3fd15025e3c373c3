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
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from elftools.dwarf.compileunit import CompileUnit
from elftools.dwarf.die import DIE
from elftools.dwarf.dwarfinfo import DWARFInfo
from elftools.dwarf.lineprogram import LineProgram
from elftools.dwarf.ranges import BaseAddressEntry
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

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
_ALLOCATED_CODE = 0x6  # SHF_ALLOC | SHF_EXECINSTR


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


@dataclass(frozen=True)
class _Section:
    """A section of code: its place where it was linked by itself, and how far that is moved."""

    start: int
    length: int
    shift: int

    def holds(self, address: int) -> bool:
        return self.start <= address < self.start + self.length


def _of_source(builder: Builder, path: str, symbols: Mapping[str, list[int]]) -> LineTable:
    """One source's table, by the addresses of the image."""
    name = _linked(builder, path)
    try:
        with stranger.opened(builder.folder, name) as file, os.fdopen(os.dup(file), "rb") as opened:
            elf = ELFFile(opened)
            functions = _functions(elf)
            sections = list(_sections(elf, functions, symbols))
            lines = _lines(elf, builder.source.tree.work, sections)
    except Exception as error:
        # Whatever a stranger's build made of it.
        raise _UnknownError(f"its line table cannot be read: {error}") from error
    if not sections:
        raise _UnknownError("the image has its functions elsewhere")

    def moved(start: int, end: int) -> Span | None:
        section = next((one for one in sections if one.holds(start)), None)
        return (start + section.shift, end + section.shift) if section else None

    rows = [(name, moved(start, start + size)) for name, start, size in functions]
    return LineTable(
        spans=tuple((s.start + s.shift, s.start + s.length + s.shift) for s in sections),
        functions={path: tuple(Function(name=n, span=span) for n, span in rows if span)},
        lines=lines,
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


def _functions(elf: ELFFile) -> list[tuple[str, int, int]]:
    """(name, address, size) of each function of an object that was linked by itself.

    Not weak ones: another object's may be in the image in their place.
    """
    return [
        (symbol.name, symbol["st_value"], symbol["st_size"])
        for table in elf.iter_sections("SHT_SYMTAB")
        if isinstance(table, SymbolTableSection)
        for symbol in table.iter_symbols()
        if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_info"]["bind"] != "STB_WEAK"
    ]


def _sections(
    elf: ELFFile, functions: list[tuple[str, int, int]], symbols: Mapping[str, list[int]]
) -> Iterator[_Section]:
    """The sections of code that lie in the image as they do here: all functions as far apart."""
    for row in elf.iter_sections():
        if row["sh_flags"] & _ALLOCATED_CODE != _ALLOCATED_CODE or not row["sh_size"]:
            continue
        start, end = row["sh_addr"], row["sh_addr"] + row["sh_size"]
        mine = [(name, at) for name, at, _ in functions if start <= at < end and name in symbols]
        shifts = Counter(address - at for name, at in mine for address in symbols[name])
        if shifts and shifts.most_common(1)[0][1] == len(mine):
            yield _Section(start, row["sh_size"], shifts.most_common(1)[0][0])


def _lines(
    elf: ELFFile, tree: Path, sections: list[_Section]
) -> dict[str, dict[int, tuple[Span, ...]]]:
    """By file of the tree and line, the code that it became, where the image has that."""
    found: dict[str, dict[int, list[Span]]] = {}
    for path, line, start, end in _rows(elf, tree):
        section = next((one for one in sections if one.holds(start)), None)
        if section:
            spans = found.setdefault(path, {}).setdefault(line, [])
            spans.append((start + section.shift, end + section.shift))
    return {
        path: {line: tuple(spans) for line, spans in sorted(rows.items())}
        for path, rows in found.items()
    }


def _rows(elf: ELFFile, tree: Path) -> Iterator[tuple[str, int, int, int]]:
    """(path below the tree, line, address, address behind it) of all code of all units.

    The code of an inlined function is that of its own lines, and of the line that calls it.
    """
    dwarf = elf.get_dwarf_info()
    for unit in dwarf.iter_CUs():
        program = dwarf.line_program_for_CU(unit)
        if program is None:
            continue
        names = _names(program, tree)
        for number, line, start, end in (*_rows_of(program), *_calls_of(dwarf, unit)):
            path = names.get(number)
            if path and line:
                yield path, line, start, end


def _rows_of(program: LineProgram) -> Iterator[tuple[int, int, int, int]]:
    """(file's number, line, address, the next row's address) of a line program."""
    before = None
    for entry in program.get_entries():
        state = entry.state
        if state is None:
            continue
        if before and not before.end_sequence and before.address < state.address:
            yield before.file, before.line, before.address, state.address
        before = state


def _calls_of(dwarf: DWARFInfo, unit: CompileUnit) -> Iterator[tuple[int, int, int, int]]:
    """(file's number, line, address, address behind it) of the calls that were inlined."""
    for die in unit.iter_DIEs():
        if die.tag != "DW_TAG_inlined_subroutine" or "DW_AT_call_line" not in die.attributes:
            continue
        place = (die.attributes["DW_AT_call_file"].value, die.attributes["DW_AT_call_line"].value)
        for start, end in _ranges(dwarf, unit, die):
            yield *place, start, end


def _ranges(dwarf: DWARFInfo, unit: CompileUnit, die: DIE) -> Iterator[Span]:
    """Where the code of an entry lies."""
    attributes = die.attributes
    if "DW_AT_ranges" in attributes:
        base = unit.get_top_DIE().attributes.get("DW_AT_low_pc")
        address = base.value if base else 0
        lists = dwarf.range_lists()
        if lists is None:
            return
        for entry in lists.get_range_list_at_offset(attributes["DW_AT_ranges"].value, cu=unit):
            if isinstance(entry, BaseAddressEntry):
                address = entry.base_address
            else:
                start = 0 if entry.is_absolute else address
                yield start + entry.begin_offset, start + entry.end_offset
    elif "DW_AT_low_pc" in attributes:
        start, length = attributes["DW_AT_low_pc"].value, attributes["DW_AT_high_pc"].value
        yield start, start + length


def _names(program: LineProgram, tree: Path) -> dict[int, str]:
    """A line program's files by number, those of the tree by their paths below it.

    Numbers begin with 0 in DWARF 5, with 1 before it.
    """
    header = program.header
    folders = [folder.decode(errors="surrogateescape") for folder in header["include_directory"]]
    first = 0 if header["version"] >= 5 else 1
    found = {}
    for number, entry in enumerate(header["file_entry"], first):
        index = entry.dir_index - first
        folder = folders[index] if 0 <= index < len(folders) else ""
        path = PurePosixPath(folder) / entry.name.decode(errors="surrogateescape")
        if path.is_relative_to(tree):
            found[number] = str(path.relative_to(tree))
    return found
