# SPDX-License-Identifier: MIT
"""The command that finds the first bad commit, by git's own bisection."""

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console

from harness import PROGRAM
from harness.ask.catalog import Catalog
from harness.build.emulator import provide_for
from harness.cli.guests import TakesSeveral, choose, run, run_of
from harness.cli.options import carried_out
from harness.cli.results import write_reports
from harness.errors import Exit, HarnessError, PlanError
from harness.host.progress import Progress
from harness.host.store import Cache, new_run_folder
from harness.model import Bisection, RunResult, Tried, Trying
from harness.report import compare as shown
from harness.run import bisect as bisecting
from harness.run.bisect import ABORT, STATUSES, STEP, Repository, State
from harness.run.folder import RunFolder, write_patches
from harness.run.pipeline import Settings
from harness.run.request import Asked, Prepared, command_line, planned, prepare, settle
from harness.source.clone import Clone
from harness.source.kernel import local_repository
from harness.verdict.bisect import taken, unbuilt, wanted

_PATCHES = "patches"


@dataclass(frozen=True)
class _Bench:
    """Carries out one commit after the other."""

    folder: Path
    console: Console
    settings: Settings
    yes: bool

    def carry_out(self, state: State, commit: str, name: str) -> RunResult:
        """Build a commit, boot and judge it, without a reference; its run is in a folder."""
        catalog, cache = Catalog(), Cache()
        asked = replace(state.asked, alone=True)
        examined, choice = choose(catalog, cache, self.console, asked.machine, yes=self.yes)
        asked = replace(asked, machine=choice.machine)
        place = self.folder / name
        place.mkdir(parents=True, exist_ok=True)
        with Progress(self.console) as progress:
            prepared, asked = _prepared(state, asked, commit, (catalog, cache, progress))
            emulator = provide_for(prepared.plan.machine, catalog, cache, progress)
            result = run_of(
                prepared,
                asked,
                RunFolder(place),
                progress,
                self.settings,
                emulator=emulator,
                noted=examined.noted(choice),
            ).execute()
        write_reports(result, place)
        return result


def _prepared(
    state: State, asked: Asked, commit: str, tools: tuple[Catalog, Cache, Progress]
) -> tuple[Prepared, Asked]:
    """The plan for a commit, and what it is as options."""
    catalog, cache, progress = tools
    if state.place:
        asked = replace(asked, source=f"git:{state.place}@{commit}", bare=True)
        return prepare(catalog, cache, asked, progress.say), asked
    ground = settle(catalog, cache, asked, progress.say)
    upto = state.numbers[commit]
    return planned(catalog, cache, ground, lambda _: None, upto=upto), asked


@click.command(cls=TakesSeveral)
@click.argument("good", required=False)
@click.argument("bad", required=False)
@carried_out("The bisection's folder, which has one of each commit's run")
def bisect(good: str | None, bad: str | None, **options: Any) -> NoReturn:
    """Find the first commit of a git tree that breaks what GOOD has right, and BAD has not.

    By git's own `git bisect run`, in a repository of the harness's: yours is only read.  What
    does not build or boot is skipped, where that is not what is looked for.  With --patch
    instead of a tree, over the patches of a series: GOOD and BAD are how many of them, 0 and
    all where they are left out.

    Exits with 0 where the commit is found, 2 where there is nothing to find, 3 where only
    skipped commits are left.

    \b
    Examples:
      ./pmu-harness bisect v6.11 v6.12 --source ~/linux --check retention
      ./pmu-harness bisect --patch *.patch --source debian:6.12
    """
    console = Console()
    began = time.monotonic()
    folder = new_run_folder(options["output"], time.strftime("%Y%m%d-%H%M%S"), "bisect")
    if any(folder.iterdir()):
        raise PlanError(f"{folder} is not empty", advice="give another --output")
    settings = Settings(jobs=options["jobs"], timeout_scale=options["timeout_scale"])
    bench = _Bench(folder, console, settings, options["yes"])
    known = [name for name in Asked.__dataclass_fields__ if name in options]
    asked = Asked(**{name: options[name] for name in known})
    repository = Repository(folder)
    state, ends = _begin(repository, asked, good, bad)
    state = replace(state, jobs=settings.jobs, patience=settings.timeout_scale)
    found = _bisect(bench, repository, state, ends)
    about = repository.about(found.first_bad) if found.first_bad else ""
    found = found.model_copy(update={"about": about, "seconds": round(time.monotonic() - began, 2)})
    bisecting.conclude(folder, found)
    shown.show_bisection(console, found, str(folder))
    sys.exit(Exit.PASS if found.first_bad else Exit.ERROR)


