# SPDX-License-Identifier: MIT
"""What every type has in common, and kernel releases."""

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Frozen(BaseModel):
    """A value: immutable, and strict about keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


def parse_version(text: str) -> tuple[int, ...]:
    """`6.12.117-1~deb12u1` as (6, 12, 117): what orders kernel releases.

    Raises ValueError when the text does not begin with a number.
    """
    release = re.split(r"[-~+]", text, maxsplit=1)[0]
    return tuple(int(number) for number in release.split("."))


def _version_text(value: object) -> object:
    if isinstance(value, float):
        raise ValueError(f"quote it: YAML reads {value} as a number, and 6.10 as 6.1")
    return value


Version = Annotated[str, BeforeValidator(_version_text), Field(pattern=r"^\d+\.\d+(\.\d+)*$")]


class VersionRange(Frozen):
    """Kernel versions from `since` (included) to `before` (excluded)."""

    since: Version = "0.0"
    before: Version | None = None

    def __contains__(self, version: str) -> bool:
        """True if a kernel release, such as 6.12.117, is within the range."""
        release = parse_version(version)
        if release < parse_version(self.since):
            return False
        return self.before is None or release < parse_version(self.before)

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.since} and newer"
        return f"{self.since} up to, not including, {self.before}"


# Made without looking at it: that takes long, and each command that starts would wait for it.
ALL_VERSIONS = VersionRange.model_construct()
