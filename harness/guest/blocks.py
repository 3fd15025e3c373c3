# SPDX-License-Identifier: MIT
"""Which code a guest executed: QEMU's log of the blocks that it translates, each before it runs.

`-d in_asm` writes a line for each instruction (disas/capstone.c).  Where QEMU has no disassembler
it writes a block's address, and below it the block's bytes, 32 a line (print_insn_objdump() in
disas.c).
"""

import re
from collections.abc import Iterable

from harness.model.coverage import Span

# An address, and the code there in hex: bytes, or words of four.
_LINE = re.compile(r"^0x([0-9a-f]+):\s+((?:(?:[0-9a-f]{2}|[0-9a-f]{8,})(?:\s|$))*)")
_BYTES = re.compile(r"^OBJD-T: ([0-9a-f]+)$")


def executed(log: Iterable[str]) -> list[Span]:
    """Where the code lies that a log tells of, in ascending order; spans do not touch."""
    found = set()
    address = 0
    for line in log:
        if match := _LINE.match(line):
            address, code = int(match[1], 16), "".join(match[2].split())
        elif match := _BYTES.match(line):
            code = match[1]
        else:
            continue
        end = address + len(code) // 2
        if end > address:
            found.add((address, end))
        address = end
    return _joined(sorted(found))


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Spans in ascending order, those that touch or overlap made one."""
    joined: list[Span] = []
    for start, end in spans:
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def joined(*parts: Iterable[Span]) -> list[Span]:
    """What is in any of several, in ascending order; spans do not touch."""
    return _joined(sorted(span for part in parts for span in part))


def written(spans: Iterable[Span]) -> str:
    """Spans as a file holds them: a line each, in hex."""
    return "".join(f"{start:x} {end:x}\n" for start, end in spans)


def read(text: str) -> list[Span]:
    """What `written` wrote."""
    rows = (line.split() for line in text.splitlines())
    return [(int(start, 16), int(end, 16)) for start, end in rows]
