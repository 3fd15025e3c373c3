# SPDX-License-Identifier: MIT
"""The command that runs the whole suite on kernel after kernel: ladder."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console

from harness.ask.catalog import Catalog
from harness.build.emulator import provide_for
from harness.cli.guests import choose, run_of
from harness.cli.options import carried_out, completes
from harness.cli.results import EXITS, remember, write_reports
from harness.errors import HarnessError
from harness.host.progress import Progress
from harness.host.store import Cache, new_run_folder, write_text
from harness.model import Ladder, LadderRow, Promises, Rung
from harness.report import ladder as table
from harness.run.folder import RunFolder
from harness.run.ladder import chosen, exit_of, fallen, row_of, scenarios_of
from harness.run.pipeline import Settings
from harness.run.request import Asked, prepare


@dataclass(frozen=True)
class _Climb:
    """What the rows of one ladder have in common."""

    catalog: Catalog
    cache: Cache
    console: Console
    folder: Path
    settings: Settings
    yes: bool
    promises: Promises | None

    def row(self, rung: Rung, machine: str) -> LadderRow:
        """One kernel on one machine; what does not even begin is a row as well."""
        began = time.monotonic()
        try:
            return self._run(rung, machine)
        except HarnessError as error:
            return fallen(rung, machine, error, time.monotonic() - began)

    def _run(self, rung: Rung, machine: str) -> LadderRow:
        examined, choice = choose(self.catalog, self.cache, self.console, machine, yes=self.yes)
        asked = Asked(
            source=rung.source,
            machine=choice.machine,
            scenarios=scenarios_of(self.catalog, self.promises, choice.machine),
            alone=True,
            bare=True,
        )
        folder = self.folder / _safe(rung.name) / machine
        folder.mkdir(parents=True, exist_ok=True)
        with Progress(self.console) as progress:
            prepared = prepare(self.catalog, self.cache, asked, progress.say)
            emulator = provide_for(prepared.plan.machine, self.catalog, self.cache, progress)
            progress.say(f"{rung.name} on {machine}, {len(prepared.plan.cells)} guests")
            result = run_of(
                prepared,
                asked,
                RunFolder(folder),
                progress,
                self.settings,
                emulator=emulator,
                noted=examined.noted(choice),
            ).execute()
        write_reports(result, folder)
        remember(result, folder)
        status = EXITS[result.status]
        return row_of(
            rung,
            prepared.plan,
            result,
            status=status,
            evidence=folder,
            promises=self.promises,
        )


def _safe(name: str) -> str:
    """A kernel's name as that of a folder."""
    return name.replace("/", "_").replace(":", "-")


@click.command()
@click.option(
    "--kernel",
    "kernels",
    multiple=True,
    metavar="NAME",
    shell_complete=completes("ladder"),
    help="Only this row of configs/ladder.yaml; repeat for several.",
)
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="KIND:WHERE",
    help="A kernel that has no row, instead; repeat for several.",
)
@click.option(
    "--machine",
    "machines",
    multiple=True,
    metavar="NAME",
    shell_complete=completes("machines"),
    help="Only this machine; repeat for several.  [default: the row's]",
)
@click.option(
    "--promises",
    metavar="NAME",
    shell_complete=completes("promises"),
    help="Only what shows a row of configs/promises.yaml: which kernel keeps to which of them.",
)
@click.option("--rerun", is_flag=True, help="Boot again what an identical machine did before.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@carried_out("The folder of all runs")
def ladder(as_json: bool, **options: Any) -> NoReturn:
    """Run the whole suite on each kernel that is kept green, as it is, on each machine.

    Prints kernel x machine: how many verdicts there are of each kind, and the first words of
    any trouble.  Exits as `run` does, by the worst of them.
    """
    catalog, say = Catalog(), Console(stderr=True)
    wanted = chosen(catalog, options["kernels"], options["sources"], options["machines"])
    folder = new_run_folder(options["output"], time.strftime("%Y%m%d-%H%M%S"), "ladder")
    settings = Settings(
        rerun=options["rerun"], jobs=options["jobs"], timeout_scale=options["timeout_scale"]
    )
    promises = catalog.find("promises", options["promises"]) if options["promises"] else None
    climb = _Climb(catalog, Cache(), say, folder, settings, options["yes"], promises)
    done = Ladder(rows=tuple(climb.row(rung, machine) for rung, machine in wanted))
    write_text(folder / "ladder.json", done.model_dump_json(indent=1) + "\n")
    if as_json:
        click.echo(done.model_dump_json(indent=1))
    else:
        table.show(Console(), done, str(folder))
    sys.exit(exit_of(done.rows))
