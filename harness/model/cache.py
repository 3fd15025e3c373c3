# SPDX-License-Identifier: MIT
"""What the cache holds, and how much it may hold."""

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

from harness.model.base import Frozen

_UNITS = "KMGT"
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT]?)(?:i?B)?", re.IGNORECASE)


def parse_size(text: object) -> int:
    """`20G` in bytes, of 1024 x 1024 x 1024 each; raises ValueError."""
    found = _SIZE.fullmatch(str(text).strip())
    if not found:
        raise ValueError(f"{text} is no size: write 20G, 500M")
    power = _UNITS.index(found[2].upper()) + 1 if found[2] else 0
    return int(float(found[1]) * 1024**power)


def shown_size(size: int) -> str:
    """Bytes as people read them, and `parse_size` does: 1.6G, 225M."""
    value, unit = float(size), ""
    for unit in ("", *_UNITS):
        if value < 1000 or unit == _UNITS[-1]:
            break
        value /= 1024
    return f"{value:.0f}{unit}" if value >= 10 or not unit else f"{value:.1f}{unit}"


Size = Annotated[int, BeforeValidator(parse_size), Field(gt=0)]


class CacheEntry(Frozen):
    """A folder of the cache that is kept, or removed, as a whole.

    `name` is its path there, `of` the source, machine or row that it was last used for;
    `used` is when, in seconds since 1970.
    """

    kind: str
    name: str
    of: str
    bytes: int
    used: float
    in_use: bool


class CachePolicy(Frozen):
    """How much the cache may take: a share of its disk, or a `limit` in bytes.

    Of that, as much may be machines that were `saved`.
    """

    share: float = Field(default=1.0, gt=0, le=1)
    limit: Size | None = None
    saved: Size = parse_size("2G")

    def bound(self, disk: int) -> int:
        """Bytes, on a disk of so many."""
        return int(self.share * disk) if self.limit is None else self.limit
