# SPDX-License-Identifier: MIT
"""What kernels answer to a call: taken or refused, by their version, and where that is written."""

import errno
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from harness.model.base import ALL_VERSIONS, Frozen, VersionRange, parse_version


class Answer(Frozen):
    """How kernels of a range answer a call, and the `source` that says so.

    `refused` is the error's name, such as EINVAL; without it they do what was asked.
    """

    refused: str | None = None
    versions: VersionRange = ALL_VERSIONS
    source: str = Field(min_length=1)

    @model_validator(mode="after")
    def _error_is_known(self) -> "Answer":
        if self.refused is not None and self.errno == 0:
            raise ValueError(f"{self.refused} is no error of errno(3)")
        return self

    @property
    def errno(self) -> int:
        """The number that the call leaves in errno; 0 where it is taken."""
        return int(getattr(errno, self.refused or "", 0))

    @property
    def said(self) -> str:
        """As a person reads it."""
        return f"refused with {self.refused}" if self.refused else "taken"


def _one_or_many(value: Any) -> Any:
    return (value,) if isinstance(value, dict) else value


# One for each range of kernels; a single one may stand without a list.
Answers = Annotated[tuple[Answer, ...], BeforeValidator(_one_or_many)]


def see_that_all_kernels_are_covered(call: str, answers: Sequence[Answer]) -> None:
    """Raise ValueError unless each kernel release is in the range of exactly one answer."""
    begin: str | None = "0.0"
    for answer in sorted(answers, key=lambda one: parse_version(one.versions.since)):
        if begin is None or parse_version(answer.versions.since) < parse_version(begin):
            raise ValueError(f"{call}: two answers are for kernel {answer.versions.since}")
        if parse_version(answer.versions.since) > parse_version(begin):
            missing = VersionRange(since=begin, before=answer.versions.since)
            raise ValueError(f"{call}: no answer is for kernels {missing}; add one")
        begin = answer.versions.before
    if begin is not None:
        raise ValueError(f"{call}: no answer is for kernels {begin} and newer; add one")


def answer_for(answers: Sequence[Answer], version: str) -> Answer:
    """The one that is for a kernel release."""
    return next(answer for answer in answers if version in answer.versions)
