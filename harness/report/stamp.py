# SPDX-License-Identifier: MIT
"""What tells a run's reports from those of another that found the same: when it was, how long.

Reports are made of a result with other numbers in their place, and are kept so; these are then
filled in.
"""

import re

from harness.model import RunResult

_STARTED = "1867-05-29T03:14:15Z"
_SECONDS = 98765432.1


def unstamped(result: RunResult) -> RunResult:
    """The result of any run that finds the same."""
    return result.model_copy(update={"started": _STARTED, "seconds": _SECONDS})


def stamped(report: bytes, result: RunResult) -> bytes:
    """A report that was made of an unstamped result, as this run's."""
    filled = {
        _STARTED: result.started,
        digits(_STARTED): digits(result.started),
        str(_SECONDS): f"{result.seconds:.1f}",
    }
    for mark, value in filled.items():
        report = report.replace(mark.encode(), value.encode())
    return report


def digits(started: str) -> str:
    """A time as a part of an id."""
    return re.sub(r"\D", "", started)
