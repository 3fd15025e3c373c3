# SPDX-License-Identifier: MIT
"""Which verdicts on a scenario that nobody wrote tell of a fault of the candidate's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.checks import ALWAYS, CHECKS
from harness.model import HEALTH, Status, Verdict

# What holds for every scenario.
HOLDS = (HEALTH, *ALWAYS)
# What only its own scenarios provoke, or what needs more than events and steps.
_SPECIAL = ("cost.", "tool.", "trace.", "programming.", "reproducer.", "contexts.answers")
# What may hold, where the reference says that it does.
ASKED = tuple(check for check in CHECKS if check not in ALWAYS and not check.startswith(_SPECIAL))


@dataclass(frozen=True)
class Suspicion:
    """A check that the candidate fails, and its reference does not.

    One is `sure` that holds for every scenario; any other needs the reference's pass, and to
    be seen again in guests that begin a little later.
    """

    verdict: Verdict
    sure: bool

    @property
    def check(self) -> str:
        """The check's name."""
        return self.verdict.check


def suspicions(
    candidate: Sequence[Verdict], reference: Sequence[Verdict] | None
) -> list[Suspicion]:
    """What the verdicts on a candidate's guest tell, beside those on the reference's same one."""
    theirs: Mapping[str, Verdict] = {verdict.check: verdict for verdict in reference or ()}
    found = []
    for verdict in candidate:
        if verdict.status is not Status.FAIL:
            continue
        sure = verdict.check in HOLDS
        before = theirs.get(verdict.check)
        if sure and (before is None or before.status is not Status.FAIL):
            found.append(Suspicion(verdict, sure=True))
        elif not sure and before is not None and before.status is Status.PASS:
            found.append(Suspicion(verdict, sure=False))
    return sorted(found, key=lambda one: not one.sure)


def undecided(verdicts: Sequence[Verdict]) -> str:
    """Why a guest could not be judged; empty if it was."""
    torn = (v for v in verdicts if v.check in HOLDS and v.status is Status.ERROR)
    return next((verdict.measured for verdict in torn), "")
