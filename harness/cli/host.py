# SPDX-License-Identifier: MIT
"""Commands about this host and what is built for it: doctor, emulator, list, setup, test."""

import os
import sys
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console

from harness.ask.catalog import ROOT, Catalog
from harness.build.emulator import provide
from harness.checks import CHECKS
from harness.cli.needs import ensure_packages
from harness.cli.options import completes, yes_option
from harness.doctor.gather import Examination
from harness.doctor.trial import Doctor
from harness.errors import Exit
from harness.host.progress import Progress
from harness.host.store import Cache
from harness.model import LLVM, PLAIN
from harness.report import examination
from harness.run.request import DEFAULT_MACHINE


@click.command(name="doctor")
@click.option("--rerun", is_flag=True, help="Try again what is remembered since the host booted.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def doctor_(rerun: bool, as_json: bool) -> NoReturn:
    """What this host can do, why not more, and what to do about it.

    Accelerators are believed only after a boot: a guest of a few kilobytes
    starts a counter, reads it, and takes its overflow, within seconds or not
    at all.  What was seen holds until the host boots again, or
    QEMU or the device changes.  Installs nothing.

    Exits with 0 if the host can do the main job, with 3 if it cannot.

    \b
    Examples:
      ./pmu-harness doctor
      ./pmu-harness doctor --json | jq '.findings[] | select(.good | not)'
    """
    catalog, cache = Catalog(), Cache()
    with Progress(Console(stderr=True)) as progress:
        doctor = Doctor(catalog, cache, progress, rerun=rerun)
        diagnosis = Examination(catalog, cache, doctor, DEFAULT_MACHINE).diagnose()
    if as_json:
        click.echo(diagnosis.model_dump_json(indent=1))
    else:
        examination.show(Console(), diagnosis)
    sys.exit(Exit.PASS if diagnosis.able else Exit.ERROR)


@click.group()
def emulator() -> None:
    """QEMUs of the harness's own, for machines that the host's QEMU cannot play.

    They are rows of configs/emulators.yaml: a source, the patches of
    qemu-patches/, and the firmware.  A machine's row names one, and then `run`,
    `mutants` and `shell` build it when they first need it.
    """


@emulator.command(name="build")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=completes("emulators"))
@click.option("--rerun", is_flag=True, help="Build again, from nothing, what is there already.")
@click.option("--refresh", is_flag=True, help="Ask Debian for a newer source and firmware.")
@yes_option
def emulator_build(names: tuple[str, ...], rerun: bool, refresh: bool, yes: bool) -> None:
    """Build the emulators NAME, or all of them: once, and again when a patch changes.

    The first build takes about 8 CPU minutes; a changed patch compiles again
    what it touches; what is up to date costs nothing.  Standard output has the
    version, the digest and, alone on the last line, the program's path.

    \b
    Examples:
      ./pmu-harness emulator build
      $(./pmu-harness emulator build NAME | tail -1) -cpu help
    """
    catalog, cache = Catalog(), Cache()
    names = names or tuple(catalog.emulators)
    for name in names:
        catalog.find("emulators", name)
    ensure_packages([row for row in catalog.packages if row.needed_for(*names)], yes=yes)
    with Progress(Console(stderr=True)) as progress:
        made = [
            provide(name, catalog, cache, progress, refresh=refresh, rerun=rerun) for name in names
        ]
    for built in made:
        click.echo(f"{built.row.name}: {built.facts['version']}")
        click.echo(f"digest {built.digest}, firmware {built.program.firmware}")
        click.echo(built.program.binary)


@click.command(name="list")
def list_() -> None:
    """The series, machines, accelerators, emulators, variants, scenarios and checks."""
    catalog = Catalog()
    tables = {
        "series": {name: row.title for name, row in catalog.series.items()},
        "machines": {name: row.title for name, row in catalog.machines.items()},
        "accelerators": {name: row.title for name, row in catalog.accelerators.items()},
        "outers": {name: row.title for name, row in catalog.outers.items()},
        "emulators": {name: row.title for name, row in catalog.emulators.items()},
        "variants": {
            PLAIN: "as configs/architectures.yaml has it",
            **{name: row.title for name, row in catalog.variants.items()},
        },
        "scenarios": {name: row.title for name, row in catalog.scenarios.items()},
        "checks": {name: check.question for name, check in CHECKS.items()},
    }
    for kind, rows in tables.items():
        click.secho(kind, bold=True)
        for name, title in rows.items():
            click.echo(f"  {name:<34} {title}")


@click.command()
@click.option("--yes", is_flag=True, help="Install without asking.")
def setup(yes: bool) -> None:
    """Install what the host lacks: QEMU, a cross compiler, kernel build tools."""
    ensure_packages(Catalog().packages, yes=yes)
    click.echo("Nothing is missing.")


class _KeepsDashes(click.Command):
    """A command whose arguments keep a `--` that belongs to another program."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            # click removes the first one.
            args.insert(args.index("--"), "--")
        return super().parse_args(ctx, args)


@click.command(cls=_KeepsDashes, context_settings={"ignore_unknown_options": True})
@yes_option
@click.argument("tox_arguments", nargs=-1, type=click.UNPROCESSED)
def test(yes: bool, tox_arguments: tuple[str, ...]) -> NoReturn:
    """Run the project's own tests through tox: lint, unit, component, emulator, guest.

    TOX_ARGUMENTS go to tox, such as `-e unit` or `-e guest -- -k retention`.
    """
    ensure_packages([row for row in Catalog().packages if LLVM not in row.only], yes=yes)
    tox = str(Path(sys.executable).parent / "tox")
    os.chdir(ROOT)
    os.execv(tox, [tox, "run", *tox_arguments])
