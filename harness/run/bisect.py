# SPDX-License-Identifier: MIT
"""A bisection by git's own `git bisect run`: its repository, its commits, what it came to."""

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter

from harness.ask.catalog import ROOT
from harness.errors import HostError, PlanError
from harness.host.process import CommandError, capture, environment, logged, tail
from harness.host.store import write_bytes, write_text
from harness.model import Bisection, PatchFile, Tried, Trying
from harness.run.reproducers import scenario_name
from harness.run.request import Asked
from harness.source.apply import apply_all
from harness.source.clone import Clone
from harness.source.tree import Source
from harness.verdict.bisect import Wanted

STEP = "bisect-step"
BISECTION = "bisect.json"
LOG = "bisect.log"
_STATE, _TRIED, _RUN_LOG, _REPOSITORY = "state.json", "tried.jsonl", "run.log", "bisect.git"
# What `git bisect run` takes of a step's exit status: git-bisect(1).
STATUSES = {Trying.GOOD: 0, Trying.BAD: 1, Trying.SKIP: 125}
# Beyond these it gives up: for what is no commit's fault.
ABORT = 255
_FIRST = re.compile(r"^([0-9a-f]{40,64}) is the first .* commit$", re.MULTILINE)
_LEFT = re.compile(r"^# possible first .* commit: \[([0-9a-f]{40,64})\]", re.MULTILINE)
_IDENTITY = ("-c", "user.name=pmu-harness", "-c", "user.email=pmu-harness@localhost")


@dataclass(frozen=True)
class State:
    """What each step of a bisection knows, which are processes of their own.

    Commits are those of the repository in `place`, or stand for so many patches: `numbers`.
    """

    asked: Asked
    place: str = ""
    numbers: dict[str, int] = field(default_factory=dict)
    good: str = ""
    wanted: Wanted = ()
    jobs: int = 1
    patience: float = 1.0

    def write(self, folder: Path) -> None:
        """Put it into a bisection's folder."""
        write_bytes(folder / _STATE, TypeAdapter(State).dump_json(self))

    @classmethod
    def read(cls, folder: Path) -> "State":
        """What a bisection's folder has of it."""
        return TypeAdapter(State).validate_json((folder / _STATE).read_bytes())

    def narrowed(self, good: str, wanted: Wanted) -> "State":
        """The state of the steps: only what is looked for is asked."""
        scenarios = dict.fromkeys(scenario for scenario, _ in wanted if scenario)
        persons = {scenario_name(path): path for path in self.asked.reproducers}
        if scenarios:
            asked = replace(
                self.asked,
                checks=(),
                scenarios=tuple(name for name in scenarios if name not in persons),
                reproducers=tuple(path for name, path in persons.items() if name in scenarios),
            )
        else:
            asked = self.asked
        return replace(self, asked=asked, good=good, wanted=wanted)


