# SPDX-License-Identifier: MIT
"""The command that looks for what nobody thought of: explore."""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console

from harness.ask.catalog import SCENARIO_FILE, Catalog, as_yaml
from harness.build.emulator import provide_for
from harness.checks import CHECKS
from harness.cli.guests import TakesSeveral, choose, run, run_of
from harness.cli.options import carried_out, completes
from harness.errors import Exit, PlanError
from harness.explore.possible import Draft, draft_of
from harness.host.progress import Progress
from harness.host.store import Cache, new_run_folder, write_text
from harness.model import CALLS, Cell, Exploration, Plan, Regime, Role
from harness.report import exploration as report
from harness.run.explore import Budget, Explorer
from harness.run.folder import RunFolder
from harness.run.pipeline import Settings
from harness.run.request import Asked, Prepared, prepare, repeat_command, repeatable

_JSON = "exploration.json"
_DEFAULT_MINUTES = 10.0


@click.command(cls=TakesSeveral)
@click.option("--bare", is_flag=True, help="The kernel as it is, without a reference.")
@click.option(
    "--minutes",
    type=click.FloatRange(0.1),
    help=f"End after so long, building apart.  [default: {_DEFAULT_MINUTES:g}, or none with "
    "--examples]",
)
@click.option("--examples", type=click.IntRange(1), help="End after so many scenarios.")
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Other scenarios for another one."
)
@click.option("--fail-fast", is_flag=True, help="End with the first fault that is found.")
@click.option(
    "--without",
    multiple=True,
    metavar="NAME",
    shell_complete=completes("scenarios"),
    help="Do not vary this scenario of configs/scenarios/; repeat for several.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@carried_out("The folder of what is found")
def explore(as_json: bool, **options: Any) -> NoReturn:
    """Draw scenarios by chance, and look for one that the kernel fails.

    Those of configs/scenarios/ are varied, and new ones made; what reaches code that nothing
    reached before is varied again, with a patch what enters its functions most of all.  Judged
    is what holds for every scenario, and what the reference does and the candidate does not.
    A failure is cut down to the smallest scenario that shows it, and written as a file for
    `run --scenario FILE`.  The same seed draws the same scenarios.

    Exits 1 if a fault was found, 3 if most examples could not be judged, else 0.

    \b
    Examples:
      ./pmu-harness explore --patch my.patch --minutes 10
      ./pmu-harness explore --bare --source debian:6.12 --examples 500 --seed 7
    """
    console = Console(stderr=as_json)
    catalog, cache = Catalog(), Cache()
    examined, choice = choose(catalog, cache, console, options["machine"], yes=options["yes"])
    kernel = ("series", "patches", "commits", "source", "kconfig", "refresh", "bare")
    asked = Asked(machine=choice.machine, **{name: options[name] for name in kernel})
    path = new_run_folder(options["output"], time.strftime("%Y%m%d-%H%M%S"), "explore")
    folder = RunFolder(path)
    settings = Settings(jobs=options["jobs"], timeout_scale=options["timeout_scale"])
    with Progress(console) as progress:
        prepared = _without_tools(prepare(catalog, cache, asked, progress.say))
        _see_that_it_repeats(prepared.plan)
        emulator = provide_for(prepared.plan.machine, catalog, cache, progress)
        folder.begin(prepared.plan, examined.noted(choice))
        explorer = Explorer(
            run=run_of(
                prepared,
                asked,
                folder,
                progress,
                settings,
                emulator=emulator,
                noted=examined.noted(choice),
            ),
            corpus=_corpus(catalog, prepared, options["without"]),
            repeat=lambda file: _repeat(prepared, asked, folder, path / file),
            keep=lambda check, draft: _kept(path, check, draft),
            sources=_sources(catalog, prepared.plan),
            jobs=settings.jobs,
        )
        explorer.build()
        found = explorer.explore(options["seed"], _budget(options))
    write_text(path / _JSON, found.model_dump_json(indent=1) + "\n")
    _say(console, found, path, as_json=as_json)
    if not found.decides:
        sys.exit(Exit.ERROR)
    sys.exit(Exit.FAIL if found.discoveries else Exit.PASS)


# What it takes of `run`'s: which kernels, on which machine.
_KERNELS = ("series", "patches", "commits", "source", "machine", "kconfig", "refresh")
explore.params[:0] = [option for option in run.params if option.name in _KERNELS]


def _say(console: Console, found: Exploration, path: Path, *, as_json: bool) -> None:
    if as_json:
        click.echo(found.model_dump_json(indent=1))
    else:
        report.show(console, found, str(path))


def _without_tools(prepared: Prepared) -> Prepared:
    """The scenarios that may be varied: no program of others is needed."""
    rows = tuple(row for row in prepared.plan.scenarios if row.speaks_of_calls)
    plan = prepared.plan.model_copy(update={"scenarios": rows, "cells": ()})
    return replace(prepared, plan=plan)


def _budget(options: dict[str, Any]) -> Budget:
    minutes = options["minutes"]
    if minutes is None and options["examples"] is None:
        minutes = _DEFAULT_MINUTES
    seconds = None if minutes is None else 60 * minutes
    return Budget(options["examples"], seconds, options["fail_fast"])


def _see_that_it_repeats(plan: Plan) -> None:
    """Raise PlanError for a machine on which one guest tells nothing by itself."""
    if plan.machine.regime is not Regime.EXACT or plan.machine.outer:
        raise PlanError(
            f"{plan.machine.name} is not for exploring",
            why="one guest by itself has to tell what a kernel does, and in a second or two",
            advice="choose an emulated machine on an instruction clock with --machine",
        )


def _corpus(catalog: Catalog, prepared: Prepared, left_out: tuple[str, ...]) -> list[Draft]:
    """The suite's scenarios that are events, tasks and steps, but those left out."""
    for name in left_out:
        catalog.find("scenarios", name)
    rows = [row for row in prepared.plan.scenarios if row.plain_name not in left_out]
    return [draft for row in rows if (draft := draft_of(row)) is not None]


def _sources(catalog: Catalog, plan: Plan) -> list[str]:
    version = plan.subjects[Role.CANDIDATE].version
    architecture = plan.machine.architecture
    rows = catalog.measured_sources.values()
    return [row.name for row in rows if row.is_for(version, architecture)]


def _kept(path: Path, check: str, draft: Draft) -> str:
    """Write a scenario that shows a fault; the name of its file."""
    name = f"found-{check.replace('.', '-')}{SCENARIO_FILE}"
    text = f"# Drawn by chance, and cut down: {check} fails.\n" + as_yaml(
        {
            **draft,
            "title": f"Shows a fault: {check}",
            # What every scenario is asked need not be named, the kernel's health cannot be.
            "checks": [check if check in CHECKS else CALLS],
        }
    )
    write_text(path / name, text)
    return name


def _repeat(prepared: Prepared, asked: Asked, folder: RunFolder, file: Path) -> str:
    again = repeatable(replace(asked, scenarios=(str(file),)), prepared, folder.patches)
    plan = prepared.plan
    cell = Cell(
        subject=plan.subjects[Role.CANDIDATE].name,
        role=Role.CANDIDATE,
        machine=plan.machine.name,
        scenario=file.stem,
    )
    return repeat_command(plan, again, cell)
