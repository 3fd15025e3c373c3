# SPDX-License-Identifier: MIT
"""From observations to verdicts, from verdicts to the status of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.checks import CHECKS, Observation
from harness.checks.base import NOT_MEASURED, REFUSED
from harness.guest.callback_records import Observer
from harness.guest.records import Lost, ProbeError, Records, Refused
from harness.model import (
    Cell,
    CellResult,
    Erratum,
    GuestEnd,
    Noise,
    Outcome,
    Plan,
    Regime,
    Repetition,
    Role,
    Scenario,
    Status,
    Verdict,
)
from harness.verdict.repetitions import Said, combine, combine_health, excess, judge_one

HEALTH = "kernel.health"
EVIDENCE_LINES = 5
_HOST_ENDS = (GuestEnd.QEMU_FAILED, GuestEnd.HARNESS_FAILED, GuestEnd.NOT_STARTED)


@dataclass(frozen=True)
class Observed:
    """One cell as it lies on disk: how the guest ended, its records, the host's noise."""

    outcome: Outcome
    records: Records
    noise: Noise | None = None


def judge_health(outcome: Outcome, reference: Outcome | None) -> Verdict:
    """Did the guest get through without panic, oops, WARN, stall or hang?

    The subject is blamed only if the reference, where there is one, got through; for a step
    of the harness's own that failed, only with a reference.
    """
    expected = "the batch done; no panic, oops, WARN, stall"
    if outcome.end is GuestEnd.DONE:
        return Verdict(check=HEALTH, status=Status.PASS, measured="done", expected=expected)
    alone = reference is None and outcome.end is not GuestEnd.STEP_FAILED
    got_through = alone or (reference is not None and reference.end is GuestEnd.DONE)
    blamed = got_through and outcome.end not in _HOST_ENDS
    return Verdict(
        check=HEALTH,
        status=Status.FAIL if blamed else Status.ERROR,
        measured=outcome.summary,
        expected=expected,
        evidence=outcome.evidence,
    )


def _not_measured(check: str, why: str) -> Verdict:
    return Verdict(
        check=check, status=Status.ERROR, measured=NOT_MEASURED + why, expected="a measurement"
    )


def _obstacle(observed: Observed) -> str:
    """Why a cell's records cannot be judged; empty if they can."""
    records = observed.records
    errors = records.of(ProbeError)
    if errors:
        first = errors[0]
        return f"the probe could not go on: {first.what}: {first.text} (errno {first.errno})"
    if not records.complete or observed.outcome.end is GuestEnd.STEP_FAILED:
        return observed.outcome.summary
    lost = sum(record.lost for record in records.of(Lost))
    if lost:
        return f"the ring was too small: {lost} records lost"
    for log in records.of(Observer):
        if log.kept < log.calls:
            return f"the callback log was too small: {log.kept} of {log.calls} calls kept"
    return ""


def _lacks(scenario: Scenario, observed: Observed, reference: Observed | None) -> Verdict | None:
    """The verdict on every check where the kernel refused an event; None where it did not.

    A skip where the scenario allows for that, and the reference, as far as it got,
    lacks it too.
    """
    refused = observed.records.of(Refused)
    if not refused:
        return None
    first = refused[0]
    measured = f"{REFUSED}{first.name}: {first.text} (errno {first.errno})"
    allowed = first.name in scenario.may_lack
    if reference and not _obstacle(reference) and not reference.records.of(Refused):
        status = Status.FAIL
    else:
        status = Status.SKIP if allowed else Status.ERROR
    return Verdict(check="", status=status, measured=measured, expected="an event that counts")


def _shortened(verdict: Verdict) -> Verdict:
    """With the first lines of its evidence only."""
    lines = verdict.evidence
    if len(lines) <= EVIDENCE_LINES:
        return verdict
    kept = (*lines[:EVIDENCE_LINES], f"... and {len(lines) - EVIDENCE_LINES} more")
    return verdict.model_copy(update={"evidence": kept})


def _excused(verdict: Verdict, erratum: Erratum) -> Verdict:
    """A failure that a known defect explains: a skip, with the failure as its proof."""
    return verdict.model_copy(
        update={
            "status": Status.SKIP,
            "measured": f"{verdict.measured}: erratum {erratum.name}",
            "evidence": (erratum.what, f"({erratum.source})", *verdict.evidence),
        }
    )


def _answer(check: str, mine: Observation, theirs: Observation | None) -> Verdict:
    """A check's verdict on one observation, as the machine's regime has it."""
    if mine.machine.regime is Regime.EXACT:
        return CHECKS[check].judge(mine, theirs)
    return judge_one(CHECKS[check], mine, theirs)


def _judge_check(
    check: str, mine: Observation, theirs: Observation | None, plan: Plan, role: Role
) -> Verdict:
    """One check's verdict; a known defect that is not the candidate's own is no failure."""
    verdict = _answer(check, mine, theirs)
    scenario, version = mine.scenario.name, plan.subjects[role].version
    erratum = next(
        (e for e in plan.errata if e.covers(scenario, verdict, version, plan.machine)), None
    )
    if verdict.status is Status.FAIL and erratum:
        before = _answer(check, theirs, None) if theirs else None
        if erratum.by_chance or before is None or before.status is Status.FAIL:
            verdict = _excused(verdict, erratum)
    return _shortened(verdict)


