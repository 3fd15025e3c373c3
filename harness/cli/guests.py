# SPDX-License-Identifier: MIT
"""The main command: run."""

import sys
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from harness import PROGRAM
from harness.ask.catalog import Catalog
from harness.build.emulator import Built, provide_for
from harness.cli.cache import keep_within
from harness.cli.needs import ensure_compilers, ensure_machine
from harness.cli.options import (
    LIMIT,
    Size,
    carried_out,
    chosen_detail,
    complete_checks,
    completes,
    detail_options,
    kconfig_option,
    known_option,
    machine_option,
    variant_option,
)
from harness.cli.results import finish, remember
from harness.doctor.findings import AUTO
from harness.doctor.gather import Examination
from harness.doctor.trial import Doctor
from harness.errors import PlanError
from harness.host.progress import Progress
from harness.host.store import Cache, new_run_folder
from harness.model import Choice, Regime, Role, RunResult
from harness.run.folder import RunFolder
from harness.run.pipeline import Run, Settings
from harness.run.reproducers import DEFAULT_SECONDS
from harness.run.request import (
    DEFAULT_MACHINE,
    DEFAULT_SERIES,
    DEFAULT_SOURCE,
    Asked,
    Prepared,
    command_line,
    prepare,
    repeat_command,
    repeatable,
)


class TakesSeveral(click.Command):
    """A command whose --patch may be followed by several files, as a shell's * gives them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line, `--patch A B` as `--patch A --patch B`."""
        spread: list[str] = []
        taking = False
        for word in args:
            if taking and spread[-1] != _PATCH and not _is_option(word):
                spread.append(_PATCH)
            elif _is_option(word):
                taking = word.partition("=")[0] == _PATCH
            spread.append(word)
        return super().parse_args(ctx, spread)


_PATCH = "--patch"


def _is_option(word: str) -> bool:
    """True for an option, and not for a dash, which is standard input."""
    return word.startswith("-") and word != "-"


