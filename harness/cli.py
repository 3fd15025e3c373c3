# SPDX-License-Identifier: MIT
"""The command line: the one place that exits."""

import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console

from harness import __version__, process
from harness import setup as host_setup
from harness.catalog import ROOT, Catalog
from harness.checks import CHECKS
from harness.debian import Archive
from harness.doctor.findings import AUTO
from harness.doctor.gather import Examination, accelerator_of
from harness.doctor.trial import Doctor
from harness.emulator.build import Built, provide, provide_for
from harness.errors import Exit, HarnessError
from harness.kernel.source import Request, resolve
from harness.model import Choice, Package, Role, RunResult, Series, Status
from harness.mutants import chosen, matrix
from harness.pipeline import Run, Settings, rejudge
from harness.progress import Progress
from harness.report import examination, html, junit, kill_matrix, text
from harness.request import (
    DEFAULT_MACHINE,
    DEFAULT_SERIES,
    DEFAULT_SOURCE,
    PROGRAM,
    Asked,
    Prepared,
    prepare,
    repeat_command,
)
from harness.runfolder import HOST, RunFolder
from harness.shell import enter, prepare_place
from harness.store import Cache, default_runs, new_run_folder, write_json, write_text

_EXITS = {
    Status.PASS: Exit.PASS,
    Status.SKIP: Exit.ERROR,
    Status.INCONCLUSIVE: Exit.ERROR,
    Status.ERROR: Exit.ERROR,
    Status.FAIL: Exit.FAIL,
}

HELP = """Does a Linux kernel keep its perf counters while it adjusts the sampling period?

Builds a kernel without and with a patch, boots both in QEMU with a virtual
PMU, runs perf workloads in the guest, and says with evidence whether every
event kept its counter and its counts.

\b
Examples:
  ./pmu-harness run                               the 2010 callbacks, against a kernel without
  ./pmu-harness run --patch my.patch              your patch, against the kernel without it
  ./pmu-harness run --source path:~/linux         your tree as it is
  ./pmu-harness run --series pre-callbacks        a kernel that loses its counters: exits 1
  ./pmu-harness mutants -k throttle               which check catches which bug
  ./pmu-harness shell -- perf stat true           perf in a guest of the kernel under test
  ./pmu-harness doctor                            what this host can do, and why not more
  ./pmu-harness emulator build                    the patched QEMUs, before a run needs them
  ./pmu-harness judge RUN                         judge a stored run again, offline
  ./pmu-harness test                              the project's own tests

\b
Exit status:
  0  every check passes, and what the series claims holds
  1  the kernel under test is at fault: a check, its patch, its build, its boot
  2  what was asked for does not exist
  3  no verdict: the host or the harness is at fault, or the data do not decide
"""


@click.group(help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pmu-harness")
def cli() -> None:
    """The group that holds the commands."""


def _detail_options(command: Any) -> Any:
    """--brief and --full, for the commands that print a run's results."""
    brief = click.option("--brief", is_flag=True, help="Print only what did not pass.")
    full = click.option("--full", is_flag=True, help="Print what every check measured.")
    return brief(full(command))


def _detail(*, brief: bool, full: bool) -> text.Detail:
    if brief and full:
        raise click.UsageError("--brief and --full exclude each other")
    return text.Detail.BRIEF if brief else text.Detail.FULL if full else text.Detail.NORMAL


def _names(kind: str, *also: str) -> Any:
    """Completion for the names of a kind of row, and what else may be said."""

    def complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
        names = [*getattr(Catalog(), kind), *also]
        return [name for name in names if name.startswith(incomplete)]

    return complete


_machine_option = click.option(
    "--machine",
    default=DEFAULT_MACHINE,
    show_default=True,
    metavar="NAME",
    shell_complete=_names("machines", AUTO),
    help="The virtual machine, a row of configs/machines.yaml, or auto: one on this host's own "
    "hardware where `doctor` finds that to work, else the default.",
)
_jobs_option = click.option(
    "--jobs", type=click.IntRange(1), default=os.cpu_count(), help="Guests at a time."
)
_patience_option = click.option(
    "--timeout-scale",
    type=click.FloatRange(0.1),
    default=1.0,
    help="Patience with guests, for slow hosts.",
)
_yes_option = click.option("--yes", is_flag=True, help="Install missing packages without asking.")


@cli.command()
@click.option(
    "--series",
    metavar="NAME",
    shell_complete=_names("series"),
    help=f"A series of kernel-patches/ to judge, against what it stands on.  "
    f"[default: {DEFAULT_SERIES}]",
)
@click.option(
    "--patch",
    "patches",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A patch to judge, against the source without it.  Repeat for several, in order.",
)
@click.option(
    "--source",
    default=DEFAULT_SOURCE,
    show_default=True,
    metavar="KIND:WHERE",
    help="The kernel: debian:6.12 (package linux-source-6.12), debian:auto (the newest that "
    "the series fits), or path:DIR (your tree; it is only read).",
)
@_machine_option
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    metavar="NAME",
    shell_complete=_names("scenarios"),
    help="Only this one of configs/scenarios/; repeat for several.",
)
@click.option(
    "--alone", is_flag=True, help="Without a reference: boot and test the candidate only."
)
@click.option("--rerun", is_flag=True, help="Boot again what an identical machine did before.")
@click.option("--refresh", is_flag=True, help="Ask Debian for newer kernel sources.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"The run's folder.  [default: a new one in {default_runs()}]",
)
@_jobs_option
@_patience_option
@_yes_option
@_detail_options
def run(**options: Any) -> None:
    """Build, boot and judge a kernel with a series or a patch, against one without.

    Without options: the start/stop callbacks of 2010 against a kernel that
    releases and re-acquires its counters.
    """
    detail = _detail(brief=options["brief"], full=options["full"])
    _finish(_run(Console(), options), detail)


