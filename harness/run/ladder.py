# SPDX-License-Identifier: MIT
"""The ladder: kernels that are kept green, the whole suite of each on each of its machines."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.ask.catalog import Catalog
from harness.errors import Exit, HarnessError
from harness.model import Kept, LadderRow, Plan, Promise, Promises, Role, Rung, RunResult, Status

# Of a row's trouble, so much is told beside its headline.
_TOLD = 3
_WORST_FIRST = (Exit.FAIL, Exit.ERROR, Exit.PLAN)
# Of the verdicts that show a promise, the one that decides; else it is kept.
_DECIDING = (Status.FAIL, Status.ERROR, Status.INCONCLUSIVE)


def chosen(
    catalog: Catalog, kernels: Sequence[str], sources: Sequence[str], machines: Sequence[str]
) -> list[tuple[Rung, str]]:
    """(kernel, machine) of all that was asked for; raises PlanError for an unknown name.

    All rows, or those `kernels`; `sources` are kernels that have no row, on the machines of
    the first one.
    """
    rows = list(catalog.ladder.values())
    named = [catalog.find("ladder", name) for name in kernels]
    others = [Rung(name=source, source=source, machines=rows[0].machines) for source in sources]
    wanted = [*named, *others] or rows
    known = [catalog.find("machines", name).name for name in machines]
    return [(rung, machine) for rung in wanted for machine in known or rung.machines]


def scenarios_of(catalog: Catalog, promises: Promises | None, machine: str) -> tuple[str, ...]:
    """The scenarios that show promises on a machine; none for the whole suite."""
    if promises is None:
        return ()
    found = [catalog.scenarios[name] for name in promises.scenarios]
    row = catalog.machines[machine]
    return tuple(scenario.name for scenario in found if not scenario.lacks(row))


def kept(promise: Promise, version: str, result: RunResult) -> Kept:
    """Whether a kernel keeps to a promise: skipped where that is not for it, or nothing ran."""
    if version not in promise.versions:
        said = f"for kernels {promise.versions}"
        return Kept(says=promise.says, status=Status.SKIP, said=said)
    found = [
        (cell.cell.scenario, verdict)
        for cell in result.cells
        if cell.cell.role is Role.CANDIDATE and cell.cell.scenario in promise.scenarios
        for verdict in cell.verdicts
        if verdict.check in promise.checks
    ]
    for status in _DECIDING:
        for scenario, verdict in found:
            if verdict.status is status:
                words = (verdict.evidence or (verdict.measured,))[0]
                return Kept(says=promise.says, status=status, said=f"{scenario}: {words}")
    passed = sum(verdict.status is Status.PASS for _, verdict in found)
    status = Status.PASS if passed else Status.SKIP
    return Kept(says=promise.says, status=status, said=f"{passed} of {len(found)} checks pass")


def row_of(
    rung: Rung,
    plan: Plan,
    result: RunResult,
    *,
    status: int,
    evidence: Path,
    promises: Promises | None = None,
) -> LadderRow:
    """What a run on one machine came to; `status` is what it would exit with."""
    version = plan.subjects[Role.CANDIDATE].version
    verdicts = [
        (cell.cell.scenario, verdict)
        for cell in result.cells
        if cell.cell.role is Role.CANDIDATE
        for verdict in cell.verdicts
    ]
    torn = [
        f"{scenario} {verdict.check}: {verdict.status.value} {verdict.measured}"
        for scenario, verdict in verdicts
        if verdict.status not in (Status.PASS, Status.SKIP)
    ]
    more = [f"and {len(torn) - _TOLD} more"] if len(torn) > _TOLD else []
    return LadderRow(
        kernel=rung.name,
        source=rung.source,
        release=version,
        machine=plan.machine.name,
        exit=status,
        tally=Counter(verdict.status.value for _, verdict in verdicts),
        guests=sum(len(cell.guests) for cell in result.cells),
        seconds=result.seconds,
        trouble=() if status == Exit.PASS else (result.headline, *torn[:_TOLD], *more),
        evidence=str(evidence),
        kept=tuple(kept(one, version, result) for one in promises.promises) if promises else (),
    )


def fallen(rung: Rung, machine: str, error: HarnessError, seconds: float) -> LadderRow:
    """A row of which nothing ran."""
    return LadderRow(
        kernel=rung.name,
        source=rung.source,
        machine=machine,
        exit=error.blame.exit_code,
        seconds=round(seconds, 2),
        trouble=tuple(" ".join(line.split()) for line in error.lines()),
        evidence=str(error.evidence or ""),
    )


def exit_of(rows: Iterable[LadderRow]) -> Exit:
    """A kernel at fault, else no verdict, else what does not exist, else a pass."""
    found = {row.exit for row in rows}
    return next((status for status in _WORST_FIRST if status in found), Exit.PASS)
