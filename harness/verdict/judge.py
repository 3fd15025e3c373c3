# SPDX-License-Identifier: MIT
"""From observations to verdicts: each cell's by itself, and those of its repetitions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.checks import ALWAYS, CHECKS, Observation
from harness.checks.calls import failed_call, refused_event
from harness.guest.callback_records import Observer
from harness.guest.records import Event, Lost, Records, Refused
from harness.model import (
    CALLS,
    HEALTH,
    NOT_MEASURED,
    Cell,
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
from harness.verdict.faults import is_more, kind, kinds
from harness.verdict.repetitions import Said, combine, combine_health, excess, judge_one

EVIDENCE_LINES = 5
_ALWAYS_OTHERS = tuple(check for check in ALWAYS if check != CALLS)
_HOST_ENDS = (GuestEnd.QEMU_FAILED, GuestEnd.HARNESS_FAILED, GuestEnd.NOT_STARTED)


@dataclass(frozen=True)
class Observed:
    """One cell as it lies on disk: how the guest ended, its records, the host's noise."""

    outcome: Outcome
    records: Records
    noise: Noise | None = None


# --- one cell ----------------------------------------------------------------


def judge_health(outcome: Outcome, reference: Outcome | None) -> Verdict:
    """Did the guest get through without panic, oops, WARN, stall, hang, or a debug tool's report?

    A step of the harness's own that failed is the kernel's fault only where the reference's
    did not.
    """
    expected = "the batch done; no panic, oops, WARN, stall, report of a debug tool"
    if outcome.end is GuestEnd.DONE:
        return Verdict(check=HEALTH, status=Status.PASS, measured="done", expected=expected)
    ours = outcome.end in _HOST_ENDS
    if outcome.end is GuestEnd.STEP_FAILED:
        ours = reference is None or reference.end is not GuestEnd.DONE
    return Verdict(
        check=HEALTH,
        status=Status.ERROR if ours else Status.FAIL,
        measured=outcome.summary,
        expected=expected,
        evidence=outcome.evidence,
        # Two crashes are of one kind if they say the same; their stacks may differ.
        faults=kinds(outcome.reports or (outcome.summary,)),
    )


def _not_measured(check: str, why: str) -> Verdict:
    return Verdict(
        check=check, status=Status.ERROR, measured=NOT_MEASURED + why, expected="a measurement"
    )


def _small_rings(scenario: Scenario, records: Records) -> set[int]:
    """Events that may lose what finds no room in their ring, as the scenario has it."""
    specs = scenario.specs
    return {
        event.id
        for event in records.of(Event)
        if event.name in specs and (specs[event.name].ring or specs[event.name].backward)
    }


def _cut_short(scenario: Scenario, observed: Observed) -> str:
    """Why a cell's records do not tell all; empty if they do."""
    records = observed.records
    if not records.complete or observed.outcome.end is GuestEnd.STEP_FAILED:
        return observed.outcome.summary
    small = _small_rings(scenario, records)
    lost = sum(record.lost for record in records.of(Lost) if record.id not in small)
    if lost:
        return f"the ring was too small: {lost} records lost"
    for log in records.of(Observer):
        if log.kept < log.calls:
            return f"the callback log was too small: {log.kept} of {log.calls} calls kept"
    return ""


def _obstacle(scenario: Scenario, observed: Observed) -> str:
    """Why a cell's records cannot be judged; empty if they can."""
    failed = failed_call(observed.records)
    return f"the probe could not go on: {failed}" if failed else _cut_short(scenario, observed)


def _is_own_doing(plan: Plan, scenario: Scenario, reference: Observed | None) -> bool:
    """True if a guest whose records do not tell all made it so itself.

    There was room for all that the reference did, and what a host does is no part of it.
    """
    exact = plan.machine.regime is Regime.EXACT
    return exact and reference is not None and not _obstacle(scenario, reference)


def judge_cell(
    cell: Cell, plan: Plan, observed: Observed, reference: Observed | None
) -> tuple[Verdict, ...]:
    """The verdicts of what all scenarios and this one are asked, the kernel's health first."""
    scenario = next(s for s in plan.scenarios if s.name == cell.scenario)
    health = judge_health(observed.outcome, reference.outcome if reference else None)
    calls = (CALLS,) if scenario.speaks_of_calls else ()
    # A probe that could not go on is for kernel.calls to judge.
    cut = "" if failed_call(observed.records) else _cut_short(scenario, observed)
    if cut:
        if health.status is Status.PASS and _is_own_doing(plan, scenario, reference):
            health = health.model_copy(
                update={
                    "status": Status.FAIL,
                    "measured": f"{cut}; the reference's same guest recorded all",
                    "faults": {kind(cut): 1},
                }
            )
        return (health, *(_not_measured(check, cut) for check in (*calls, *_others(scenario))))
    version = plan.subjects[cell.role].version
    mine = Observation(observed.records, plan.machine_for(scenario), scenario, version)
    theirs = None
    if reference and reference.records.all:
        version = plan.subjects[Role.REFERENCE].version
        theirs = Observation(reference.records, plan.machine_for(scenario), scenario, version)
    answered = [_judge_check(check, mine, theirs, plan, cell.role) for check in calls]
    if reference is not None and _obstacle(scenario, reference):
        theirs = None
    return (health, *answered, *_judge_others(cell, plan, mine, theirs, observed))


