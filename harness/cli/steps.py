# SPDX-License-Identifier: MIT
"""The command that judges a series patch by patch: ci."""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console

from harness import PROGRAM
from harness.ask.catalog import Catalog
from harness.build.emulator import provide_for
from harness.cli.guests import choose, run, run_of
from harness.cli.options import carried_out
from harness.cli.results import (
    finish_series,
    remember,
    write_reports,
)
from harness.errors import PlanError
from harness.host.progress import Progress
from harness.host.store import Cache, new_run_folder, write_text
from harness.model import RunResult, SeriesResult
from harness.report.table import repeats
from harness.run.folder import RunFolder
from harness.run.pipeline import Settings
from harness.run.request import Asked, Prepared, command_line, settle
from harness.run.steps import SERIES_RESULT, Walk, begin
from harness.source.paths import short


@click.command()
@click.argument(
    "patches",
    nargs=-1,
    metavar="[SERIES]...",
    type=click.Path(exists=True, allow_dash=True, path_type=Path),
)
@carried_out("The series' folder, which has one of each step's run")
def ci(**options: Any) -> NoReturn:
    """Judge a series patch by patch, each against the step before.

    SERIES is what `run --patch` takes: files in order, a folder, quilt's, a mailbox, a thread, -
    for standard input; or give --range.  Says which patch broke what, which one repaired it, and
    names the first bad one.  Exits as `run` does, by the worst step.
    """
    console = Console()
    result, folder = _walk(console, options)
    finish_series(result, folder)


# Its kernel, machine and scenarios are chosen as those of `run` are.
_CHOICES = (
    *("commits", "source", "machine", "scenarios", "checks", "reproducers", "seconds"),
    *("strict", "allow_unbuilt", "rerun", "repetitions", "refresh", "known"),
)
ci.params[1:1] = [option for option in run.params if option.name in _CHOICES]


def _walk(console: Console, options: dict[str, Any]) -> tuple[SeriesResult, Path]:
    catalog, cache = Catalog(), Cache()
    if not options["patches"] and not options["commits"]:
        raise PlanError("no series was given", advice="name patches, or a git tree's --range")
    examined, choice = choose(catalog, cache, console, options["machine"], yes=options["yes"])
    words = {**options, "machine": choice.machine}
    known = [name for name in Asked.__dataclass_fields__ if name in words]
    asked = Asked(**{name: words[name] for name in known})
    settings = Settings(
        rerun=options["rerun"], jobs=options["jobs"], timeout_scale=options["timeout_scale"]
    )
    with Progress(console) as progress:
        ground = settle(catalog, cache, asked, progress.say)
        for note in ground.given.notes:
            progress.say(note)
        emulator = provide_for(ground.machine, catalog, cache, progress)
        label = short(ground.given.patches[-1].stem) if ground.given.patches else "series"
        folder = new_run_folder(options["output"], time.strftime("%Y%m%d-%H%M%S"), label)
        begin(folder)
        progress.say(f"{len(ground.given.patches)} patches; results in {folder}")

        def carry_out(
            prepared: Prepared, step: Asked, place: Path
        ) -> tuple[RunResult, Sequence[str]]:
            result = run_of(
                prepared,
                step,
                RunFolder(place),
                progress,
                settings if step.upon == 0 else replace(settings, keep_reference=True),
                emulator=emulator,
                noted=examined.noted(choice),
            ).execute()
            write_reports(result, place)
            remember(result, place)
            return result, repeats(result)

        walk = Walk(catalog, cache, ground, folder, carry_out, progress.say)
        result = walk.walk(command_line([PROGRAM, *sys.argv[1:]]))
    write_text(folder / SERIES_RESULT, result.model_dump_json(indent=1) + "\n")
    return result, folder