# Its kernel, machine and scenarios are chosen as those of `run` are.
_CHOICES = (
    *("patches", "source", "machine", "scenarios", "checks", "reproducers", "seconds"),
    *("repetitions", "refresh", "known"),
)
bisect.params[2:2] = [option for option in run.params if option.name in _CHOICES]


def _begin(
    repository: Repository, asked: Asked, good: str | None, bad: str | None
) -> tuple[State, tuple[str, str]]:
    """What each step knows, and the commits of both ends."""
    if not asked.patches:
        if not (good and bad):
            raise PlanError(
                "a bisection takes GOOD and BAD, or --patch",
                advice="./pmu-harness bisect v6.11 v6.12 --source ~/linux",
            )
        place, _ = local_repository(asked.source)
        clone = Clone(place)
        commits = clone.commit(good), clone.commit(bad)
        bisecting.of_clone(clone, repository)
        return State(asked, place=str(place)), commits
    catalog, cache = Catalog(), Cache()
    ground = settle(catalog, cache, asked, lambda _: None)
    patches = ground.given.patches
    write_patches(repository.folder / _PATCHES, patches)
    with ground.source.locked(cache, lambda _: None):
        numbers = bisecting.of_patches(ground.source, patches, repository)
    asked = replace(asked, patches=(repository.folder / _PATCHES,), source=ground.source.spec)
    names = {number: commit for commit, number in numbers.items()}
    first, last = (
        _number(text, names, default) for text, default in ((good, 0), (bad, len(patches)))
    )
    return State(asked, numbers=numbers), (first, last)


def _number(text: str | None, names: dict[int, str], default: int) -> str:
    """The commit that stands for so many patches; raises PlanError."""
    number = int(text) if text and text.isdigit() else None if text else default
    if number not in names:
        raise PlanError(f"{text} is no number of patches", why=f"they are 0 to {len(names) - 1}")
    return names[number]


def _bisect(
    bench: _Bench, repository: Repository, state: State, ends: tuple[str, str]
) -> Bisection:
    """Try both ends, and have git find the way between them."""
    good, bad = ends
    before, after = (
        bench.carry_out(state, commit, name) for commit, name in ((good, "good"), (bad, "bad"))
    )
    if before.failures:
        raise PlanError(f"the good end {good[:12]} cannot be judged", why=before.headline)
    if after.failures and not unbuilt(after):
        raise PlanError(f"the bad end {bad[:12]} cannot be judged", why=after.headline)
    looked_for = wanted(before, after, state.asked.checks)
    if not looked_for:
        raise PlanError(
            f"{bad[:12]} breaks nothing that {good[:12]} has right",
            why=f"good: {before.headline}\nbad: {after.headline}",
            advice=f"./pmu-harness compare {bench.folder}/good {bench.folder}/bad",
        )
    state.narrowed("good", looked_for).write(bench.folder)
    for commit, taken_for, result in ((good, Trying.GOOD, before), (bad, Trying.BAD, after)):
        _note(repository, commit, taken_for, result, taken_for.value)
    first, suspects = repository.start(good, bad), tuple[str, ...]()
    if not first:
        with Progress(bench.console) as progress, progress.stage("git bisect run") as told:
            first, suspects = repository.bisect(repository.step, told)
    return Bisection(
        command=command_line([PROGRAM, *sys.argv[1:]]),
        good=good,
        bad=bad,
        wanted=looked_for,
        tried=bisecting.noted(bench.folder),
        first_bad=first,
        suspects=suspects,
    )


def _note(
    repository: Repository, commit: str, taken_for: Trying, result: RunResult, folder: str
) -> None:
    tried = Tried(
        commit=commit,
        subject=repository.subject(commit),
        taken=taken_for,
        headline=result.headline,
        folder=folder,
    )
    bisecting.note(repository.folder, tried)


@click.command(STEP, hidden=True)
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
def bisect_step(folder: Path) -> NoReturn:
    """What `git bisect run` runs: the commit of BISECT_HEAD, by its exit status."""
    try:
        state, repository = State.read(folder), Repository(folder)
        commit = repository.current()
        settings = Settings(jobs=state.jobs, timeout_scale=state.patience)
        bench = _Bench(folder, Console(), settings, yes=False)
        result = bench.carry_out(state, commit, commit[:12])
        if result.failures and not unbuilt(result):
            print("\n".join(result.failures))
            sys.exit(ABORT)
        good = RunFolder(folder / state.good).read_results()
        taken_for = taken(good, result, state.wanted)
        _note(repository, commit, taken_for, result, commit[:12])
        print(f"{commit[:12]} is {taken_for.value}: {result.headline}")
    except HarnessError as error:
        print("\n".join(error.lines()))
        sys.exit(ABORT)
    sys.exit(STATUSES[taken_for])
