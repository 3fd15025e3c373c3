# SPDX-License-Identifier: MIT
"""Commands that set runs beside each other: compare, baseline, history."""

import json
import sys
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console

from harness.ask.catalog import nearest
from harness.cli.options import complete_checks
from harness.cli.results import EXITS
from harness.errors import PlanError
from harness.host.store import write_text
from harness.model import Plan, Role, RunResult
from harness.report import compare as shown
from harness.report import history as trends_
from harness.run.folder import RunFolder
from harness.run.history import Baseline, History, kernel_of
from harness.verdict.compare import compare

_RUN = click.Path(exists=True, file_okay=False, path_type=Path)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def _read(folder: Path) -> tuple[Plan, RunResult]:
    return RunFolder(folder).read_plan(), RunFolder(folder).read_results()


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN [RUN]", type=_RUN)
@click.option(
    "--baseline",
    metavar="NAME",
    help="The kernel whose baseline one RUN is compared with.  [default: the run's own]",
)
@_JSON
def compare_(runs: tuple[Path, ...], baseline: str | None, as_json: bool) -> NoReturn:
    """What moved from one stored run's candidate to another's: verdicts, and numbers.

    One RUN alone is compared with the baseline of its kernel and machine.  Exits with 1 where a
    check that passed fails, or fails otherwise; with 3 where verdicts do not decide.
    """
    if len(runs) > 2 or (baseline and len(runs) > 1):
        raise click.UsageError("compare takes two runs, or one and a baseline")
    plan, after = _read(runs[-1])
    if len(runs) == 2:
        before, place = _read(runs[0])[1], str(runs[0])
    else:
        kept = History().baseline(baseline or kernel_of(plan), plan.machine.name)
        before, place = kept.result, f"baseline {kept.kernel}"
    found = compare(before, after, place, str(runs[-1]))
    if as_json:
        click.echo(found.model_dump_json(indent=1))
    else:
        shown.show_comparison(Console(), found)
    sys.exit(EXITS[found.status])


@click.group()
def baseline() -> None:
    """Runs that others are compared with: one for each kernel and machine."""


@baseline.command()
@click.argument("run_folder", metavar="RUN", type=_RUN)
@click.option(
    "--as",
    "name",
    metavar="NAME",
    help="What the kernel is called.  [default: its release, such as 6.12]",
)
@click.option("--reference", is_flag=True, help="Save the run's reference, not its candidate.")
def save(run_folder: Path, name: str | None, reference: bool) -> None:
    """Keep a run as the baseline of its kernel and machine; a run's folder may go then."""
    plan, result = _read(run_folder)
    role = Role.REFERENCE if reference else Role.CANDIDATE
    if role not in plan.subjects:
        raise PlanError(f"{run_folder} has no reference", advice="leave --reference out")
    cells = tuple(
        cell.model_copy(update={"cell": cell.cell.model_copy(update={"role": Role.CANDIDATE})})
        for cell in result.cells
        if cell.cell.role is role
    )
    kept = Baseline(
        kernel=name or kernel_of(plan),
        machine=plan.machine.name,
        folder=str(run_folder.resolve()),
        result=result.model_copy(update={"cells": cells}),
    )
    History().save(kept)
    subject = plan.subjects[role].name
    click.echo(f"{subject} is the baseline of {kept.kernel} on {kept.machine}")


@baseline.command()
@_JSON
def show(as_json: bool) -> None:
    """Name the baselines that there are."""
    known = History().baselines()
    if as_json:
        click.echo(json.dumps([_row(one) for one in known], indent=1))
        return
    for one in known:
        result = one.result
        number = sum(len(cell.verdicts) for cell in result.cells)
        click.echo(f"{one.kernel} on {one.machine}: {number} verdicts of {result.started}")
        click.echo(f"    {result.plan}; {one.folder}")
    if not known:
        click.echo("there is no baseline: ./pmu-harness baseline save RUN")


def _row(one: Baseline) -> dict[str, str]:
    names = {name: getattr(one, name) for name in ("kernel", "machine", "folder")}
    return {**names, "plan": one.result.plan, "started": one.result.started}


@click.command("history")
@click.argument("check", shell_complete=complete_checks)
@click.option("--scenario", default="", metavar="NAME", help="Only this scenario.")
@click.option("--machine", default="", metavar="NAME", help="Only this machine.")
@click.option("--kernel", default="", metavar="NAME", help="Only this kernel, such as 6.12.")
@click.option("--number", default="", metavar="NAME", help="Which number is a line's height.")
@click.option(
    "--html",
    "page",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page with a plot of each number.",
)
def history_(check: str, number: str, page: Path | None, **chosen: str) -> None:
    """What became of CHECK over all runs: a line for each kernel, machine and scenario."""
    history = History()
    found = history.trends(check, **chosen)
    if not found:
        raise PlanError(
            f"no run has anything of {check}{nearest(check, history.checks())}",
            advice="each `run` and `ci` is remembered: run it once",
        )
    names = sorted({name for trend in found for name in trends_.numbers_of(trend)})
    trends_.show(Console(), found, number or (names[0] if names else ""))
    if names:
        click.echo(f"numbers: {', '.join(names)}")
    if page:
        write_text(page, trends_.page(check, found))
        click.echo(f"plots: {page}")
