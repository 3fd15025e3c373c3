# SPDX-License-Identifier: MIT
"""The command that puts bugs into clean kernels, to see which check catches them: mutants."""

import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console

from harness.ask.catalog import Catalog
from harness.build.emulator import provide_for
from harness.cli.coverage import measured
from harness.cli.guests import choose, run_of
from harness.cli.options import carried_out, machine_option
from harness.cli.results import EXITS
from harness.errors import Exit
from harness.host.progress import Progress
from harness.host.store import Cache, new_run_folder, write_text
from harness.model import Mutation, RunResult, Series
from harness.report import kill_matrix
from harness.report import mutation as score
from harness.run.folder import RunFolder
from harness.run.mutants import chosen, matrix
from harness.run.mutation import Campaign
from harness.run.pipeline import Run, Settings
from harness.run.request import Asked, kernel_archive, prepare
from harness.source.kernel import Request, resolve

_KERNELS = ("debian:6.1", "debian:6.12")


@click.command()
@click.option("-k", "expression", default="", metavar="REGEX", help="Only saboteurs of this name.")
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="KIND:WHERE",
    help=f"The clean kernels; repeat for several.  [default: {', '.join(_KERNELS)}; "
    "with --generate the last]",
)
@machine_option
@click.option("--meant", is_flag=True, help="Only the scenarios that a saboteur says show it.")
@click.option(
    "--generate",
    "number",
    type=click.IntRange(1),
    metavar="N",
    help="Instead of the saboteurs, N mutants of lines that guests execute, made by rule.",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Other mutants for another one."
)
@click.option(
    "--file",
    "files",
    multiple=True,
    metavar="PATH",
    help="Mutants of this source, instead of those of configs/coverage.yaml; repeat for several.",
)
@carried_out("The folder of all runs")
def mutants(**options: Any) -> NoReturn:
    """Put bugs into clean kernels, one at a time, and see which check catches each.

    The saboteurs of kernel-patches/: prints the kill matrix (saboteur x check), what survived,
    and what fails on the clean kernels.  Exits 1 if a check that was meant to turn did not, or
    if a clean kernel fails.

    With --generate, mutants that nobody thought of: prints those that survived with their diffs
    and the scenarios that executed them, and the score (docs/mutation.md).

    \b
    Examples:
      ./pmu-harness mutants -k throttle --meant
      ./pmu-harness mutants --generate 30 --seed 7 --file kernel/events/core.c
    """
    if options["number"]:
        _generated(options)
    _saboteurs(options)


def _generated(options: dict[str, Any]) -> NoReturn:
    console = Console()
    source = (options["sources"] or _KERNELS)[-1]
    words = {**options, "source": source, "scenarios": ()}
    result, found, folder, prepared = measured(console, options["files"], words)
    if found is None:
        sys.exit(EXITS[result.status])
    catalog, cache = Catalog(), Cache()
    work = prepared.source.tree.work
    texts = {path: (work / path).read_text(encoding="utf-8") for path in found.lines}
    machine = prepared.plan.machine
    with Progress(console) as progress:
        emulator = provide_for(machine, catalog, cache, progress)
        settings = Settings(
            jobs=options["jobs"], timeout_scale=options["timeout_scale"], coverage=False
        )

        def run(patch: Path, scenarios: Any, place: Path) -> Run:
            asked = Asked(
                patches=(patch,),
                source=source,
                machine=machine.name,
                scenarios=tuple(scenarios),
            )
            folder = place / "run"
            folder.mkdir(exist_ok=True)
            begun = run_of(
                prepare(catalog, cache, asked, lambda _: None),
                asked,
                RunFolder(folder),
                progress,
                settings,
                emulator=emulator,
                noted={},
            )
            begun.execute()
            return begun

        campaign = Campaign(
            coverage=found,
            texts=texts,
            triage=catalog.triaged,
            folder=folder / "mutants",
            run=run,
            say=progress.say,
        )
        done: Mutation = campaign.carry_out(options["number"], options["seed"])
    write_text(folder / "mutation.json", done.model_dump_json(indent=1) + "\n")
    score.show(console, done, str(folder))
    sys.exit(Exit.PASS)


def _saboteurs(options: dict[str, Any]) -> NoReturn:
    console = Console()
    catalog, cache = Catalog(), Cache()
    examined, choice = choose(catalog, cache, console, options["machine"], yes=options["yes"])
    wanted = chosen(catalog, options["expression"])
    sources = options["sources"] or _KERNELS
    with Progress(console) as progress:
        machine = catalog.machines[choice.machine]
        emulator = provide_for(machine, catalog, cache, progress)
        path = new_run_folder(options["output"], time.strftime("%Y%m%d-%H%M%S"), "mutants")
        progress.say(f"{len(wanted)} saboteurs; results in {path}")
        noted = examined.noted(choice)

        def run_one(series: Series, source: str) -> tuple[RunResult, Path]:
            scenarios = series.claim.scenarios if options["meant"] else ()
            variant = series.claim.variant
            asked = Asked(
                series=series.name,
                source=source,
                machine=machine.name,
                scenarios=scenarios,
                variants=(variant,) if variant else (),
            )
            folder = path / source.replace(":", "-").replace("/", "_") / Path(series.name).name
            folder.mkdir(parents=True, exist_ok=True)
            prepared = prepare(catalog, cache, asked, progress.say)
            settings = Settings(
                jobs=options["jobs"], timeout_scale=options["timeout_scale"], coverage=False
            )
            place = RunFolder(folder)
            done = run_of(
                prepared, asked, place, progress, settings, emulator=emulator, noted=noted
            ).execute()
            return done, folder

        architecture = catalog.architectures[machine.architecture]
        request = Request(cache, kernel_archive(cache, architecture), False, progress.say)
        versions = {source: resolve(source, request).version for source in sources}
        found = matrix(catalog, wanted, versions, machine, run_one)
    write_text(path / "mutants.json", found.model_dump_json(indent=1) + "\n")
    kill_matrix.show(console, found, str(path))
    sys.exit(Exit.FAIL if found.survivors or found.false_alarms else Exit.PASS)
