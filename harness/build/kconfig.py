# SPDX-License-Identifier: MIT
"""Kconfig text: what was asked for, and what of it survived olddefconfig."""

import re

from harness.model import KconfigFragment

_SET = re.compile(r"^(CONFIG_\w+)=(.*)$")
_UNSET = re.compile(r"^# (CONFIG_\w+) is not set$")


def parse(text: str) -> dict[str, str]:
    """Symbols and values of a .config or a fragment; `n` for `is not set`."""
    symbols = {}
    for line in text.splitlines():
        if match := _SET.match(line.strip()):
            symbols[match[1]] = match[2]
        elif match := _UNSET.match(line.strip()):
            symbols[match[1]] = "n"
    return symbols


def fragments_for(fragments: tuple[KconfigFragment, ...], version: str) -> tuple[str, ...]:
    """The files that are for one kernel release, in order."""
    return tuple(fragment.file for fragment in fragments if version in fragment.versions)


def lost(asked: str, got: str) -> list[str]:
    """What was asked and did not survive: `CONFIG_X=y, got n`, in the order asked."""
    have = parse(got)
    return [
        f"{symbol}={value}, got {have.get(symbol, 'n')}"
        for symbol, value in parse(asked).items()
        if have.get(symbol, "n") != value
    ]
