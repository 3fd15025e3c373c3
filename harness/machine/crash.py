# SPDX-License-Identifier: MIT
"""What a console says of how a guest ended: milestones, panic, oops, WARN, stall."""

import re
from typing import Literal

from harness.model import GuestEnd, Outcome

READY = "pmu-harness: ready"
DONE = "pmu-harness: done"
_STEP = re.compile(r"^pmu-harness: step (\d+): (.*)$", re.MULTILINE)

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_STAMP = re.compile(r"^\[\s*\d+\.\d+\]\s?(\[\s*[TC]\d+\]\s?)?", re.MULTILINE)

# First match wins: an oops that panics is told by its oops.  Sources:
# arch/*/mm/fault.c and die() ("Internal error", "BUG:", "Unable to handle"),
# kernel/watchdog.c, kernel/hung_task.c, kernel/rcu/tree_stall.h, kernel/panic.c.
_SIGNS: tuple[tuple[GuestEnd, re.Pattern[str]], ...] = (
    (
        GuestEnd.STALL,
        re.compile(
            r"watchdog: BUG: soft lockup|rcu: INFO: .* detected .*stall"
            r"|INFO: task .* blocked for more than"
        ),
    ),
    (
        GuestEnd.OOPS,
        re.compile(r"Unable to handle kernel|Internal error: |BUG: |kernel BUG at |Oops: "),
    ),
    (GuestEnd.INIT_FAILED, re.compile(r"No working init found|Attempted to kill init!")),
    (GuestEnd.PANIC, re.compile(r"Kernel panic - not syncing")),
    (GuestEnd.WARNING, re.compile(r"WARNING: (?:CPU: \d+ PID: \d+ at )?\S+")),
)
_EVIDENCE_LINES = 16


def clean(console: bytes) -> str:
    """A console's text without escape sequences and control characters."""
    text = console.decode("utf-8", errors="replace").replace("\r\n", "\n")
    return _CONTROL.sub("", text)


def _sign(text: str) -> tuple[GuestEnd, int] | None:
    for end, pattern in _SIGNS:
        if match := pattern.search(text):
            return end, text.rfind("\n", 0, match.start()) + 1
    return None


def stage(text: str) -> Literal["boot", "batch"]:
    """How far the guest came."""
    return "batch" if READY in text else "boot"


def recognize(console: bytes, *, cause: GuestEnd | None = None) -> Outcome:
    """How a guest ended, from its console.

    `cause` is what the host saw (a hang, a flood, QEMU's death) and holds where
    the console names nothing worse.
    """
    text = _STAMP.sub("", clean(console))
    sign = _sign(text)
    if sign:
        end, start = sign
        lines = text[start:].splitlines()[:_EVIDENCE_LINES]
        return Outcome(
            end=end,
            stage=stage(text),
            summary=f"{end.value} {_where(text)}: {lines[0].strip()}",
            evidence=tuple(lines),
        )
    last = tuple(text.splitlines()[-_EVIDENCE_LINES:])
    if cause is not None:
        return Outcome(
            end=cause, stage=stage(text), summary=f"{cause.value} {_where(text)}", evidence=last
        )
    if DONE in text:
        return Outcome(end=GuestEnd.DONE, stage="batch", summary="done")
    return Outcome(
        end=GuestEnd.STOPPED_EARLY,
        stage=stage(text),
        summary=f"the machine stopped {_where(text)} without a word",
        evidence=last,
    )


def _where(text: str) -> str:
    steps = _STEP.findall(text)
    if steps:
        number, command = steps[-1]
        return f"in step {number} ({command})"
    return "before the batch" if READY in text else "while booting"
