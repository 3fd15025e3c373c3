# SPDX-License-Identifier: MIT
"""Faults told apart by kind and counted: is one kernel's fault more than another's?"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from harness.verdict.statistics import p_more

# Two kernels that differ in nothing but where their code lies show a defect about as often:
# a count that is larger than the other by chance in one of so many cases is called larger.
_SURE = 0.001
# More kinds than this are a flood, which the first ones tell as well.
_MOST_KINDS = 50

_EVENT = re.compile(r"[\w.-]+(?: \d+)? \(id \d+\)")
# An address is as long as this, with 0x or without.
_NUMBER = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8,16}\b|\d+(?:\.\d+)?")


def kind(line: str) -> str:
    """A line of evidence without what differs from one fault of its kind to the next."""
    return _NUMBER.sub("N", _EVENT.sub("EVENT", line))


def kinds(lines: Iterable[str]) -> dict[str, int]:
    """How many lines there are of each kind, the most frequent first."""
    return dict(Counter(map(kind, lines)).most_common(_MOST_KINDS))


def is_more(mine: int, theirs: int) -> bool:
    """True if a defect that one kernel shows `theirs` times shows more often in the other.

    Not if chance alone explains it: both counts are taken for those of one rate
    (Przyborowski and Wilenski's conditional test), as the phase of a tick decides.
    """
    return mine > theirs and p_more(mine, theirs) < _SURE


def worse(mine: Mapping[str, int], theirs: Mapping[str, int]) -> dict[str, int]:
    """The kinds of fault that are mine only, or of which I have more."""
    return {
        name: number
        for name, number in mine.items()
        if not theirs.get(name) or is_more(number, theirs[name])
    }
