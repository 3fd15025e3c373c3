# SPDX-License-Identifier: MIT
"""Blame: what a candidate changed of its reference's verdicts, and what it claims to."""

from collections.abc import Iterator, Sequence

from harness.model import (
    CALLS,
    HEALTH,
    NOT_MEASURED,
    CellResult,
    Change,
    Changed,
    Plan,
    Role,
    Status,
    Verdict,
)
from harness.verdict.faults import worse

_UNDECIDED = (Status.ERROR, Status.INCONCLUSIVE)


def change(reference: Verdict | None, candidate: Verdict) -> Change:
    """What became of one check in one scenario; one that the reference lacks it skips.

    A check that fails on both is broken all the same where the candidate's faults are of
    another kind, or more (harness/verdict/faults.py).
    """
    before = reference.status if reference else Status.SKIP
    after = candidate.status
    if allowed_now(reference, candidate):
        return Change.FIXED
    if after is Status.FAIL:
        # The calls are judged by the reference's own, however far it came.
        if before is Status.ERROR and candidate.check != CALLS:
            return Change.UNDECIDED
        if reference is None or before is not Status.FAIL:
            return Change.BROKEN
        more = worse(candidate.faults, reference.faults)
        return Change.BROKEN if more else Change.STILL_FAILING
    if after in _UNDECIDED:
        return Change.UNDECIDED
    if after is Status.SKIP:
        return Change.STILL_PASSING if before is Status.SKIP else Change.GONE
    if before is Status.FAIL:
        return Change.FIXED
    return Change.STILL_PASSING if before is Status.PASS else Change.NEW


def allowed_now(reference: Verdict | None, candidate: Verdict) -> bool:
    """True if the candidate goes on where a call of the reference's stopped the probe."""
    if reference is None or candidate.check != CALLS or unmeasured(reference):
        return False
    return (reference.status, candidate.status) == (Status.ERROR, Status.PASS)


def unmeasured(verdict: Verdict) -> bool:
    """True if the guest did not get so far, or its records do not tell."""
    return verdict.status is Status.ERROR and verdict.measured.startswith(NOT_MEASURED)


def consequence(verdict: Verdict, cell: CellResult) -> bool:
    """True if a check was not measured because of what the kernel did: that is judged itself."""
    return unmeasured(verdict) and any(
        v.status is Status.FAIL and v.check in (HEALTH, CALLS) for v in cell.verdicts
    )


def pairs(
    results: tuple[CellResult, ...],
) -> Iterator[tuple[CellResult, Verdict | None, Verdict]]:
    """(the candidate's cell, the reference's verdict, the candidate's) of each check."""
    references = {
        result.cell.scenario: {verdict.check: verdict for verdict in result.verdicts}
        for result in results
        if result.cell.role is Role.REFERENCE
    }
    for result in results:
        if result.cell.role is Role.CANDIDATE and result.cell.scenario in references:
            before = references[result.cell.scenario]
            for verdict in result.verdicts:
                yield result, before.get(verdict.check), verdict


def blamed(
    before: Sequence[Verdict] | None, after: Sequence[Verdict], *, strict: bool
) -> list[Verdict]:
    """Of one scenario's verdicts on the candidate those that are its fault.

    `before` are the reference's, None where there is none: then each failure is the
    candidate's, as with `strict`.
    """
    theirs = {verdict.check: verdict for verdict in before or ()}
    wanted = (Change.BROKEN, Change.STILL_FAILING) if strict else (Change.BROKEN,)
    return [
        verdict
        for verdict in after
        if verdict.status is Status.FAIL
        and (before is None or change(theirs.get(verdict.check), verdict) in wanted)
    ]


def changes(results: tuple[CellResult, ...]) -> tuple[Changed, ...]:
    """What did not just go on passing; nothing without a reference.

    What was not measured because the guest broke down is no change of its own.
    """
    found = []
    for cell, before, after in pairs(results):
        what = change(before, after)
        if what is not Change.STILL_PASSING and not consequence(after, cell):
            found.append(
                Changed(
                    change=what,
                    scenario=cell.cell.scenario,
                    check=after.check,
                    reference=f"{before.status.value}: {before.measured}" if before else "",
                    candidate=f"{after.status.value}: {after.measured}",
                )
            )
    return tuple(found)


# --- what a series claims -----------------------------------------------------


def worst(verdicts: tuple[Verdict, ...]) -> Status:
    """The worst status; pass for no verdict at all."""
    order = list(Status)
    return max((verdict.status for verdict in verdicts), key=order.index, default=Status.PASS)


def by_check(results: tuple[CellResult, ...], role: Role) -> dict[str, Status]:
    """Each check's worst status over the cells of a role; a skip counts where all are."""
    found: dict[str, list[Verdict]] = {}
    for result in results:
        if result.cell.role is role:
            for verdict in result.verdicts:
                found.setdefault(verdict.check, []).append(verdict)
    decided = {
        check: [verdict for verdict in verdicts if verdict.status is not Status.SKIP] or verdicts
        for check, verdicts in found.items()
    }
    return {check: worst(tuple(verdicts)) for check, verdicts in decided.items()}


def judge_claim(plan: Plan, results: tuple[CellResult, ...]) -> dict[str, bool]:
    """For each check claimed: does it turn from fail to pass (`fixes`), or fail (`breaks`)?

    What a series fixes takes a reference to be seen; without one it is not judged.
    Nor is a check that no scenario of the run asks, or that turns on another architecture.
    """
    before, after = by_check(results, Role.REFERENCE), by_check(results, Role.CANDIDATE)
    asked = before.keys() | after.keys()
    claim = plan.claim.on(plan.machine.architecture)
    fixes = claim.fixes if Role.REFERENCE in plan.subjects else ()
    held = {
        check: before.get(check) is Status.FAIL and after.get(check) is Status.PASS
        for check in fixes
        if check in asked
    }
    return held | {
        check: after.get(check) is Status.FAIL for check in claim.breaks if check in asked
    }