def judge_cell(
    cell: Cell, plan: Plan, observed: Observed, reference: Observed | None
) -> tuple[Verdict, ...]:
    """The verdict of each of the scenario's checks, the kernel's health first."""
    scenario = next(s for s in plan.scenarios if s.name == cell.scenario)
    health = judge_health(observed.outcome, reference.outcome if reference else None)
    obstacle = _obstacle(observed)
    if obstacle:
        return (health, *(_not_measured(check, obstacle) for check in scenario.checks))
    lacking = _lacks(scenario, observed, reference)
    if lacking:
        return (
            health,
            *(lacking.model_copy(update={"check": check}) for check in scenario.checks),
        )
    version = plan.subjects[cell.role].version
    mine = Observation(observed.records, plan.machine, scenario, version)
    theirs = None
    if reference and not _obstacle(reference):
        version = plan.subjects[Role.REFERENCE].version
        theirs = Observation(reference.records, plan.machine, scenario, version)
    return (
        health,
        *(_judge_check(check, mine, theirs, plan, cell.role) for check in scenario.checks),
    )


def judge_all(plan: Plan, observed: Mapping[str, Observed]) -> dict[str, tuple[Verdict, ...]]:
    """Verdicts by cell id: each guest's by itself.

    Candidates are judged against the reference's same scenario and repetition.
    """
    references = {
        (cell.scenario, cell.repetition): observed[cell.id]
        for cell in plan.cells
        if cell.role is Role.REFERENCE
    }
    return {
        cell.id: judge_cell(
            cell,
            plan,
            observed[cell.id],
            references.get((cell.scenario, cell.repetition))
            if cell.role is Role.CANDIDATE
            else None,
        )
        for cell in plan.cells
    }


def judge_repetitions(
    plan: Plan, guests: Mapping[Cell, Sequence[Repetition]]
) -> dict[str, tuple[Verdict, ...]]:
    """Verdicts by the id of the whole cell: what those of its repetitions come to."""
    references = {
        cell.scenario: found for cell, found in guests.items() if cell.role is Role.REFERENCE
    }
    return {
        cell.id: tuple(
            _decide(plan, verdict.check, found, references.get(cell.scenario, ()))
            if cell.role is Role.CANDIDATE
            else _decide(plan, verdict.check, found, ())
            for verdict in found[0].verdicts
        )
        for cell, found in guests.items()
    }


def noisy(plan: Plan, observed: Observed) -> tuple[str, ...]:
    """What of the host's noise was beyond the plan's limits while a guest ran."""
    return excess(observed.noise, plan.noise_limits)


def _decide(
    plan: Plan, check: str, mine: Sequence[Repetition], theirs: Sequence[Repetition]
) -> Verdict:
    said = _said(check, mine)
    if check == HEALTH:
        return combine_health(said, [one.outcome.end for one in mine])
    tolerance = plan.machine.tolerances.get(check, 0.0)
    return combine(CHECKS[check], said, _said(check, theirs), tolerance)


def _said(check: str, repetitions: Sequence[Repetition]) -> list[Said]:
    """What each repetition says of one check."""
    return [
        Said(one.cell.repetition, verdict, one.noisy)
        for one in repetitions
        for verdict in one.verdicts
        if verdict.check == check
    ]


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


def _with_status(results: tuple[CellResult, ...], role: Role, *statuses: Status) -> dict[str, None]:
    """Checks that have one of these statuses in some cell of a role, in order."""
    return dict.fromkeys(
        verdict.check
        for result in results
        if result.cell.role is role
        for verdict in result.verdicts
        if verdict.status in statuses
    )


def _undecided_claims(plan: Plan, results: tuple[CellResult, ...]) -> list[str]:
    """Checks that the series fixes, of which the reference's data do not decide."""
    before = by_check(results, Role.REFERENCE)
    fixes = plan.claim.on(plan.machine.architecture).fixes
    return [f"{check} (reference)" for check in fixes if before.get(check) is Status.INCONCLUSIVE]


def judge_run(plan: Plan, results: tuple[CellResult, ...]) -> tuple[Status, str, dict[str, bool]]:
    """(status, headline, claim) of a run whose subjects were all built."""
    claim = judge_claim(plan, results)
    name = plan.subjects[Role.CANDIDATE].name
    failed = _with_status(results, Role.CANDIDATE, Status.FAIL)
    if failed:
        return Status.FAIL, f"{name} fails {', '.join(failed)}", claim
    crashed = [
        result
        for result in results
        if result.cell.role is Role.REFERENCE and result.outcome.end is not GuestEnd.DONE
    ]
    if crashed and HEALTH not in plan.claim.fixes:
        first = crashed[0]
        text = f"the reference {first.cell.subject} does not get through"
        return Status.ERROR, f"{text}: {first.outcome.summary}", claim
    undecided = list(_with_status(results, Role.CANDIDATE, Status.ERROR, Status.INCONCLUSIVE))
    undecided += [
        f"{check} (reference)" for check in _with_status(results, Role.REFERENCE, Status.ERROR)
    ]
    undecided += _undecided_claims(plan, results)
    if undecided:
        return Status.ERROR, f"no verdict: {', '.join(undecided)}", claim
    broken = [check for check, held in claim.items() if not held]
    if broken:
        text = f"its claim does not hold: {', '.join(broken)} did not turn"
        return Status.FAIL, f"{name} passes, and {text}", claim
    skipped = sum(
        verdict.status is Status.SKIP
        for result in results
        if result.cell.role is Role.CANDIDATE
        for verdict in result.verdicts
    )
    but = f" ({skipped} skipped, with proof)" if skipped else ""
    held = f"; the claim holds: {', '.join(claim)} turned from fail to pass" if claim else ""
    return Status.PASS, f"{name} passes every check{but}{held}", claim