def _run(console: Console, options: dict[str, Any]) -> tuple[RunResult, Path]:
    catalog, cache = Catalog(), Cache()
    examined, choice = _choose(catalog, cache, console, options["machine"], yes=options["yes"])
    words = {**options, "machine": choice.machine}
    asked = Asked(**{name: words[name] for name in Asked.__dataclass_fields__})
    with Progress(console) as progress:
        prepared = prepare(catalog, cache, asked, progress.say)
        plan = prepared.plan
        emulator = provide_for(plan.machine, catalog, cache, progress)
        name = plan.subjects[Role.CANDIDATE].name
        path = new_run_folder(options["output"], time.strftime("%Y%m%d-%H%M%S"), name)
        progress.say(f"{name} on {plan.machine.name}, {len(plan.cells)} guests; results in {path}")
        settings = Settings(
            rerun=options["rerun"], jobs=options["jobs"], timeout_scale=options["timeout_scale"]
        )
        run_folder = RunFolder(path)
        noted = examined.noted(choice)
        result = _execute(
            prepared, asked, run_folder, progress, settings, emulator=emulator, noted=noted
        )
    return result, path


def _choose(
    catalog: Catalog, cache: Cache, console: Console, name: str, *, yes: bool
) -> tuple[Examination, Choice]:
    """The machine that is played, with what it needs of the host installed.

    Where it was left to the harness, its reason is said.
    """
    if name != AUTO:
        _ensure_machine(catalog, name, yes=yes)
    with Progress(console) as progress:
        examined = Examination(catalog, cache, Doctor(catalog, cache, progress), DEFAULT_MACHINE)
        choice = examined.choose(name)
        if name == AUTO:
            progress.say(f"machine {choice.machine}: {choice.reason}")
    if name == AUTO:
        _ensure_machine(catalog, choice.machine, yes=yes)
    return examined, choice


def _execute(
    prepared: Prepared,
    asked: Asked,
    folder: RunFolder,
    progress: Progress,
    settings: Settings,
    *,
    emulator: Built | None,
    noted: dict[str, Any],
) -> RunResult:
    """Carry a plan out into a run folder, whose host.json has what was `noted` of the host."""
    return Run(
        prepared=prepared,
        emulator=emulator,
        noted=noted,
        catalog=Catalog(),
        cache=Cache(),
        folder=folder,
        progress=progress,
        settings=settings,
        command=shlex.join([PROGRAM, *sys.argv[1:]]),
        repeat=lambda cell: repeat_command(prepared.plan, asked, cell),
    ).execute()


@cli.command(context_settings={"allow_interspersed_args": False})
@click.option("--gdb", is_flag=True, help="Start paused, for a gdb that attaches; with DWARF.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def shell(
    gdb: bool,
    command: tuple[str, ...],
    timeout_scale: float,
    yes: bool,
    machine: str,
    **asked: Any,
) -> NoReturn:
    """A shell in a guest of the kernel under test, with perf; or COMMAND there.

    Exits with the status of the shell or of COMMAND.  What is written in the
    guest is gone with it.
    """
    catalog, cache = Catalog(), Cache()
    console = Console(stderr=True)
    examined, choice = _choose(catalog, cache, console, machine, yes=yes)
    with Progress(console) as progress:
        prepared = prepare(catalog, cache, Asked(machine=choice.machine, **asked), progress.say)
        place = prepare_place(prepared, catalog, cache, progress, debug=gdb)
        write_json(place.folder / HOST, examined.noted(choice))
    sys.exit(enter(place, command, timeout_scale, lambda text: click.echo(text, err=True)))