class Repository:
    """A repository of our own for git's bisection, with the objects of another one.

    So nothing is checked out, and no ref of a person's repository is touched.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git = folder / _REPOSITORY

    def prepare(self, objects: Path, shallow: Path | None, *, kind: str) -> None:
        """Make it, without copying an object."""
        init = ["git", "init", "--quiet", "--bare", f"--object-format={kind}", str(self.git)]
        capture(init, env=self._environment())
        write_text(self.git / "objects" / "info" / "alternates", f"{objects}\n")
        if shallow and shallow.exists():
            write_bytes(self.git / "shallow", shallow.read_bytes())

    def run(self, *argv: str) -> str:
        """What a git command says there; raises CommandError."""
        return capture(["git", *argv], env=self._environment(), with_errors=True)

    def start(self, good: str, bad: str) -> str:
        """Begin: the first bad commit where nothing lies between; raises PlanError."""
        try:
            # git wants to know where to go back to.
            self.run("update-ref", "--no-deref", "HEAD", bad)
            said = self.run("bisect", "start", "--no-checkout", bad, good)
        except CommandError as error:
            raise PlanError(
                f"there is nothing to bisect from {good[:12]} to {bad[:12]}", why=error.output
            ) from error
        self._log()
        found = _FIRST.search(said)
        return found[1] if found else ""

    @property
    def step(self) -> list[str]:
        """The command that tries a commit."""
        return [sys.executable, "-P", "-m", "harness", STEP, str(self.folder)]

    def bisect(
        self, step: Sequence[str], follow: Callable[[str], None]
    ) -> tuple[str, tuple[str, ...]]:
        """(the first bad commit, the suspects where there is none), and the log in git's form.

        Raises HostError where a step could not be carried out.
        """
        log = self.folder / _RUN_LOG
        try:
            env = self._environment({**os.environ, "PYTHONPATH": str(ROOT)})
            logged(["git", "bisect", "run", *step], log, env=env, follow=follow)
        except CommandError as error:
            suspects = tuple(_LEFT.findall(self._log()))
            if not suspects:
                raise HostError(
                    "the bisection did not come to an end", why=tail(log), evidence=log
                ) from error
            return "", suspects
        found = _FIRST.search(log.read_text(encoding="utf-8", errors="replace"))
        self._log()
        return (found[1], ()) if found else ("", ())

    def _log(self) -> str:
        text = self.run("bisect", "log")
        write_text(self.folder / LOG, text)
        return text

    def current(self) -> str:
        """The commit that git asks for."""
        return self.run("rev-parse", "--verify", "BISECT_HEAD").strip()

    def subject(self, commit: str) -> str:
        """The first line of a commit's message."""
        return self.run("log", "-1", "--format=%s", commit).strip()

    def about(self, commit: str) -> str:
        """Who made a commit, when, and which files it touches."""
        form = "--format=%H%nAuthor: %an <%ae>%nDate:   %ad%n%n    %s%n"
        return self.run("show", "--stat", "--no-color", "--no-renames", form, commit).rstrip()

    def _environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        ours = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
        return environment({**(more or {}), **ours, "GIT_DIR": str(self.git)})


def of_clone(clone: Clone, repository: Repository) -> None:
    """Have a repository with the commits of a person's."""
    shallow = clone.run("rev-parse", "--path-format=absolute", "--git-path", "shallow").strip()
    repository.prepare(clone.objects, Path(shallow), kind=clone.object_format)


def of_patches(
    source: Source, patches: Sequence[PatchFile], repository: Repository
) -> dict[str, int]:
    """Have a repository with a commit for the base and for each patch: how many each one has.

    The source is to ourselves.  Raises PatchError for a patch that does not apply.
    """
    git, parent = source.tree.git, ""
    numbers: dict[str, int] = {}
    for number in range(len(patches) + 1):
        applied = apply_all(source.tree, source.pristine, tuple(patches[:number]))
        subject = patches[number - 1].subject or patches[number - 1].stem if number else "the base"
        above = ("-p", parent) if parent else ()
        message = ("-m", subject or f"patch {number}")
        parent = git.run(*_IDENTITY, "commit-tree", applied.tree, *above, *message).strip()
        numbers[parent] = number
    kind = git.run("rev-parse", "--show-object-format").strip()
    repository.prepare(git.folder / "objects", None, kind=kind)
    return numbers


def note(folder: Path, tried: Tried) -> None:
    """Remember what a commit was taken for."""
    with (folder / _TRIED).open("a", encoding="utf-8") as file:
        file.write(tried.model_dump_json() + "\n")


def noted(folder: Path) -> tuple[Tried, ...]:
    """What commits were taken for, in the order in which they were asked for."""
    lines = (folder / _TRIED).read_text(encoding="utf-8").splitlines()
    return tuple(Tried.model_validate_json(line) for line in lines)


def conclude(folder: Path, bisection: Bisection) -> None:
    """Write bisect.json."""
    write_text(folder / BISECTION, bisection.model_dump_json(indent=1) + "\n")
