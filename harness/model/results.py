# SPDX-License-Identifier: MIT
"""What comes out of a run, and of many: what results.json and mutants.json hold."""

from enum import Enum
from typing import Literal

from harness.model.base import Frozen
from harness.model.coverage import Coverage
from harness.model.noise import Noise
from harness.model.plan import Cell, PatchInfo
from harness.model.promises import Kept
from harness.model.verdict import Outcome, Status, Verdict


class Repetition(Frozen):
    """A guest of a cell in the statistical regime: how it ended, what it says by itself.

    `noise` is what was recorded of the host, `noisy` what of it was beyond the limits.
    """

    cell: Cell
    outcome: Outcome
    verdicts: tuple[Verdict, ...]
    reused: bool = False
    seconds: float = 0.0
    noise: Noise | None = None
    noisy: tuple[str, ...] = ()


class CellResult(Frozen):
    """A cell with its outcome and its verdicts.

    Where there are `repetitions`, the verdicts are what these come to, the outcome the
    first that is not as it should be, and the seconds those of all.
    """

    cell: Cell
    outcome: Outcome
    verdicts: tuple[Verdict, ...]
    repeat: str
    reused: bool = False
    seconds: float = 0.0
    repetitions: tuple[Repetition, ...] = ()

    @property
    def guests(self) -> "tuple[CellResult | Repetition, ...]":
        """Each guest: the repetitions, or the only one."""
        return self.repetitions or (self,)

    @property
    def shown(self) -> Cell:
        """The cell of the guest that stands for all where one is drawn: the first."""
        return self.guests[0].cell


class Change(Enum):
    """What became of a check in a scenario, from the reference to the candidate."""

    BROKEN = "broken"
    FIXED = "fixed"
    STILL_FAILING = "still failing"
    # The reference's was not measured, or skipped; the candidate's passes.
    NEW = "new"
    # The candidate's is skipped, and the reference's was not.
    GONE = "gone"
    # One of the two does not decide.
    UNDECIDED = "undecided"
    STILL_PASSING = "still passing"


class Changed(Frozen):
    """One check in one scenario that does not just go on passing."""

    change: Change
    scenario: str
    check: str
    reference: str
    candidate: str


class Part(Enum):
    """What of a machine's guests a changed file is a part of."""

    IMAGE = "in the image"
    SELFTESTS = "in the selftests"
    # Compiled into the image, which is the reference's, byte for byte.
    WITHOUT_EFFECT = "built, without effect"
    NOT_BUILT = "not built"
    # Documentation, tools, a file's mode.
    NO_KERNEL = "in no kernel"


class TouchedFile(Frozen):
    """A file that the candidate's patches change, and what of the guests it is a part of."""

    path: str
    part: Part
    why: str = ""


class RunResult(Frozen):
    """The whole run: what `results.json` holds.

    `changes` has what did not just go on passing, where there is a reference; `touched` the
    files that the candidate changes of it, where both were built; `exercised` is False where
    nothing of them is in a guest, so that nothing was judged; `strict` is the plan's.
    `coverage` says which of their lines ran, where that is known.
    `ended` says how much of it was not run, where it was ended at the first fault, and which.
    `patches` are the candidate's, `title` is their `cover` letter's, `notes` what was left out.
    """

    schema_version: Literal[1] = 1
    command: str
    plan: str
    started: str
    seconds: float
    status: Status
    headline: str
    claim: dict[str, bool]
    changes: tuple[Changed, ...] = ()
    touched: tuple[TouchedFile, ...] = ()
    exercised: bool = True
    coverage: Coverage | None = None
    strict: bool = False
    title: str = ""
    cover: PatchInfo | None = None
    patches: tuple[PatchInfo, ...] = ()
    notes: tuple[str, ...] = ()
    cells: tuple[CellResult, ...]
    failures: tuple[str, ...] = ()
    ended: str = ""


class Kill(Frozen):
    """What became of one saboteur on one kernel.

    `turned` are the checks that failed, `missed` those meant to that did not;
    `scenarios` say where each failed; `false_alarms` are the clean kernel's.
    """

    saboteur: str
    title: str
    kernel: str
    turned: tuple[str, ...]
    missed: tuple[str, ...]
    false_alarms: tuple[str, ...]
    scenarios: dict[str, tuple[str, ...]]
    explanation: str
    failures: tuple[str, ...]
    evidence: str
    checks: tuple[str, ...]

    @property
    def as_meant(self) -> bool:
        """True if every check that was meant to turn did."""
        return bool(self.turned) and not self.missed


class KillMatrix(Frozen):
    """All saboteurs on all kernels: what `mutants.json` holds."""

    kills: tuple[Kill, ...]

    @property
    def survivors(self) -> list[Kill]:
        """Those that no check caught, or not the one that was meant to."""
        return [kill for kill in self.kills if not kill.as_meant]

    @property
    def false_alarms(self) -> list[str]:
        """What failed on a clean kernel, each once."""
        return list(dict.fromkeys(alarm for kill in self.kills for alarm in kill.false_alarms))


class LadderRow(Frozen):
    """What became of one kernel on one machine.

    `tally` has how many verdicts there are of each status, over `guests`; `release` is the
    kernel's own, empty where nothing is known of it; `exit` what `run` would exit with, and
    `trouble` the first words of what is not as it should be; `kept` which of the promises
    that were asked for it keeps to.
    """

    kernel: str
    source: str
    release: str = ""
    machine: str
    exit: int
    tally: dict[str, int] = {}
    guests: int = 0
    seconds: float
    trouble: tuple[str, ...] = ()
    evidence: str = ""
    kept: tuple[Kept, ...] = ()


class Ladder(Frozen):
    """All kernels on all machines: what `ladder.json` holds."""

    schema_version: Literal[1] = 1
    rows: tuple[LadderRow, ...]
