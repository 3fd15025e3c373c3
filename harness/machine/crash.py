# SPDX-License-Identifier: MIT
"""How a guest ended, as its console tells: milestones, reports, its last words."""

import re
from dataclasses import dataclass
from typing import Literal

from harness.machine.reports import EVIDENCE_LINES, reports, worst
from harness.model import GuestEnd, Outcome

READY = "pmu-harness: ready"
DONE = "pmu-harness: done"
_STEP = re.compile(r"^pmu-harness: step (\d+): (.*)$", re.MULTILINE)

_PROGRAM_COUNTER = re.compile(r"\b(?:(?:PC|RIP)=|pc )\s*([0-9a-f]{8,16})", re.IGNORECASE)
_CODE = frozenset("tTwW")  # nm(1)
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_STAMP = re.compile(r"^\[\s*\d+\.\d+\]\s?(\[\s*[TC]\d+\]\s?)?", re.MULTILINE)

# What guest-images/outer/launch.c says, and QMP (qapi/run-state.json, SHUTDOWN).
_INNER_STATUS = re.compile(
    r"^launch: (QEMU (?:ended with status (\d+)|was ended by .*))$", re.MULTILINE
)
_INNER_REASON = re.compile(r'"event": "SHUTDOWN", .*"reason": "([a-z-]+)"')


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
    found = reports(text)
    report = worst(found)
    if report:
        return Outcome(
            end=report.end,
            stage=stage(text),
            summary=f"{report.end.value} {_where(text)}: {report.headline}",
            evidence=report.evidence,
            reports=tuple(one.headline for one in found),
        )
    last = tuple(text.splitlines()[-EVIDENCE_LINES:])
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
        evidence=tuple(line for line in said if line)[-EVIDENCE_LINES:],
    )


def _where(text: str) -> str:
    steps = _STEP.findall(text)
    if steps:
        number, command = steps[-1]
        return f"in step {number} ({command})"
    return "before the batch" if READY in text else "while booting"
