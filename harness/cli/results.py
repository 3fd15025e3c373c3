# SPDX-License-Identifier: MIT
"""Commands that show what is stored, judge and report; and how each run ends."""

import sys
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console

from harness.cli.options import chosen_detail, detail_options, known_option
from harness.errors import Exit, HostError
from harness.host.store import write_text
from harness.model import RunResult, Status
from harness.report import html, junit, text
from harness.run.conclusion import rejudge
from harness.run.folder import RunFolder
from harness.run.history import History
from harness.run.known import known_issues

EXITS = {
    Status.PASS: Exit.PASS,
    Status.SKIP: Exit.ERROR,
    Status.INCONCLUSIVE: Exit.ERROR,
    Status.ERROR: Exit.ERROR,
    Status.FAIL: Exit.FAIL,
}


@click.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(exists=True, path_type=Path))
@known_option
@detail_options
def judge(run_folder: Path, known: tuple[Path, ...], brief: bool, full: bool) -> None:
    """Judge a stored run again, with the checks of today; no kernel, no QEMU."""
    detail = chosen_detail(brief=brief, full=full)
    issues = known_issues(known, lambda text: click.echo(text, err=True))
    finish((rejudge(RunFolder(run_folder), issues), run_folder), detail)


@click.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(exists=True, path_type=Path))
@detail_options
def report(run_folder: Path, brief: bool, full: bool) -> None:
    """Show a stored run's results, and write its reports anew."""
    detail = chosen_detail(brief=brief, full=full)
    finish((RunFolder(run_folder).read_results(), run_folder), detail)


def finish(outcome: tuple[RunResult, Path], detail: text.Detail) -> NoReturn:
    """Write the reports, show the text, exit with the run's status."""
    result, path = outcome
    write_reports(result, path)
    text.show(Console(), result, str(path), detail)
    sys.exit(EXITS[result.status])


def remember(result: RunResult, path: Path) -> None:
    """Add a run to the history; that this cannot be is said, and no failure of the run's."""
    try:
        History().record(RunFolder(path).read_plan(), result, path)
    except HostError as error:
        click.echo("\n".join(error.lines()), err=True)


def write_reports(result: RunResult, path: Path) -> None:
    """Put the reports for a CI and for a browser into a run's folder."""
    folder = RunFolder(path)
    records = {cell.cell.id: folder.observed(cell.shown).records for cell in result.cells}
    subjects = {cell.cell.subject: folder.facts(cell.cell.subject) for cell in result.cells}
    write_text(path / "junit.xml", junit.render(result))
    scenarios = {scenario.name: scenario for scenario in folder.read_plan().scenarios}
    write_text(path / "report.html", html.render(result, records, subjects, scenarios))
