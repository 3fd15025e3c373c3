# SPDX-License-Identifier: MIT
"""The command that measures what the suite executes of perf: coverage."""

import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console

from harness.ask.catalog import Catalog
from harness.build.emulator import provide_for
from harness.cli.guests import choose, run_of
from harness.cli.options import carried_out, completes, machine_option
from harness.cli.results import EXITS, write_reports
from harness.errors import Exit, PlanError
from harness.host.progress import Progress
from harness.host.store import Cache, new_run_folder, write_text
from harness.model import MeasuredSource, Plan, Regime, Role, RunResult, SuiteCoverage
from harness.report import suite_coverage, text
from harness.run.folder import RunFolder
from harness.run.pipeline import Settings
from harness.run.request import DEFAULT_SOURCE, Asked, Prepared, prepare

_JSON, _PAGE = "coverage.json", "coverage.html"


def _sources(catalog: Catalog, plan: Plan, files: tuple[str, ...]) -> list[MeasuredSource]:
    """The rows for a plan's kernel, or those of the files that were asked for."""
    if plan.machine.regime is not Regime.EXACT or plan.machine.outer:
        raise PlanError(
            f"nothing tells what guests of {plan.machine.name} execute",
            why="QEMU tells it of emulated machines on an instruction clock",
            advice="choose another one with --machine",
        )
    if files:
        return [catalog.measured_sources.get(name, MeasuredSource(name=name)) for name in files]
    version = plan.subjects[Role.CANDIDATE].version
    rows = catalog.measured_sources.values()
    return [row for row in rows if row.is_for(version, plan.machine.architecture)]


@click.command()
@click.option(
    "--source",
    default=DEFAULT_SOURCE,
    show_default=True,
    metavar="KIND:WHERE",
    help="The kernel, as for `run`.",
)
@machine_option
@click.option(
    "--file",
    "files",
    multiple=True,
    metavar="PATH",
    help="This source instead of those of configs/coverage.yaml, as kernel/events/uprobes.c; "
    "repeat for several.",
)
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    metavar="NAME",
    shell_complete=completes("scenarios"),
    help="Only this one of configs/scenarios/; repeat for several.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@carried_out("The run's folder")
def coverage(as_json: bool, files: tuple[str, ...], **options: Any) -> NoReturn:
    """Measure what the whole suite executes of perf's sources, as they are.

    Prints for each source how much of its code ran, the functions that no scenario enters, and
    the scenarios that alone execute most; coverage.html in the run's folder has each line.
    What guests over SSH and those with a register trace execute is not looked at.
    Exits as `run` does.
    """
    say = Console(stderr=as_json)
    result, found, folder, _ = measured(say, files, options)
    if found is None:
        text.show(say, result, str(folder))
        sys.exit(EXITS[result.status])
    if as_json:
        click.echo(found.model_dump_json(indent=1))
    else:
        suite_coverage.show(Console(), found, str(folder / _PAGE))
    sys.exit(EXITS.get(result.status, Exit.ERROR))


def measured(
    console: Console, files: tuple[str, ...], options: dict[str, Any]
) -> tuple[RunResult, SuiteCoverage | None, Path, Prepared]:
    """Run the suite; what it executed, None where no guest ran, and the run's folder and plan."""
    catalog, cache = Catalog(), Cache()
    examined, choice = choose(catalog, cache, console, options["machine"], yes=options["yes"])
    asked = Asked(
        source=options["source"],
        machine=choice.machine,
        scenarios=options["scenarios"],
        alone=True,
        bare=True,
    )
    with Progress(console) as progress:
        prepared = prepare(catalog, cache, asked, progress.say)
        rows = _sources(catalog, prepared.plan, files)
        emulator = provide_for(prepared.plan.machine, catalog, cache, progress)
        path = new_run_folder(options["output"], time.strftime("%Y%m%d-%H%M%S"), "coverage")
        folder = RunFolder(path)
        settings = Settings(
            jobs=options["jobs"],
            timeout_scale=options["timeout_scale"],
            sources=tuple(row.name for row in rows),
        )
        run = run_of(
            prepared,
            asked,
            folder,
            progress,
            settings,
            emulator=emulator,
            noted=examined.noted(choice),
        )
        result = run.execute()
    write_reports(result, path)
    if result.failures or run.watch is None:
        return result, None, path, prepared
    found = run.watch.of_sources(prepared.plan, folder, rows)
    _leave(found, prepared, path)
    return result, found, path, prepared


def _leave(found: SuiteCoverage, prepared: Prepared, path: Path) -> None:
    """Write what was found, for programs and for a browser."""
    write_text(path / _JSON, found.model_dump_json(indent=1) + "\n")
    work = prepared.source.tree.work
    names = {one.path for one in found.functions}
    texts = {name: (work / name).read_text(errors="replace") for name in names}
    write_text(path / _PAGE, suite_coverage.page(found, texts))