# Its kernel and machine are chosen as those of `run` are.
_CHOICES = ("series", "patches", "source", "machine", "refresh", "timeout_scale", "yes")
shell.params[:0] = [option for option in run.params if option.name in _CHOICES]


def _ensure_machine(catalog: Catalog, name: str, *, yes: bool) -> None:
    """What the machine of that name needs of the host."""
    machine = catalog.find("machines", name)
    played = accelerator_of(machine, catalog)
    names = (machine.architecture, machine.emulator, played.name if played else None)
    _ensure_packages([row for row in catalog.packages if row.needed_for(*names)], yes=yes)


def _ensure_packages(packages: Sequence[Package], *, yes: bool) -> None:
    host_setup.ensure(
        packages,
        yes=yes,
        say=lambda text: click.echo(text, err=True),
        ask=lambda question: click.confirm(question, default=True, err=True),
    )


@cli.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(exists=True, path_type=Path))
@_detail_options
def judge(run_folder: Path, brief: bool, full: bool) -> None:
    """Judge a stored run again, with the checks of today; no kernel, no QEMU."""
    detail = _detail(brief=brief, full=full)
    _finish((rejudge(RunFolder(run_folder)), run_folder), detail)


@cli.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(exists=True, path_type=Path))
@_detail_options
def report(run_folder: Path, brief: bool, full: bool) -> None:
    """Show a stored run's results, and write its reports anew."""
    detail = _detail(brief=brief, full=full)
    _finish((RunFolder(run_folder).read_results(), run_folder), detail)


@cli.command()
@click.option("-k", "expression", default="", metavar="REGEX", help="Only saboteurs of this name.")
@click.option(
    "--source",
    "sources",
    multiple=True,
    default=("debian:6.1", "debian:6.12"),
    show_default=True,
    metavar="KIND:WHERE",
    help="The clean kernels.  Repeat for several.",
)
@_machine_option
@click.option("--meant", is_flag=True, help="Only the scenarios that a saboteur says show it.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"The folder of all runs.  [default: a new one in {default_runs()}]",
)
@_jobs_option
@_patience_option
@_yes_option
def mutants(**options: Any) -> NoReturn:
    """Put each saboteur of kernel-patches/ into clean kernels, and see which check catches it.

    Prints the kill matrix (saboteur x check), what survived, and what fails on
    the clean kernels.  Exits 1 if a check that was meant to turn did not, or if
    a clean kernel fails.
    """
    console = Console()
    catalog, cache = Catalog(), Cache()
    examined, choice = _choose(catalog, cache, console, options["machine"], yes=options["yes"])
    wanted = chosen(catalog, options["expression"])
    with Progress(console) as progress:
        machine = catalog.machines[choice.machine]
        emulator = provide_for(machine, catalog, cache, progress)
        path = new_run_folder(options["output"], time.strftime("%Y%m%d-%H%M%S"), "mutants")
        progress.say(f"{len(wanted)} saboteurs; results in {path}")
        noted = examined.noted(choice)

        def run_one(series: Series, source: str) -> tuple[RunResult, Path]:
            scenarios = series.claim.scenarios if options["meant"] else ()
            asked = Asked(
                series=series.name, source=source, machine=machine.name, scenarios=scenarios
            )
            folder = path / source.replace(":", "-").replace("/", "_") / Path(series.name).name
            folder.mkdir(parents=True, exist_ok=True)
            prepared = prepare(catalog, cache, asked, progress.say)
            settings = Settings(jobs=options["jobs"], timeout_scale=options["timeout_scale"])
            place = RunFolder(folder)
            done = _execute(
                prepared, asked, place, progress, settings, emulator=emulator, noted=noted
            )
            return done, folder

        architecture = catalog.architectures[machine.architecture]
        request = Request(cache, Archive(cache, architecture.debian), False, progress.say)
        versions = {source: resolve(source, request).version for source in options["sources"]}
        found = matrix(catalog, wanted, versions, machine, run_one)
    write_text(path / "mutants.json", found.model_dump_json(indent=1) + "\n")
    kill_matrix.show(console, found, str(path))
    sys.exit(Exit.FAIL if found.survivors or found.false_alarms else Exit.PASS)


@cli.command(name="doctor")
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


