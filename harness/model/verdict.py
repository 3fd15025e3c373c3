# SPDX-License-Identifier: MIT
"""How a guest ended, what a check found, and the known defects that explain a failure."""

import re
from datetime import date
from enum import Enum
from typing import Literal

from pydantic import Field

from harness.model.base import ALL_VERSIONS, Frozen, VersionRange
from harness.model.rows import Machine

# Whether a guest got through, and whether its calls were taken: what all others stand upon.
HEALTH = "kernel.health"
CALLS = "kernel.calls"
# How a verdict begins that says nothing of the kernel: the guest did not get so far.
NOT_MEASURED = "not measured: "


class Status(Enum):
    """A verdict, from best to worst."""

    PASS = "pass"
    SKIP = "skip"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"
    FAIL = "fail"


class Verdict(Frozen):
    """What one check found in one cell.

    `evidence` has the first lines of what was found, `faults` says how many there are of each
    kind in all (harness/verdict/faults.py).
    """

    check: str
    status: Status
    measured: str
    expected: str
    evidence: tuple[str, ...] = ()
    faults: dict[str, int] = {}
    metrics: dict[str, int | float] = {}


class GuestEnd(Enum):
    """How a guest's run ended."""

    NOT_STARTED = "not started"
    DONE = "done"
    REPORT = "report"
    PANIC = "panic"
    OOPS = "oops"
    WARNING = "warning"
    STALL = "stall"
    HANG = "hang"
    FLOOD = "flood"
    INIT_FAILED = "init failed"
    STEP_FAILED = "step failed"
    STOPPED_EARLY = "stopped early"
    QEMU_FAILED = "qemu failed"
    HARNESS_FAILED = "harness failed"


class Outcome(Frozen):
    """How one cell's guest ended, with the lines that say so.

    `reports` are the first lines of all that its kernel said of itself: crashes, warnings,
    what debug tools found.
    """

    end: GuestEnd
    stage: Literal["boot", "batch", "none"]
    summary: str
    evidence: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()


class Erratum(Frozen):
    """A known defect of kernels or emulators that is not a patch's fault.

    `excuses` maps scenarios (or any) to the checks that it makes fail; it explains the lines
    of evidence that match `matching` (a regular expression), and no others.
    It may be one `architecture`'s, or one `machine`'s, only.
    What shows `by_chance` need not show in the reference as well.
    """

    name: str
    what: str
    source: str
    versions: VersionRange = ALL_VERSIONS
    architecture: str | None = None
    machine: str | None = None
    excuses: dict[str, tuple[str, ...]]
    matching: str
    by_chance: bool = False

    def concerns(self, scenario: str, check: str, version: str, machine: Machine) -> bool:
        """True if it may make a check fail there, on a kernel release."""
        excused = self.excuses.get(scenario, ()) + self.excuses.get("any", ())
        return (
            version in self.versions
            and self.architecture in (None, machine.architecture)
            and self.machine in (None, machine.name)
            and check in excused
        )

    def explains(self, line: str) -> bool:
        """True if a line of evidence tells of this defect."""
        return re.search(self.matching, line) is not None


class KnownIssue(Frozen):
    """A failure that a person knows of, in the form of an erratum, until a day.

    `reason` says why it is not to be looked at, `link` where it is dealt with.
    """

    reason: str = Field(min_length=1)
    link: str = Field(pattern=r"^https?://\S+$")
    expires: date
    versions: VersionRange = ALL_VERSIONS
    architecture: str | None = None
    machine: str | None = None
    excuses: dict[str, tuple[str, ...]] = Field(min_length=1)
    matching: str = ""
    by_chance: bool = False

    def erratum(self, name: str) -> Erratum:
        """What it excuses."""
        return Erratum(
            name=name,
            what=f"known until {self.expires}: {self.reason}",
            source=self.link,
            versions=self.versions,
            architecture=self.architecture,
            machine=self.machine,
            excuses=self.excuses,
            matching=self.matching,
            by_chance=self.by_chance,
        )
