# SPDX-License-Identifier: MIT
"""Guests judged as they end: what is the candidate's fault is said as soon as it is known."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.model import Cell, Plan, Role
from harness.run.judged import Judge, reference_of
from harness.verdict.blame import blamed

_NAMED = 3


@dataclass
class Live:
    """Judges each scenario once both its guests are over, if one of them was booted.

    With `fail_fast`, the first fault ends the run, and `ended` says so.
    """

    plan: Plan
    judge: Judge
    say: Callable[[str], None]
    fail_fast: bool
    ended: str = ""
    failed: list[str] = field(default_factory=list)
    _over: set[str] = field(default_factory=set)
    _booted: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def over(self, cell: Cell, *, booted: bool) -> None:
        """A cell's guest is over."""
        with self._lock:
            self._over.add(cell.id)
            if booted:
                self._booted.add(cell.id)
            mine = self._candidate(cell)
            theirs = reference_of(mine, self.plan)
            pair = {mine.id, theirs.id} if theirs else {mine.id}
            if not pair <= self._over or not (self.fail_fast or pair & self._booted):
                return
            self._tell(mine, theirs)

    def _candidate(self, cell: Cell) -> Cell:
        """The candidate's guest that is judged with this one."""
        subject = self.plan.subjects[Role.CANDIDATE].name
        return cell.model_copy(update={"role": Role.CANDIDATE, "subject": subject})

    def _tell(self, mine: Cell, theirs: Cell | None) -> None:
        after = self.judge.cell(mine).verdicts
        before = self.judge.cell(theirs).verdicts if theirs else None
        faults = blamed(before, after, strict=self.plan.strict)
        if not faults:
            return
        self.failed.append(mine.scenario)
        checks = ", ".join(fault.check for fault in faults[:_NAMED])
        more = f" and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        self.say(f"FAIL  {mine.scenario}: {checks}{more}: {faults[0].measured}")
        if self.fail_fast and not self.ended:
            self.ended = f"not run: --fail-fast, after {faults[0].check} failed in {mine.scenario}"
