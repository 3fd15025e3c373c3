# SPDX-License-Identifier: MIT
"""What an object with line tables, linked by itself, says of where its code lies in an image."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from elftools.dwarf.compileunit import CompileUnit
from elftools.dwarf.die import DIE
from elftools.dwarf.dwarfinfo import DWARFInfo
from elftools.dwarf.lineprogram import LineProgram
from elftools.dwarf.ranges import BaseAddressEntry
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from harness.model.coverage import Span

_ALLOCATED_CODE = 0x6  # SHF_ALLOC | SHF_EXECINSTR

Lines = dict[str, dict[int, tuple[Span, ...]]]


@dataclass(frozen=True)
class Section:
    """A section of code: its place where it was linked by itself, and how far that is moved."""

    start: int
    length: int
    shift: int

    def holds(self, address: int) -> bool:
        """True if code at an address is its."""
        return self.start <= address < self.start + self.length


@dataclass(frozen=True)
class Found:
    """Functions (name, address, size), the sections that the image has, and the lines' code."""

    functions: list[tuple[str, int, int]]
    sections: list[Section]
    lines: Lines


def read(opened: IO[bytes], tree: Path, symbols: Mapping[str, list[int]]) -> Found:
    """All of an object; `symbols` has where the image's functions are.  Raises what it likes."""
    elf = ELFFile(opened)
    functions = _functions(elf)
    sections = list(_sections(elf, functions, symbols))
    return Found(functions, sections, _lines(elf, tree, sections))


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
) -> Iterator[Section]:
    """The sections of code that lie in the image as they do here: all functions as far apart."""
    for row in elf.iter_sections():
        if row["sh_flags"] & _ALLOCATED_CODE != _ALLOCATED_CODE or not row["sh_size"]:
            continue
        start, end = row["sh_addr"], row["sh_addr"] + row["sh_size"]
        mine = [(name, at) for name, at, _ in functions if start <= at < end and name in symbols]
        shifts = Counter(address - at for name, at in mine for address in symbols[name])
        if shifts and shifts.most_common(1)[0][1] == len(mine):
            yield Section(start, row["sh_size"], shifts.most_common(1)[0][0])


def _lines(elf: ELFFile, tree: Path, sections: list[Section]) -> Lines:
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
