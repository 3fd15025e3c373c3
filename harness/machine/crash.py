# SPDX-License-Identifier: MIT
"""What a console says of how a guest ended: milestones, panic, oops, WARN, stall."""

import re
from dataclasses import dataclass
from typing import Literal

from harness.model import GuestEnd, Outcome

READY = "pmu-harness: ready"
DONE = "pmu-harness: done"
_STEP = re.compile(r"^pmu-harness: step (\d+): (.*)$", re.MULTILINE)

_PROGRAM_COUNTER = re.compile(r"\b(?:PC|RIP)=\s*([0-9a-f]{8,16})", re.IGNORECASE)
_CODE = frozenset("tTwW")  # nm(1)
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_STAMP = re.compile(r"^\[\s*\d+\.\d+\]\s?(\[\s*[TC]\d+\]\s?)?", re.MULTILINE)

# First match wins: an oops that panics is told by its oops.  Sources:
# arch/*/mm/fault.c and die() ("Internal error", "BUG:", "Unable to handle"; x86 gives
# each trap its name: "divide error: 0000 [#1]"), arch/x86/kernel/nmi.c and mm/extable.c,
# kernel/watchdog.c, kernel/hung_task.c, kernel/rcu/tree_stall.h, kernel/panic.c.
_SIGNS: tuple[tuple[GuestEnd, re.Pattern[str]], ...] = (
    (
        GuestEnd.STALL,
        re.compile(
            r"watchdog: BUG: soft lockup|rcu: INFO: .*\bdetected\b.*stall"
            r"|INFO: task .* blocked for more than"
        ),
    ),
    (
        GuestEnd.OOPS,
        re.compile(
            r"Unable to handle kernel|Internal error: |BUG: |kernel BUG at |Oops: "
            r"|: [0-9a-f]{4} \[#\d+\]"
        ),
    ),
    (GuestEnd.INIT_FAILED, re.compile(r"No working init found|Attempted to kill init!")),
    (GuestEnd.PANIC, re.compile(r"Kernel panic - not syncing")),
    (
        GuestEnd.WARNING,
        re.compile(
            r"WARNING: (?:CPU: \d+ PID: \d+ at )?\S+|NMI received for unknown reason"
            r"|unchecked MSR access error: "
        ),
    ),
)
# What guest-images/outer/launch.c says, and QMP (qapi/run-state.json, SHUTDOWN).
_INNER_STATUS = re.compile(
    r"^launch: (QEMU (?:ended with status (\d+)|was ended by .*))$", re.MULTILINE
)
_INNER_REASON = re.compile(r'"event": "SHUTDOWN", .*"reason": "([a-z-]+)"')
_EVIDENCE_LINES = 16
_REPORT_LINES = 80
# Of x86 the kernel's: 0033 is what user space was at.
_REGISTER = re.compile(r"(?:pc|lr) : |RIP: 0010:")
_TRACE = re.compile(r"Call [Tt]race:")
# A frame that the unwinder only found on the stack, or a stack's name.
_NO_FRAME = re.compile(r"\s*(?:\? |</?[A-Z]+>)")


@dataclass(frozen=True)
class InnerEnd:
    """How a QEMU in an outer system ended: in words, its status (None of a signal), and why."""

    said: str
    status: int | None
    reason: str


def inner_end(console: str) -> InnerEnd | None:
    """What an outer system's console says of its guest's end; None if it does not come to that."""
    found = _INNER_STATUS.search(console)
    if not found:
        return None
    reasons = _INNER_REASON.findall(console)
    return InnerEnd(found[1], int(found[2]) if found[2] else None, reasons[-1] if reasons else "")


def clean(console: bytes) -> str:
    """A console's text without escape sequences and control characters."""
    text = console.decode("utf-8", errors="replace").replace("\r\n", "\n")
    return _CONTROL.sub("", text)


