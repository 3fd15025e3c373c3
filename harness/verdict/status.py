# SPDX-License-Identifier: MIT
"""The status of a run, and its headline: what the candidate is blamed for, if anything."""

from collections.abc import Iterable
from dataclasses import dataclass

from harness.model import (
    HEALTH,
    CellResult,
    Change,
    Changed,
    Coverage,
    Plan,
    Role,
    Status,
    TouchedFile,
    Verdict,
)
from harness.verdict.blame import (
    allowed_now,
    by_check,
    changes,
    consequence,
    judge_claim,
    pairs,
    unmeasured,
)
from harness.verdict.coverage import short_of, unseen
from harness.verdict.exercise import exercised, unexercised, unjudged

# Of so many checks the headline names each.
_NAMED = 6


@dataclass(frozen=True)
class RunVerdict:
    """What a run comes to."""

    status: Status
    headline: str
    claim: dict[str, bool]
    changes: tuple[Changed, ...] = ()


def judge_run(
    plan: Plan,
    results: tuple[CellResult, ...],
    touched: tuple[TouchedFile, ...] | None = None,
    coverage: Coverage | None = None,
) -> RunVerdict:
    """The verdict on a run whose subjects were all built.

    The candidate answers for what it broke, and without a reference for all that fails.
    `touched` are the files that it changes of its reference, `coverage` what ran of them, None
    where there is none.
    """
    name = plan.subjects[Role.CANDIDATE].name
    if touched is not None and not exercised(touched):
        status = Status.PASS if plan.allow_unbuilt else Status.ERROR
        return RunVerdict(status, unexercised(name, plan.machine.name, touched), {})
    claim, changed = judge_claim(plan, results), changes(results)
    compared = Role.REFERENCE in plan.subjects

    def said(status: Status, headline: str) -> RunVerdict:
        return RunVerdict(status, headline, claim, changed)

    guilty = _checks(changed, Change.BROKEN) if compared else _failed(results)
    if guilty:
        verb = "breaks" if compared else "fails"
        return said(Status.FAIL, f"{name} {verb} {_listed(guilty)}")
    undecided = _undecided(plan, results, changed)
    if undecided:
        return said(Status.ERROR, f"no verdict: {_listed(undecided)}")
    if not _measured(plan, results):
        why = next(v.measured for v in _candidates(results) if v.check == HEALTH)
        return said(Status.ERROR, f"no verdict: nothing was measured: {why}")
    broken = [check for check, held in claim.items() if not held]
    if broken:
        text = f"its claim does not hold: {', '.join(broken)} did not turn"
        return said(Status.FAIL, f"{name} passes, and {text}")
    still = _checks(changed, Change.STILL_FAILING)
    if still and plan.strict:
        return said(Status.FAIL, f"{name} fails, as its reference does, {_listed(still)}")
    if compared and plan.fail_under is not None and (why := short_of(coverage, plan.fail_under)):
        return said(Status.ERROR, f"no verdict: {why}")
    praise = _praise(name, results, changed, claim)
    return said(Status.PASS, praise + unjudged(touched or ()) + unseen(coverage))


def _praise(
    name: str,
    results: tuple[CellResult, ...],
    changed: tuple[Changed, ...],
    claim: dict[str, bool],
) -> str:
    """The headline of a pass: what is fixed, skipped, claimed, and not this patch's."""
    still, fixed = _checks(changed, Change.STILL_FAILING), _checks(changed, Change.FIXED)
    text = f"{name} {'breaks nothing' if still else 'passes every check'}"
    skipped = sum(verdict.status is Status.SKIP for verdict in _candidates(results))
    if skipped:
        text += f" ({skipped} skipped, with proof)"
    if still:
        several = len(still) > 1
        text += (
            f"; {len(still)} check{'s fail' if several else ' fails'} on the reference as "
            f"well, not this patch's: {_listed(still)}"
        )
    if claim:
        text += f"; the claim holds: {', '.join(claim)} turned from fail to pass"
    elif fixed:
        text += f"; fixed: {_listed(fixed)}"
    return text


def _listed(checks: Iterable[str]) -> str:
    """Names with commas, no more than a headline has room for."""
    names = list(dict.fromkeys(checks))
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _checks(changed: tuple[Changed, ...], what: Change) -> list[str]:
    return list(dict.fromkeys(one.check for one in changed if one.change is what))


def _candidates(results: tuple[CellResult, ...]) -> list[Verdict]:
    """All verdicts on the candidate."""
    return [
        verdict
        for result in results
        if result.cell.role is Role.CANDIDATE
        for verdict in result.verdicts
    ]


def _measured(plan: Plan, results: tuple[CellResult, ...]) -> bool:
    """True if anything was measured of the candidate.

    Its health is no measurement, but where a reproducer was run: that is to crash it.
    """
    run = {scenario.name for scenario in plan.scenarios if scenario.reproducer}
    reproduced = any(
        result.cell.role is Role.CANDIDATE
        and result.cell.scenario in run
        and result.outcome.stage == "batch"
        for result in results
    )
    return reproduced or any(
        verdict.check != HEALTH and not unmeasured(verdict) for verdict in _candidates(results)
    )


def _failed(results: tuple[CellResult, ...]) -> list[str]:
    """The checks that the candidate fails."""
    return [verdict.check for verdict in _candidates(results) if verdict.status is Status.FAIL]


def _undecided(
    plan: Plan, results: tuple[CellResult, ...], changed: tuple[Changed, ...]
) -> list[str]:
    """Checks that nobody can say anything of, on the candidate and on the reference."""
    faulty = (Status.ERROR, Status.INCONCLUSIVE)
    allowed = {
        cell.cell.scenario for cell, before, after in pairs(results) if allowed_now(before, after)
    }
    found = _checks(changed, Change.UNDECIDED)
    for result in results:
        mine = result.cell.role is Role.CANDIDATE
        for verdict in result.verdicts:
            torn = verdict.status in (faulty if mine else (Status.ERROR,))
            if consequence(verdict, result) or (not mine and result.cell.scenario in allowed):
                continue
            if torn:
                found.append(verdict.check if mine else f"{verdict.check} (reference)")
    return list(dict.fromkeys(found)) + _undecided_claims(plan, results)


def _undecided_claims(plan: Plan, results: tuple[CellResult, ...]) -> list[str]:
    """Checks that the series fixes, of which the reference's data do not decide."""
    before = by_check(results, Role.REFERENCE)
    fixes = plan.claim.on(plan.machine.architecture).fixes
    return [f"{check} (reference)" for check in fixes if before.get(check) is Status.INCONCLUSIVE]
