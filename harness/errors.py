# SPDX-License-Identifier: MIT
"""Failures that a user sees, each with whose fault it is and what to do next."""

import errno
import traceback
from enum import Enum, IntEnum
from pathlib import Path

_SHOWN_LINES = 12
_REPORT = "report it with these lines: it is a bug of pmu-harness, not of a kernel"
_LOOK = "see what lies there (ls -ld); where nothing is wrong with it, report it with these lines"

# What helps where the system refuses something, by the errno values that it does so with.
_ADVICE = {
    "make room on that disk, or ask for a larger quota (df -h, df -i, quota)": (
        *(errno.ENOSPC, errno.EDQUOT),
    ),
    "see whose it is, and as whom this runs (ls -ld, id)": (errno.EACCES, errno.EPERM),
    "choose a place that can be written to: this one is mounted read-only": (errno.EROFS,),
    "choose a shorter name, or a place with a shorter path": (errno.ENAMETOOLONG,),
    "free memory (free -h), or boot fewer guests at a time (--jobs 1)": (errno.ENOMEM,),
    "allow more open files (ulimit -n), or boot fewer guests at a time (--jobs 1)": (
        *(errno.EMFILE, errno.ENFILE),
    ),
    "allow more processes (ulimit -u), or boot fewer guests at a time (--jobs 1)": (errno.EAGAIN,),
    "allow larger files (ulimit -f)": (errno.EFBIG,),
    "see the kernel's log (dmesg): the disk, or what is mounted there, fails": (
        *(errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO),
    ),
}


class Exit(IntEnum):
    """Exit codes, stable."""

    PASS = 0
    FAIL = 1
    PLAN = 2
    ERROR = 3
    INTERRUPTED = 130
    UNREAD = 141  # As SIGPIPE ends who writes to a pipe that nobody reads.


class Blame(Enum):
    """Whose fault a failure is."""

    PLAN = "plan"
    HOST = "host"
    SUBJECT = "subject"

    @property
    def exit_code(self) -> Exit:
        """The exit code of a run that ends by this fault."""
        return {Blame.PLAN: Exit.PLAN, Blame.HOST: Exit.ERROR, Blame.SUBJECT: Exit.FAIL}[self]


def _shortened(text: str) -> str:
    """A long output's first lines, which tell the cause, and its last."""
    lines = text.splitlines()
    if len(lines) <= 2 * _SHOWN_LINES:
        return text
    return "\n".join([*lines[:_SHOWN_LINES], "...", *lines[-_SHOWN_LINES:]])


def advice_on(error: OSError) -> str:
    """What a person can do about it; empty where its errno alone does not tell."""
    return next((advice for advice, numbers in _ADVICE.items() if error.errno in numbers), "")


class HarnessError(Exception):
    """Something that ends a run or a cell: what happened, why, where to look, what to do."""

    blame = Blame.HOST

    def __init__(
        self,
        what: str,
        *,
        why: str = "",
        evidence: Path | None = None,
        advice: str = "",
    ) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.evidence = evidence
        self.advice = advice

    def lines(self) -> list[str]:
        """The failure as labelled lines, for a terminal or a log."""
        rows = [("error", self.what), ("why", _shortened(self.why))]
        rows += [("evidence", str(self.evidence or "")), ("next", self.advice)]
        return [
            f"{label + ':':<10}" + text.rstrip().replace("\n", "\n" + " " * 10)
            for label, text in rows
            if text
        ]


class PlanError(HarnessError):
    """What was asked for does not exist, or contradicts itself."""

    blame = Blame.PLAN


class HostError(HarnessError):
    """The host, or the harness itself, could not do its part."""

    blame = Blame.HOST

    @classmethod
    def instead_of(cls, error: HarnessError, whose: str, advice: str) -> "HostError":
        """A failure that looks like a subject's, of something that is none."""
        what = f"{whose}: {error.what}"
        return cls(what, why=error.why, evidence=error.evidence, advice=advice)

    @classmethod
    def of(cls, error: Exception) -> "HostError":
        """Any exception that nobody foresaw: what the system refused, or a bug of the harness."""
        if isinstance(error, HostError):
            return error
        if isinstance(error, OSError) and (advice := advice_on(error)):
            return cls(str(error), advice=advice)
        where = "".join(traceback.format_exception(error))
        if isinstance(error, OSError) and error.errno:
            return cls(str(error), why=where, advice=_LOOK)
        what = f"the harness failed: {type(error).__name__}: {error}".rstrip(": ")
        return cls(what, why=where, advice=_REPORT)


class OwnPartError(HostError):
    """What the harness adds to a kernel, its config or its module, does not go with it.

    A candidate's fault only where the reference took it: the run says so.
    """


class SubjectError(HarnessError):
    """The kernel under test is at fault: its patch, its build or its boot."""

    blame = Blame.SUBJECT


class PatchError(SubjectError):
    """A patch does not apply."""


class BuildError(SubjectError):
    """A kernel, or a module against it, does not compile."""
