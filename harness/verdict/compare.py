# SPDX-License-Identifier: MIT
"""What moved between two stored runs: the candidate's verdicts and numbers of each."""

from collections.abc import Iterator
from statistics import median

from harness.model import (
    CellResult,
    Change,
    Comparison,
    NumberMoved,
    Role,
    RunHead,
    RunResult,
    Status,
    Verdict,
)
from harness.verdict.blame import changes, pairs
from harness.verdict.statistics import shift

# What a cost is against its own run's reference says nothing of another run's.
_RELATIVE = ("reference", "change")


def compare(before: RunResult, after: RunResult, *places: str) -> Comparison:
    """What the second run's candidate does otherwise than the first one's.

    The rules are those of blame: a check that fails in both is broken where it fails otherwise.
    """
    cells = _beside(before, after)
    changed = changes(cells)
    broken = any(one.change is Change.BROKEN for one in changed)
    undecided = any(one.change is Change.UNDECIDED for one in changed)
    status = Status.FAIL if broken else Status.ERROR if undecided else Status.PASS
    names = {role: _scenarios(cells, role) for role in Role}
    where = (*places, "", "")
    return Comparison(
        before=_head(before, where[0]),
        after=_head(after, where[1]),
        status=status,
        changes=changed,
        numbers=tuple(_numbers(cells)),
        only_before=_without(names[Role.REFERENCE], names[Role.CANDIDATE]),
        only_after=_without(names[Role.CANDIDATE], names[Role.REFERENCE]),
        alike=sum(1 for _ in pairs(cells)) - len(changed),
    )


def _head(result: RunResult, place: str) -> RunHead:
    mine = _candidates(result)
    return RunHead(
        subject=mine[0].cell.subject if mine else "",
        plan=result.plan,
        started=result.started,
        status=result.status,
        headline=result.headline,
        place=place,
    )


def _candidates(result: RunResult) -> list[CellResult]:
    return [cell for cell in result.cells if cell.cell.role is Role.CANDIDATE]


def _beside(before: RunResult, after: RunResult) -> tuple[CellResult, ...]:
    """The first run's candidate as a reference, the second one's as a candidate."""
    first = [
        cell.model_copy(update={"cell": cell.cell.model_copy(update={"role": Role.REFERENCE})})
        for cell in _candidates(before)
    ]
    return (*first, *_candidates(after))


def _scenarios(cells: tuple[CellResult, ...], role: Role) -> list[str]:
    return [cell.cell.scenario for cell in cells if cell.cell.role is role]


def _without(names: list[str], others: list[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in others)


def _numbers(cells: tuple[CellResult, ...]) -> Iterator[NumberMoved]:
    """The numbers that moved; of repetitions, those that chance does not explain."""
    first = {cell.cell.scenario: cell for cell in cells if cell.cell.role is Role.REFERENCE}
    for cell, before, after in pairs(cells):
        if before is None:
            continue
        theirs = first[cell.cell.scenario]
        for name in (name for name in after.metrics if name not in _RELATIVE):
            moved = _moved(theirs, cell, before, after, name)
            if moved:
                yield NumberMoved(
                    scenario=cell.cell.scenario,
                    check=after.check,
                    name=name,
                    before=moved[0],
                    after=moved[1],
                )


def _moved(
    theirs: CellResult, mine: CellResult, before: Verdict, after: Verdict, name: str
) -> tuple[int | float, int | float] | None:
    """(before, after) of a number that is another one; None for one that is not."""
    if theirs.repetitions and mine.repetitions:
        old, new = (_values(cell, after.check, name) for cell in (theirs, mine))
        apart = shift(new, old) if old and new else None
        if apart is None or apart.low <= 0 <= apart.high:
            return None
        return median(old), median(new)
    value = before.metrics.get(name)
    if value is None or value == after.metrics[name]:
        return None
    return value, after.metrics[name]


def _values(cell: CellResult, check: str, name: str) -> list[int | float]:
    """A number of each repetition that has it."""
    return [
        verdict.metrics[name]
        for guest in cell.repetitions
        for verdict in guest.verdicts
        if verdict.check == check and name in verdict.metrics
    ]
