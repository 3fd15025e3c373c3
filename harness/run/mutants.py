# SPDX-License-Identifier: MIT
"""The kill matrix: which check catches which saboteur, on which kernel."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from harness.ask.catalog import Catalog
from harness.ask.plan import fits
from harness.checks import ALWAYS
from harness.errors import PlanError
from harness.model import HEALTH, Kill, KillMatrix, Machine, Role, RunResult, Series, Status
from harness.verdict.blame import by_check

SABOTEURS = "saboteurs/"


def chosen(catalog: Catalog, expression: str) -> list[Series]:
    """The saboteurs whose name a regular expression matches; raises PlanError for none."""
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise PlanError(f"-k {expression}: not a regular expression", why=str(error)) from error
    names = [name for name in catalog.series if name.startswith(SABOTEURS)]
    wanted = [name for name in names if pattern.search(name.removeprefix(SABOTEURS))]
    if not wanted:
        raise PlanError(
            f"no saboteur matches {expression}",
            advice="known: " + ", ".join(name.removeprefix(SABOTEURS) for name in names),
        )
    return [catalog.series[name] for name in wanted]


def on_machine(series: Series, machine: Machine, catalog: Catalog, version: str) -> Series | None:
    """A saboteur with what of its claim a machine can show, of a kernel release; else None.

    It shows in the claim's scenarios that are for both, in checks that these ask.
    """
    claim = series.claim.on(machine.architecture)
    able = [
        catalog.scenarios[name]
        for name in claim.scenarios or catalog.scenarios
        if not catalog.scenarios[name].lacks(machine, version)
    ]
    asked = {HEALTH, *ALWAYS} if able else set()
    asked |= {check for scenario in able for check in scenario.checks}
    breaks = tuple(check for check in claim.breaks if check in asked)
    if series.claim.breaks and not breaks:
        return None
    scenarios = tuple(scenario.name for scenario in able) if claim.scenarios else ()
    shown = claim.model_copy(update={"breaks": breaks, "scenarios": scenarios})
    return series.model_copy(update={"claim": shown})


def kill(series: Series, kernel: str, result: RunResult, evidence: Path) -> Kill:
    """What one run against the clean kernel says of a saboteur."""
    before, after = by_check(result.cells, Role.REFERENCE), by_check(result.cells, Role.CANDIDATE)
    turned = tuple(
        check
        for check, status in after.items()
        if status is Status.FAIL and before.get(check) is not Status.FAIL
    )
    return Kill(
        saboteur=series.name.removeprefix(SABOTEURS),
        title=series.title,
        kernel=kernel,
        turned=turned,
        missed=tuple(check for check in series.claim.breaks if check not in turned),
        false_alarms=tuple(
            f"{cell.cell.id} {verdict.check}: {verdict.status.value}"
            for cell in result.cells
            if cell.cell.role is Role.REFERENCE
            for verdict in cell.verdicts
            if verdict.status not in (Status.PASS, Status.SKIP)
        ),
        scenarios={
            check: tuple(
                cell.cell.scenario
                for cell in result.cells
                if cell.cell.role is Role.CANDIDATE
                for verdict in cell.verdicts
                if verdict.check == check and verdict.status is Status.FAIL
            )
            for check in turned
        },
        explanation=_explanation(result, series.claim.breaks or turned),
        failures=result.failures,
        evidence=str(evidence),
        checks=tuple(before),
    )


def _explanation(result: RunResult, checks: Iterable[str]) -> str:
    """The first line of evidence of the first check that was meant to turn."""
    for check in checks:
        for cell in result.cells:
            for verdict in cell.verdicts:
                mine = cell.cell.role is Role.CANDIDATE and verdict.check == check
                if mine and verdict.status is Status.FAIL:
                    return (verdict.evidence or (verdict.measured,))[0]
    return ""


def matrix(
    catalog: Catalog,
    saboteurs: list[Series],
    kernels: dict[str, str],
    machine: Machine,
    run: Callable[[Series, str], tuple[RunResult, Path]],
) -> KillMatrix:
    """Run each saboteur on each kernel that it is for; `kernels` maps sources to releases.

    Not one of which the machine can show nothing; of the others, what it can.
    """
    kills = []
    for source, version in kernels.items():
        shown = [on_machine(series, machine, catalog, version) for series in saboteurs]
        for series in shown:
            if series and fits(series, version, machine.architecture, catalog.series):
                result, evidence = run(series, source)
                kills.append(kill(series, source, result, evidence))
    return KillMatrix(kills=tuple(kills))
