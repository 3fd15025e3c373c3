# SPDX-License-Identifier: MIT
"""A series, patch by patch, on top of its base: each judged against the step before."""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

from harness import PROGRAM
from harness.ask.catalog import Catalog
from harness.errors import PatchError, PlanError
from harness.host.store import Cache
from harness.model import PatchFile, Role, RunResult, SeriesResult, Step
from harness.run.folder import PLAN, RunFolder
from harness.run.request import LAUNCHER, Asked, Ground, Prepared, command_line, planned
from harness.source.apply import apply_all
from harness.source.paths import short
from harness.verdict.steps import (
    Done,
    Judging,
    first_bad,
    ground_of,
    headline_of,
    status_of,
)

SERIES_RESULT = "series.json"
# Carries one step out in a folder, its reports included: (result, the commands that repeat it).
CarryOut = Callable[[Prepared, Asked, Path], tuple[RunResult, Sequence[str]]]


def begin(folder: Path) -> None:
    """Have a series' folder without an earlier one's steps, be that one whole or interrupted.

    Raises PlanError where it holds anything else.
    """
    steps = [place for place in folder.glob("[0-9][0-9]*-*") if (place / PLAN).exists()]
    if any(folder.iterdir()) and not (steps or (folder / SERIES_RESULT).exists()):
        raise PlanError(
            f"{folder} is not empty, and holds no series", advice="give another --output"
        )
    for place in steps:
        shutil.rmtree(place)
    (folder / SERIES_RESULT).unlink(missing_ok=True)


@dataclass(frozen=True)
class Walk:
    """A series on its way: what its steps have in common, and who is told of each."""

    catalog: Catalog
    cache: Cache
    ground: Ground
    folder: Path
    carry_out: CarryOut
    say: Callable[[str], None]

    def walk(self, command: str) -> SeriesResult:
        """Build, boot and judge each patch in turn; raises PlanError where there is none.

        A kernel is built once, in one build folder, so that a step costs what its patch touches;
        a reference's guests are the step before's, which are stored.
        """
        began, started = time.monotonic(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        given = self.ground.given
        if not given.patches:
            raise PlanError("there is no patch to go through", advice="name patches, or --range")
        refused = self._refused()
        judging = Judging([patch.info for patch in given.patches])
        done: list[Done] = []
        plan, base = "", ""
        for number in range(1, len(given.patches) + 1):
            upon = ground_of(done)
            prepared = self._prepared(number, upon)
            if not done:
                base = prepared.plan.subjects[Role.REFERENCE].name
                plan = f"{len(given.patches)} patches on {prepared.plan.source}, "
                plan += prepared.plan.machine.name
            done.append(self._step(number, upon, prepared, refused=refused == number))
            self._tell(judging.add(done[-1]))
            if refused == number:
                judging.leave(number)
                break
        status = status_of(judging.steps, allow_unbuilt=self.ground.asked.allow_unbuilt)
        return SeriesResult(
            command=command,
            again=self._again(),
            plan=plan,
            base=base,
            started=started,
            seconds=round(time.monotonic() - began, 2),
            status=status,
            headline=headline_of(judging.steps, judging.left),
            first_bad=first_bad(judging.steps),
            title=given.title,
            cover=given.cover,
            notes=given.notes,
            steps=tuple(judging.steps),
            left=judging.left,
        )

    def _again(self) -> str:
        """The command that judges the series for anybody, without the patches."""
        asked, ground = self.ground.asked, self.ground
        words = [PROGRAM, "ci", "--source", ground.source.spec, "--machine", ground.machine.name]
        for option, names in (("--scenario", asked.scenarios), ("--check", asked.checks)):
            words += [word for name in names for word in (option, name)]
        return command_line(words)

    def _prepared(self, number: int, upon: int) -> Prepared:
        """The plan of one step; what is said of its patches is in its own report."""
        return planned(
            self.catalog, self.cache, self.ground, lambda _: None, upon=upon, upto=number
        )

    def _refused(self) -> int | None:
        """The number of the first patch that does not apply on those before it.

        Raises PlanError for a file that is no patch, or a damaged one.
        """
        patches = self.ground.given.patches
        with self.ground.source.locked(self.cache, self.say):
            if self._applies(patches):
                return None
            numbers = range(1, len(patches))
            fitting = takewhile(lambda number: self._applies(patches[:number]), numbers)
            return 1 + max(fitting, default=0)

    def _applies(self, patches: tuple[PatchFile, ...]) -> bool:
        try:
            apply_all(self.ground.source.tree, self.ground.source.pristine, patches)
        except PatchError:
            return False
        return True

    def _step(self, number: int, upon: int, prepared: Prepared, *, refused: bool) -> Done:
        candidate = prepared.plan.subjects[Role.CANDIDATE]
        patch = candidate.patches[-1]
        name = f"{number:02d}-{short(patch.stem or 'patch')}"
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        own = RunFolder(folder).patches
        asked = replace(
            self.ground.asked,
            patches=(own,),
            commits=None,
            source=self.ground.source.spec,
            upon=upon,
        )
        self.say(f"step {number}: {candidate.name}, against step {upon}")
        result, repeats = self.carry_out(replace(prepared, commits=None), asked, folder)
        strict = self.ground.asked.strict and bool(patch.warnings)
        return Done(
            upon=upon,
            result=result,
            applies=not (refused or strict),
            folder=name,
            repeat=next(iter(repeats), _whole(asked)),
        )

    def _tell(self, step: Step) -> None:
        self.say(f"step {step.number}: {step.state.value}: {step.headline}")


def _whole(asked: Asked) -> str:
    """The command that repeats a whole step."""
    words = [LAUNCHER, "run", "--source", asked.source, "--patch", str(asked.patches[0])]
    words += ["--upon", str(asked.upon)] if asked.upon else []
    return command_line([*words, "--machine", asked.machine])
