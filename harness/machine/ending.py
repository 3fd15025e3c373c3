# SPDX-License-Identifier: MIT
"""How a QEMU ended, in words: by itself or by a signal, sent likely by whom, and what to do."""

import re
from dataclasses import dataclass

# What QEMU says when it obeys SIGTERM, SIGINT or SIGHUP (qemu_kill_report(), softmmu/runstate.c).
_ASKED = re.compile(r"terminating on signal (\d+)(?: from pid (\d+)(?: \((.*)\))?)?")
_AGAIN = "find out who did that, then run it again"
_MEMORY = "free memory (free -h), or boot fewer guests at a time (--jobs 1); see dmesg"
_CRASH = "a crash of QEMU's own, or of an accelerator; its words are the evidence"

# (who sends it, most likely; what to do)
_CAUSES = {
    "SIGBUS": (
        "a file that QEMU maps has no room: the disk of the evidence is full",
        "make room on that disk (df -h)",
    ),
    "SIGXCPU": ("the host bounds the CPU time of a process", "allow more (ulimit -t)"),
    "SIGXFSZ": ("a file came to its bound", "see the evidence for what filled it"),
    "SIGSYS": (
        "QEMU's seccomp filter, of a system call that this QEMU makes here",
        "try another QEMU, with the evidence",
    ),
    **dict.fromkeys(
        ("SIGABRT", "SIGSEGV", "SIGILL", "SIGFPE", "SIGTRAP"),
        (_CRASH, "run it again; if it ends so again, try another QEMU, with the evidence"),
    ),
}


def said(status: int, signal: str) -> str:
    """How it ended; `signal` is the name of the one that ended it, empty where none did."""
    return f"was ended by {signal}" if signal else f"ended with status {status}"


@dataclass(frozen=True)
class Asked:
    """Somebody asked QEMU to end, and it did: by which signal; who that was, where it says so."""

    number: int
    sender: str


def asked(words: str) -> Asked | None:
    """Who asked, from QEMU's own words."""
    found = _ASKED.search(words)
    if not found:
        return None
    number, pid, name = found.groups()
    sender = " from process " + pid if pid else ""
    return Asked(int(number), sender + (f" ({name})" if name else ""))


def cause(signal: str, oom_kills: int | None) -> tuple[str, str]:
    """(who ended it, most likely; what to do), by the name of the signal.

    `oom_kills` is how many processes the host killed meanwhile for want of memory, None
    where it does not say.
    """
    if signal != "SIGKILL":
        return _CAUSES.get(signal, ("a person or a program of the host", _AGAIN))
    if oom_kills is None:
        return "the host's kernel for want of memory, or a person", _MEMORY
    if oom_kills:
        count = f"the host's kernel killed {oom_kills} processes for want of memory meanwhile"
        return f"{count} (oom_kill in /proc/vmstat): most likely this one", _MEMORY
    others = "a person, or what bounds a job's time"
    return f"{others}: the host's kernel was not short of memory (oom_kill in /proc/vmstat)", _AGAIN
