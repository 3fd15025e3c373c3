# SPDX-License-Identifier: MIT
"""From what lies in a run's folder to its result: judged, and written beside it."""

from collections.abc import Mapping, Sequence

from harness.errors import Blame, HarnessError
from harness.model import (
    Cell,
    CellResult,
    Change,
    Coverage,
    Erratum,
    GuestEnd,
    Outcome,
    Plan,
    Regime,
    Repetition,
    Role,
    RunResult,
    Status,
    TouchedFile,
)
from harness.run.folder import RunFolder
from harness.run.judged import Judge
from harness.verdict.exercise import exercised
from harness.verdict.judge import judge_repetitions, noisy
from harness.verdict.status import judge_run


def _results(
    judge: Judge, plan: Plan, cells: Mapping[str, tuple[str, bool, float]]
) -> tuple[CellResult, ...]:
    """Each guest judged, and the repetitions of a cell together."""
    said = judge.all()
    noises = {cell.id: judge.folder.noise(cell) for cell in plan.cells}
    guests: dict[Cell, list[Repetition]] = {}
    for cell in plan.cells:
        _, reused, seconds = cells[cell.id]
        guest = Repetition(
            cell=cell,
            outcome=said[cell.id].outcome,
            verdicts=said[cell.id].verdicts,
            reused=reused,
            seconds=seconds,
            noise=noises[cell.id],
            noisy=noisy(plan, noises[cell.id]),
        )
        guests.setdefault(cell.whole, []).append(guest)
    several = guests if plan.machine.regime is Regime.STATISTICAL else {}
    together = judge_repetitions(plan, several)
    return tuple(
        CellResult(
            cell=cell,
            outcome=_first_trouble([guest.outcome for guest in found]),
            verdicts=together.get(cell.id, found[0].verdicts),
            repeat=cells[found[0].cell.id][0],
            reused=all(guest.reused for guest in found),
            seconds=round(sum(guest.seconds for guest in found), 2),
            repetitions=tuple(several.get(cell, ())),
        )
        for cell, found in guests.items()
    )


def _was_run(cell: CellResult) -> bool:
    return cell.outcome.end is not GuestEnd.NOT_STARTED


def _first_trouble(outcomes: list[Outcome]) -> Outcome:
    """The first outcome that is not as it should be; else the first."""
    troubled = (outcome for outcome in outcomes if outcome.end is not GuestEnd.DONE)
    return next(troubled, outcomes[0])


def conclude(
    folder: RunFolder,
    plan: Plan,
    *,
    failures: list[HarnessError],
    command: str,
    started: str,
    seconds: float,
    cells: Mapping[str, tuple[str, bool, float]],
    touched: tuple[TouchedFile, ...] | None = None,
    coverage: Coverage | None = None,
    judge: Judge | None = None,
    ended: str = "",
) -> RunResult:
    """Judge what lies on disk and write results.json; by a `judge` that knows of earlier runs.

    `cells` has for each guest the command that repeats it, whether it was stored, its seconds;
    `touched` the files that the candidate changes of its reference, `coverage` what ran of
    them, None where nobody knows; `ended` why not all was run.
    """
    results = _results(judge or Judge(plan, folder), plan, cells)
    ran = tuple(cell for cell in results if not ended or _was_run(cell))
    found = judge_run(plan, ran, touched, coverage)
    status, headline, changes = found.status, found.headline, found.changes
    if failures:
        changes = tuple(one for one in changes if one.change is not Change.UNDECIDED)
        subject = any(failure.blame is Blame.SUBJECT for failure in failures)
        status = Status.FAIL if subject else Status.ERROR
        headline = failures[0].what
    elif ended:
        headline += f"; {ended}"
    candidate = plan.subjects[Role.CANDIDATE]
    result = RunResult(
        command=command,
        plan=f"{plan.series or 'no series'} on {plan.source}, {plan.machine.name}",
        started=started,
        seconds=round(seconds, 2),
        status=status,
        headline=headline,
        claim={} if ended else found.claim,
        changes=changes,
        touched=touched or (),
        exercised=touched is None or exercised(touched),
        coverage=coverage,
        strict=plan.strict,
        title=candidate.title,
        cover=candidate.cover,
        patches=tuple(patch.info for patch in candidate.patches),
        notes=candidate.notes,
        cells=results,
        ended=ended,
        failures=tuple("\n".join(failure.lines()) for failure in failures),
    )
    folder.write_results(result)
    return result


def rejudge(folder: RunFolder, known: Sequence[Erratum] = ()) -> RunResult:
    """Judge a stored run again; what ended it before its guests had run stays true.

    What is `known` excuses as the plan's own errata do.
    """
    before, plan = folder.read_results(), folder.read_plan()
    plan = plan.model_copy(update={"errata": (*plan.errata, *known)})
    result = conclude(
        folder,
        plan,
        failures=[],
        command=before.command,
        started=before.started,
        seconds=before.seconds,
        cells={
            guest.cell.id: (cell.repeat, guest.reused, guest.seconds)
            for cell in before.cells
            for guest in cell.guests
        },
        touched=before.touched if before.touched or not before.exercised else None,
        coverage=before.coverage,
        ended=before.ended,
    )
    if before.failures:
        names = ("status", "headline", "failures", "changes")
        kept = {name: getattr(before, name) for name in names}
        result = result.model_copy(update=kept)
        folder.write_results(result)
    return result
