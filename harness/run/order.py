# SPDX-License-Identifier: MIT
"""Which guests come first: those that are likeliest to bring bad news (pure)."""

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from harness.model import PatchFile, Series

# What git writes behind the place of a hunk: the line that begins the function around it.
_HUNK = re.compile(r"^@@ [^@]+ @@ (.*)$", re.MULTILINE)
_FUNCTION = re.compile(r"(\w+)\s*\(")
SABOTEURS = "saboteurs/"


def functions(patches: Iterable[PatchFile]) -> frozenset[str]:
    """The functions that hunks of patches are in, as far as they say so."""
    return frozenset(
        found[1]
        for patch in patches
        for line in _HUNK.findall(patch.text)
        if (found := _FUNCTION.search(line))
    )


def suspected(
    touched: Collection[str], saboteurs: Mapping[str, tuple[Series, frozenset[str]]]
) -> frozenset[str]:
    """The scenarios in which those saboteurs show that touch the same functions.

    Each with the functions that its own patches are in.
    """
    return frozenset(
        scenario
        for series, functions_of in saboteurs.values()
        if functions_of & set(touched)
        for scenario in series.claim.scenarios
    )


def ranks(
    names: Sequence[str],
    *,
    failed: Sequence[str],
    suspects: Collection[str],
    seconds: Mapping[str, float],
) -> dict[str, int]:
    """Each scenario's place: those that `failed` lately (the last first), suspects, the quick.

    Of one of which no time is known, nobody has seen anything yet: it comes before the others.
    """
    lately = {name: place for place, name in enumerate(failed)}

    def key(name: str) -> tuple[float, bool, float]:
        return lately.get(name, math.inf), name not in suspects, seconds.get(name, 0.0)

    return {name: place for place, name in enumerate(sorted(names, key=key))}
