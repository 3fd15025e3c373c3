# SPDX-License-Identifier: MIT
"""What comes out of a run, and of many: what results.json and mutants.json hold."""

from typing import Literal

from harness.model.base import Frozen
from harness.model.noise import Noise
from harness.model.plan import Cell
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


class RunResult(Frozen):
    """The whole run: what `results.json` holds."""

    schema_version: Literal[1] = 1
    command: str
    plan: str
    started: str
    seconds: float
    status: Status
    headline: str
    claim: dict[str, bool]
    cells: tuple[CellResult, ...]
    failures: tuple[str, ...] = ()


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
