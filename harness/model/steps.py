# SPDX-License-Identifier: MIT
"""What comes out of a series that is judged patch by patch: what series.json holds."""

from enum import Enum
from typing import Literal

from harness.model.base import Frozen
from harness.model.plan import PatchInfo
from harness.model.verdict import Status


class StepState(Enum):
    """What became of one patch of a series."""

    PASS = "pass"
    FAIL = "fail"
    # No verdict: the host's fault, or data that do not decide.
    ERROR = "error"
    # Nothing of it is in a guest: the image is the step's before, or was never made.
    NOT_RUN = "not run"
    # One before it does not apply.
    NOT_REACHED = "not reached"


class Turn(Frozen):
    """A check that a patch turned, and in which scenarios; none for a kernel that is not built.

    `broken_by` is the number of the patch that broke it, 0 where the base has it so.
    """

    check: str
    scenarios: tuple[str, ...] = ()
    broken_by: int = 0


class Step(Frozen):
    """One patch, on top of those before it, judged against the step `upon`; 0 is the base.

    `moved` are costs that are others than there; `folder` is its run's, relative to the series'.
    """

    number: int
    patch: PatchInfo
    upon: int
    state: StepState
    headline: str
    broke: tuple[Turn, ...] = ()
    repaired: tuple[Turn, ...] = ()
    moved: tuple[str, ...] = ()
    guests: int = 0
    stored: int = 0
    seconds: float = 0.0
    folder: str = ""
    repeat: str = ""


class SeriesResult(Frozen):
    """A series, patch by patch: what `series.json` holds.

    `first_bad` is the number of the first patch that fails; `left` is what is broken after the
    last one; `again` is the command that judges it for anybody, without the patches.
    """

    schema_version: Literal[1] = 1
    command: str
    again: str = ""
    plan: str
    base: str
    started: str
    seconds: float
    status: Status
    headline: str
    first_bad: int | None = None
    title: str = ""
    cover: PatchInfo | None = None
    notes: tuple[str, ...] = ()
    steps: tuple[Step, ...]
    left: tuple[Turn, ...] = ()