def _telling(lines: list[str]) -> list[str]:
    """Of a crash report: its first line, where the CPU was, and the innermost frames."""
    where = [line for line in lines[:_REPORT_LINES] if _REGISTER.match(line)][:2]
    trace = next((i for i, line in enumerate(lines) if _TRACE.match(line)), None)
    if not where or trace is None:
        return lines[:_EVIDENCE_LINES]
    frames = [line for line in lines[trace:] if not _NO_FRAME.match(line)]
    return [lines[0], *where, *frames[: _EVIDENCE_LINES // 2]]


def _sign(text: str) -> tuple[GuestEnd, int] | None:
    for end, pattern in _SIGNS:
        if match := pattern.search(text):
            return end, text.rfind("\n", 0, match.start()) + 1
    return None


def stage(text: str) -> Literal["boot", "batch"]:
    """How far the guest came."""
    return "batch" if READY in text else "boot"


def locate(registers: str, symbols: str) -> str:
    """`function+0x10`: where the program counter is, from QEMU's `info registers`.

    `symbols` is a System.map.  Empty where the registers name no address of it.
    """
    match = _PROGRAM_COUNTER.search(registers)
    if not match:
        return ""
    address = int(match[1], 16)
    lines = [line.split() for line in symbols.splitlines()]
    table = [line for line in lines if len(line) == 3]
    # Code only: x86 has per-CPU variables at 0 and onwards, where user space is.
    code = [(int(start, 16), name) for start, kind, name in table if kind in _CODE]
    below = [entry for entry in code if entry[0] <= address]
    # Behind the kernel are its modules, of which the map knows nothing.
    beyond = any(name == "_end" and int(end, 16) <= address for end, _, name in table)
    if not below or beyond:
        return ""
    start, name = max(below)
    return f"{name}+{address - start:#x}"


def recognize(
    console: bytes, *, cause: GuestEnd | None = None, where: str = "", reason: str = ""
) -> Outcome:
    """How a guest ended, from its console.

    `cause` is what the host saw (a hang, a flood, QEMU's death) and holds where
    the console names nothing worse; `where` is the function that it hangs in,
    `reason` why QEMU says that the machine ended.
    """
    text = _STAMP.sub("", clean(console))
    sign = _sign(text)
    if sign:
        end, start = sign
        lines = _telling(text[start:].splitlines())
        return Outcome(
            end=end,
            stage=stage(text),
            summary=f"{end.value} {_where(text)}: {lines[0].strip()}",
            evidence=tuple(lines),
        )
    last = tuple(text.splitlines()[-_EVIDENCE_LINES:])
    if reason.startswith("host"):
        return Outcome(
            end=GuestEnd.QEMU_FAILED,
            stage=stage(text),
            summary=f"QEMU was ended from outside ({reason}) {_where(text)}",
            evidence=last[-4:],
        )
    if cause is not None:
        summary = f"{cause.value} {_where(text)}" + (f", in {where}" if where else "")
        return Outcome(end=cause, stage=stage(text), summary=summary, evidence=last[-4:])
    if DONE in text:
        return Outcome(end=GuestEnd.DONE, stage="batch", summary="done")
    return Outcome(
        end=GuestEnd.STOPPED_EARLY,
        stage=stage(text),
        summary=f"the machine stopped {_where(text)} without a word"
        + (f" ({reason})" if reason else ""),
        evidence=last,
    )


def step_failed(console: bytes, why: str) -> Outcome:
    """How a guest ended whose batch did not come further than a step that failed.

    The step's own words are the evidence.
    """
    text = _STAMP.sub("", clean(console))
    said = _STEP.split(text)[-1].partition(DONE)[0].splitlines()
    return Outcome(
        end=GuestEnd.STEP_FAILED,
        stage="batch",
        summary=f"{GuestEnd.STEP_FAILED.value} {_where(text)}: {why}",
        evidence=tuple(line for line in said if line)[-_EVIDENCE_LINES:],
    )


def _where(text: str) -> str:
    steps = _STEP.findall(text)
    if steps:
        number, command = steps[-1]
        return f"in step {number} ({command})"
    return "before the batch" if READY in text else "while booting"