@click.command(cls=TakesSeveral)
@click.option(
    "--series",
    metavar="NAME",
    shell_complete=completes("series"),
    help=f"A series of kernel-patches/ to judge, against what it stands on.  "
    f"[default: {DEFAULT_SERIES}]",
)
@click.option(
    "--patch",
    "patches",
    multiple=True,
    type=click.Path(exists=True, allow_dash=True, path_type=Path),
    help="Patches to judge, against the source without them: files, several at once, in order; "
    "a folder of them, or quilt's; mails in any form, a mailbox, a thread; - for standard input.",
)
@click.option(
    "--range",
    "commits",
    metavar="A..B",
    help="The commits A..B of a git tree, against A: with --source path:DIR or git:DIR.",
)
@click.option(
    "--source",
    default=DEFAULT_SOURCE,
    show_default=True,
    metavar="KIND:WHERE",
    help="The kernel: debian:VERSION[@SUITE] (package linux-source-VERSION of any suite; "
    "debian:auto is the newest that the series fits), git:DIR-or-URL[@REF] (a commit of a "
    "clone, or of one elsewhere), tarball:FILE-or-URL[#SHA256], or path:DIR, or DIR alone "
    "(your tree as it is).  What is yours is only read.",
)
@machine_option
@variant_option
@kconfig_option
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    metavar="NAME",
    shell_complete=completes("scenarios"),
    help="Only this one of configs/scenarios/, or of a file FILE.yaml of yours; repeat for "
    "several.",
)
@click.option(
    "--check",
    "checks",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_checks,
    help="Only scenarios that ask this check, or one of this family: retention.release, "
    "sampling; repeat for several.",
)
@click.option(
    "--reproducer",
    "reproducers",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A program that shows a bug (a C file, a script, a program of the guest's), run by both "
    "kernels in a machine without network; repeat for several.",
)
@click.option(
    "--seconds",
    type=click.IntRange(1),
    default=DEFAULT_SECONDS,
    show_default=True,
    metavar="N",
    help="The guest's time for each --reproducer.",
)
@click.option(
    "--alone", is_flag=True, help="Without a reference: boot and test the candidate only."
)
@click.option(
    "--strict", is_flag=True, help="What fails on the reference as well is a failure, too: exit 1."
)
@click.option(
    "--allow-unbuilt",
    is_flag=True,
    help="Exit with 0 where nothing of the patch is in the machine's guests, instead of 3.",
)
@click.option(
    "--fail-under",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="Exit with 3 where guests executed less of the patch's lines than that.",
)
@click.option("--bare", is_flag=True, help="The source as it is, without any series.")
@click.option(
    "--upon",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="The first N of the patches are the reference's as well: judge the others against them.",
)
@click.option(
    "--fail-fast",
    is_flag=True,
    help="End at the first check that the candidate fails; what was not run is said.",
)
@click.option("--rerun", is_flag=True, help="Boot again what an identical machine did before.")
@click.option(
    "--repetitions",
    type=click.IntRange(1),
    metavar="N",
    help="Guests for each scenario, on a machine whose runs differ.  [default: the machine's]",
)
@click.option("--refresh", is_flag=True, help="Ask Debian for newer kernel sources.")
@click.option(
    "--cache-limit",
    type=Size(),
    metavar="SIZE",
    envvar=LIMIT,
    show_envvar=True,
    help="How much the cache may take when the run is over, such as 20G.  [default: a share of "
    "the disk, see configs/cache.yaml]",
)
@known_option
@carried_out("The run's folder")
@detail_options
def run(**options: Any) -> None:
    """Build, boot and judge a kernel with a series or a patch, against one without.

    Without options: the start/stop callbacks of 2010 against a kernel that
    releases and re-acquires its counters.
    """
    detail = chosen_detail(brief=options["brief"], full=options["full"])
    result, path = _run(Console(), options)
    remember(result, path)
    finish((result, path), detail)


def _run(console: Console, options: dict[str, Any]) -> tuple[RunResult, Path]:
    catalog, cache = Catalog(), Cache()
    examined, choice = choose(catalog, cache, console, options["machine"], yes=options["yes"])
    ensure_compilers(catalog, options["variants"], yes=options["yes"])
    words = {**options, "machine": choice.machine}
    asked = Asked(**{name: words[name] for name in Asked.__dataclass_fields__})
    with Progress(console) as progress:
        prepared = prepare(catalog, cache, asked, progress.say)
        plan = prepared.plan
        if options["fail_fast"] and plan.machine.regime is Regime.STATISTICAL:
            raise PlanError(
                f"--fail-fast is not for {plan.machine.name}",
                why="its guests differ, and one by itself decides nothing",
                advice="leave it out, or choose a machine in the exact regime",
            )
        emulator = provide_for(plan.machine, catalog, cache, progress)
        name = plan.subjects[Role.CANDIDATE].name
        path = new_run_folder(options["output"], time.strftime("%Y%m%d-%H%M%S"), name)
        progress.say(f"{name} on {plan.machine.name}, {len(plan.cells)} guests; results in {path}")
        settings = Settings(
            rerun=options["rerun"],
            jobs=options["jobs"],
            timeout_scale=options["timeout_scale"],
            live=True,
            fail_fast=options["fail_fast"],
        )
        run_folder = RunFolder(path)
        noted = examined.noted(choice)
        result = run_of(
            prepared,
            asked,
            run_folder,
            progress,
            settings,
            emulator=emulator,
            noted=noted,
            catalog=catalog,
        ).execute()
        keep_within(catalog, cache, progress.say, options["cache_limit"])
    return result, path


def choose(
    catalog: Catalog, cache: Cache, console: Console, name: str, *, yes: bool
) -> tuple[Examination, Choice]:
    """The machine that is played, with what it needs of the host installed.

    Where it was left to the harness, its reason is said.
    """
    if name != AUTO:
        ensure_machine(catalog, name, yes=yes)
    with Progress(console) as progress:
        examined = Examination(catalog, cache, Doctor(catalog, cache, progress), DEFAULT_MACHINE)
        choice = examined.choose(name)
        if name == AUTO:
            progress.say(f"machine {choice.machine}: {choice.reason}")
    if name == AUTO:
        ensure_machine(catalog, choice.machine, yes=yes)
    return examined, choice


def run_of(
    prepared: Prepared,
    asked: Asked,
    folder: RunFolder,
    progress: Progress,
    settings: Settings,
    *,
    emulator: Built | None,
    noted: dict[str, Any],
    catalog: Catalog | None = None,
) -> Run:
    """What carries a plan out into a run folder, whose host.json has what was `noted`."""
    again = repeatable(asked, prepared, folder.patches)
    return Run(
        prepared=prepared,
        emulator=emulator,
        noted=noted,
        catalog=catalog or Catalog(),
        cache=Cache(),
        folder=folder,
        progress=progress,
        settings=settings,
        command=command_line([PROGRAM, *sys.argv[1:]]),
        repeat=lambda cell: repeat_command(prepared.plan, again, cell),
    )
