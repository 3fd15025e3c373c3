# SPDX-License-Identifier: MIT
"""The ladder: kernels that are kept green, the whole suite of each on each of its machines."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.ask.catalog import Catalog
from harness.errors import Exit, HarnessError
from harness.model import LadderRow, Plan, Role, Rung, RunResult, Status

# Of a row's trouble, so much is told beside its headline.
_TOLD = 3
_WORST_FIRST = (Exit.FAIL, Exit.ERROR, Exit.PLAN)


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


def row_of(rung: Rung, plan: Plan, result: RunResult, *, status: int, evidence: Path) -> LadderRow:
    """What a run on one machine came to; `status` is what it would exit with."""
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
        release=plan.subjects[Role.CANDIDATE].version,
        machine=plan.machine.name,
        exit=status,
        tally=Counter(verdict.status.value for _, verdict in verdicts),
        guests=sum(len(cell.guests) for cell in result.cells),
        seconds=result.seconds,
        trouble=() if status == Exit.PASS else (result.headline, *torn[:_TOLD], *more),
        evidence=str(evidence),
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
