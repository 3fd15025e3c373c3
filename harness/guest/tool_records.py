# SPDX-License-Identifier: MIT
"""Records of the real perf tool and of the kernel's own tests: what their output says, typed."""

from typing import Literal

from harness.model import Frozen


def ending(status: int) -> str:
    """How a command in the guest ended; SSH has no status of one that a signal ended."""
    return "ended by a signal" if status < 0 else f"exit status {status}"


class Command(Frozen):
    """A command that was run in the guest, and the last lines of its standard error."""

    kind: Literal["command"] = "command"
    argv: tuple[str, ...]
    status: int
    seconds: float
    said: tuple[str, ...] = ()


class Count(Frozen):
    """A line of perf stat; `running` is the share of the time on a counter, in per cent."""

    kind: Literal["count"] = "count"
    event: str
    state: Literal["counted", "not counted", "not supported"]
    value: int | float = 0
    runtime: int = 0
    running: float = 0.0


class Period(Frozen):
    """A sample of perf record: when (ns), and the period that ended there."""

    kind: Literal["period"] = "period"
    event: str
    time: int
    period: int


class Totals(Frozen):
    """What perf report says of all samples; `lost` counts lost samples and lost records."""

    kind: Literal["totals"] = "totals"
    samples: int
    lost: int


class Subtest(Frozen):
    """One result of perf test (by the tool's own number), or of a kernel selftest."""

    kind: Literal["subtest"] = "subtest"
    name: str
    number: str
    result: Literal["ok", "fail", "skip"]
    reason: str = ""
