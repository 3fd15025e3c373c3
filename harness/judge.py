# SPDX-License-Identifier: MIT
"""From observations to verdicts, from verdicts to the status of a run."""

from collections.abc import Mapping
from dataclasses import dataclass

from harness.checks import CHECKS, Observation
from harness.guest.records import ProbeError, Records
from harness.model import (
    CellResult,
    GuestEnd,
    Outcome,
    Plan,
    Role,
    Scenario,
    Status,
    Verdict,
)

HEALTH = "kernel.health"
NOT_MEASURED = "not measured: "
_HOST_ENDS = (GuestEnd.QEMU_FAILED, GuestEnd.NOT_STARTED)


@dataclass(frozen=True)
class Observed:
    """One cell as it lies on disk: how the guest ended, and its records."""

    outcome: Outcome
    records: Records


def judge_health(outcome: Outcome, reference: Outcome | None) -> Verdict:
    """Did the guest get through without panic, oops, WARN, stall or hang?

    The subject is blamed only if the reference, where there is one, got through.
    """
    expected = "the batch done; no panic, oops, WARN, stall"
    if outcome.end is GuestEnd.DONE:
        return Verdict(check=HEALTH, status=Status.PASS, measured="done", expected=expected)
    blamed = outcome.end not in _HOST_ENDS and (reference is None or reference.end is GuestEnd.DONE)
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
    errors = observed.records.of(ProbeError)
    if errors:
        first = errors[0]
        return f"the probe could not go on: {first.what}: {first.text} (errno {first.errno})"
    if not observed.records.complete:
        return observed.outcome.summary
    return ""


def judge_cell(
    scenario: Scenario, plan: Plan, observed: Observed, reference: Observed | None
) -> tuple[Verdict, ...]:
    """The verdict of each of the scenario's checks, the kernel's health first."""
    health = judge_health(observed.outcome, reference.outcome if reference else None)
    obstacle = _obstacle(observed)
    if obstacle:
        return (health, *(_not_measured(check, obstacle) for check in scenario.checks))
    mine = Observation(observed.records, plan.machine, scenario)
    theirs = None
    if reference and not _obstacle(reference):
        theirs = Observation(reference.records, plan.machine, scenario)
    return (health, *(CHECKS[check].judge(mine, theirs) for check in scenario.checks))


def judge_all(plan: Plan, observed: Mapping[str, Observed]) -> dict[str, tuple[Verdict, ...]]:
    """Verdicts by cell id; candidates are judged against the reference's same scenario."""
    scenarios = {scenario.name: scenario for scenario in plan.scenarios}
    references = {
        cell.scenario: observed[cell.id] for cell in plan.cells if cell.role is Role.REFERENCE
    }
    return {
        cell.id: judge_cell(
            scenarios[cell.scenario],
            plan,
            observed[cell.id],
            references.get(cell.scenario) if cell.role is Role.CANDIDATE else None,
        )
        for cell in plan.cells
    }


def worst(verdicts: tuple[Verdict, ...]) -> Status:
    """The worst status; pass for no verdict at all."""
    order = list(Status)
    return max((verdict.status for verdict in verdicts), key=order.index, default=Status.PASS)


def by_check(results: tuple[CellResult, ...], role: Role) -> dict[str, Status]:
    """Each check's worst status over the cells of a role."""
    found: dict[str, list[Verdict]] = {}
    for result in results:
        if result.cell.role is role:
            for verdict in result.verdicts:
                found.setdefault(verdict.check, []).append(verdict)
    return {check: worst(tuple(verdicts)) for check, verdicts in found.items()}


def judge_claim(plan: Plan, results: tuple[CellResult, ...]) -> dict[str, bool]:
    """For each check claimed: does it turn from fail to pass (`fixes`), or fail (`breaks`)?"""
    before, after = by_check(results, Role.REFERENCE), by_check(results, Role.CANDIDATE)
    held = {}
    for check in plan.claim.fixes:
        held[check] = before.get(check) is Status.FAIL and after.get(check) is Status.PASS
    for check in plan.claim.breaks:
        held[check] = after.get(check) is Status.FAIL
    return held


def _with_status(results: tuple[CellResult, ...], role: Role, *statuses: Status) -> dict[str, None]:
    """Checks that have one of these statuses in some cell of a role, in order."""
    return dict.fromkeys(
        verdict.check
        for result in results
        if result.cell.role is role
        for verdict in result.verdicts
        if verdict.status in statuses
    )


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
    if undecided:
        return Status.ERROR, f"no verdict: {', '.join(undecided)}", claim
    broken = [check for check, held in claim.items() if not held]
    if broken:
        text = f"its claim does not hold: {', '.join(broken)} did not turn"
        return Status.FAIL, f"{name} passes, and {text}", claim
    held = f"; the claim holds: {', '.join(claim)} turned from fail to pass" if claim else ""
    return Status.PASS, f"{name} passes every check{held}", claim