@cli.group()
def emulator() -> None:
    """QEMUs of the harness's own, for machines that the host's QEMU cannot play.

    They are rows of configs/emulators.yaml: a source, the patches of
    qemu-patches/, and the firmware.  A machine's row names one, and then `run`,
    `mutants` and `shell` build it when they first need it.
    """


@emulator.command(name="build")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=_names("emulators"))
@click.option("--rerun", is_flag=True, help="Build again, from nothing, what is there already.")
@click.option("--refresh", is_flag=True, help="Ask Debian for a newer source and firmware.")
@_yes_option
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
    _ensure_packages([row for row in catalog.packages if row.needed_for(*names)], yes=yes)
    with Progress(Console(stderr=True)) as progress:
        made = [
            provide(name, catalog, cache, progress, refresh=refresh, rerun=rerun) for name in names
        ]
    for built in made:
        click.echo(f"{built.row.name}: {built.facts['version']}")
        click.echo(f"digest {built.digest}, firmware {built.program.firmware}")
        click.echo(built.program.binary)


@cli.command(name="list")
def list_() -> None:
    """The series, machines, accelerators, emulators, scenarios and checks that there are."""
    catalog = Catalog()
    tables = {
        "series": {name: row.title for name, row in catalog.series.items()},
        "machines": {name: row.title for name, row in catalog.machines.items()},
        "accelerators": {name: row.title for name, row in catalog.accelerators.items()},
        "emulators": {name: row.title for name, row in catalog.emulators.items()},
        "scenarios": {name: row.title for name, row in catalog.scenarios.items()},
        "checks": {name: check.question for name, check in CHECKS.items()},
    }
    for kind, rows in tables.items():
        click.secho(kind, bold=True)
        for name, title in rows.items():
            click.echo(f"  {name:<34} {title}")


@cli.command()
@click.option("--yes", is_flag=True, help="Install without asking.")
def setup(yes: bool) -> None:
    """Install what the host lacks: QEMU, a cross compiler, kernel build tools."""
    _ensure_packages(Catalog().packages, yes=yes)
    click.echo("Nothing is missing.")


class _KeepsDashes(click.Command):
    """A command whose arguments keep a `--` that belongs to another program."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            # click removes the first one.
            args.insert(args.index("--"), "--")
        return super().parse_args(ctx, args)


@cli.command(cls=_KeepsDashes, context_settings={"ignore_unknown_options": True})
@_yes_option
@click.argument("tox_arguments", nargs=-1, type=click.UNPROCESSED)
def test(yes: bool, tox_arguments: tuple[str, ...]) -> NoReturn:
    """Run the project's own tests through tox: unit, component, guest, lint.

    TOX_ARGUMENTS go to tox, such as `-e unit` or `-e guest -- -k retention`.
    """
    _ensure_packages(Catalog().packages, yes=yes)
    tox = str(Path(sys.executable).parent / "tox")
    os.chdir(ROOT)
    os.execv(tox, [tox, "run", *tox_arguments])


def _finish(outcome: tuple[RunResult, Path], detail: text.Detail) -> NoReturn:
    """Write the reports, show the text, exit with the run's status."""
    result, path = outcome
    folder = RunFolder(path)
    records = {cell.cell.id: folder.observed(cell.cell).records for cell in result.cells}
    subjects = {cell.cell.subject: folder.facts(cell.cell.subject) for cell in result.cells}
    write_text(path / "junit.xml", junit.render(result))
    scenarios = {scenario.name: scenario for scenario in folder.read_plan().scenarios}
    write_text(path / "report.html", html.render(result, records, subjects, scenarios))
    text.show(Console(), result, str(path), detail)
    sys.exit(_EXITS[result.status])


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> NoReturn:
    """Run the command line; turn every failure into a message and an exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        cli.main(prog_name=PROGRAM, standalone_mode=False)
        sys.exit(Exit.PASS)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.Abort:
        _stopped()
    except click.ClickException as error:
        error.show()
        sys.exit(Exit.PLAN)
    except HarnessError as error:
        click.echo("\n".join(error.lines()), err=True)
        sys.exit(error.blame.exit_code)
    except OSError as error:
        click.echo(f"error:    {error}", err=True)
        click.echo("next:     check the disk (df) and the permissions, then run it again", err=True)
        sys.exit(Exit.ERROR)
    except KeyboardInterrupt:
        _stopped()


def _stopped() -> NoReturn:
    process.stop_all()
    click.echo("interrupted: all children are ended; run the same command to go on", err=True)
    sys.exit(Exit.INTERRUPTED)
