# SPDX-License-Identifier: MIT
"""Promises: what somebody said that kernels keep to, and what shows it."""

from pydantic import Field

from harness.model.base import ALL_VERSIONS, Frozen, VersionRange
from harness.model.verdict import Status


class Promise(Frozen):
    """One sentence, and the checks of scenarios that show whether kernels keep to it.

    `versions` are the kernels that it is for.
    """

    says: str = Field(min_length=1)
    checks: tuple[str, ...] = Field(min_length=1)
    scenarios: tuple[str, ...] = Field(min_length=1)
    versions: VersionRange = ALL_VERSIONS


class Promises(Frozen):
    """A row of configs/promises.yaml: the promises of one discussion, and where that was."""

    name: str
    title: str
    source: str
    promises: tuple[Promise, ...] = Field(min_length=1)

    @property
    def scenarios(self) -> tuple[str, ...]:
        """The scenarios that show any of them, each once."""
        return tuple(dict.fromkeys(name for one in self.promises for name in one.scenarios))


class Kept(Frozen):
    """Whether one kernel keeps to a promise: the worst of what its checks said there."""

    says: str
    status: Status
    said: str = ""