def _others(scenario: Scenario) -> tuple[str, ...]:
    """The checks that a scenario names, but that of the calls, which is judged first."""
    return tuple(check for check in scenario.checks if check != CALLS)


def _judge_others(
    cell: Cell, plan: Plan, mine: Observation, theirs: Observation | None, observed: Observed
) -> tuple[Verdict, ...]:
    """The verdicts of all checks but that of the calls, where the guest came so far.

    Where it did not, the scenario's own checks say so; what all are asked has nothing to look at.
    """
    scenario = mine.scenario
    checks = _others(scenario)
    obstacle = _obstacle(mine.scenario, observed)
    if obstacle:
        return tuple(_not_measured(check, obstacle) for check in checks)
    lacking = _lacks(mine, theirs)
    if lacking:
        return tuple(lacking.model_copy(update={"check": check}) for check in checks)
    if scenario.speaks_of_calls:
        checks = tuple(dict.fromkeys((*_ALWAYS_OTHERS, *checks)))
    return tuple(_judge_check(check, mine, theirs, plan, cell.role) for check in checks)


def _lacks(mine: Observation, theirs: Observation | None) -> Verdict | None:
    """The verdict on every check where the kernel refused an event; None where it did not.

    A skip where the scenario allows for that, and the reference, as far as it got,
    lacks it too.
    """
    refused = refused_event(mine.records)
    if not refused:
        return None
    allowed = mine.records.of(Refused)[0].name in mine.scenario.may_lack
    if theirs and not refused_event(theirs.records):
        return _not_measured("", refused)
    return Verdict(
        check="",
        status=Status.SKIP if allowed else Status.ERROR,
        measured=refused,
        expected="an event that counts",
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
    if verdict.status is not Status.FAIL:
        return _shortened(verdict)
    scenario, version = mine.scenario.plain_name, plan.subjects[role].version
    errata = [e for e in plan.errata if e.concerns(scenario, check, version, plan.machine)]
    if errata:
        before = _answer(check, theirs, None).evidence if theirs else None
        verdict = _excused(verdict, before, errata)
    return _shortened(verdict)


def _shortened(verdict: Verdict) -> Verdict:
    """With the first lines of its evidence only, and how many there are of each kind."""
    lines = verdict.evidence
    if verdict.status is Status.FAIL:
        verdict = verdict.model_copy(update={"faults": kinds(lines)})
    if len(lines) <= EVIDENCE_LINES:
        return verdict
    kept = (*lines[:EVIDENCE_LINES], f"... and {len(lines) - EVIDENCE_LINES} more")
    return verdict.model_copy(update={"evidence": kept})


# --- known defects -----------------------------------------------------------


def _excused(verdict: Verdict, before: Sequence[str] | None, errata: Sequence[Erratum]) -> Verdict:
    """A failure without the lines of evidence that known defects explain: a skip if none is left.

    `before` is the reference's evidence, None where there is none to compare with.
    """
    left = list(verdict.evidence)
    used: list[Erratum] = []
    for erratum in errata:
        remaining = _unexplained(left, before, erratum)
        if len(remaining) < len(left):
            used.append(erratum)
        left = remaining
    if not used:
        return verdict
    names = ", ".join(erratum.name for erratum in used)
    if left:
        number = len(verdict.evidence) - len(left)
        measured = f"{verdict.measured}; {number} of {len(verdict.evidence)} by erratum {names}"
        return verdict.model_copy(update={"measured": measured, "evidence": tuple(left)})
    proof = [line for erratum in used for line in (erratum.what, f"({erratum.source})")]
    return verdict.model_copy(
        update={
            "status": Status.SKIP,
            "measured": f"{verdict.measured}: erratum {names}",
            "evidence": (*proof, *verdict.evidence),
        }
    )


def _unexplained(lines: Sequence[str], before: Sequence[str] | None, erratum: Erratum) -> list[str]:
    """The lines that an erratum does not explain, or that are more than the reference shows.

    Kind by kind: a defect that the reference shows once does not explain hundreds, nor
    something else that is said of the same event.
    """
    mine = kinds(line for line in lines if erratum.explains(line))
    theirs = kinds(line for line in before or () if erratum.explains(line))

    def excuses(name: str) -> bool:
        if before is None:
            return True
        shown = theirs.get(name, 0)
        return (shown > 0 or erratum.by_chance) and not is_more(mine[name], shown)

    excused = {name for name in mine if excuses(name)}
    return [line for line in lines if not (erratum.explains(line) and kind(line) in excused)]


# --- all cells ---------------------------------------------------------------


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


def noisy(plan: Plan, noise: Noise | None) -> tuple[str, ...]:
    """What of the host's noise was beyond the plan's limits while a guest ran."""
    return excess(noise, plan.noise_limits)


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
