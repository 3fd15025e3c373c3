# SPDX-License-Identifier: MIT
"""An exploration: kernels built once, then guest after guest of scenarios drawn by chance."""

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from rich.console import Console

from harness.build.kernel import Kernel
from harness.build.recipe import script
from harness.errors import HostError
from harness.explore.possible import Draft, possible
from harness.explore.shrink import smallest
from harness.host import process
from harness.host.progress import Progress
from harness.model import Cell, Discovery, Exploration, LineTable, Plan, Role, Scenario, Verdict
from harness.model.coverage import Span
from harness.run.builders import Builders, builders_for
from harness.run.coverage import tolerant
from harness.run.folder import NOT_STARTED
from harness.run.guests import Guests, Parts
from harness.run.pipeline import Run
from harness.source.patches import changed_lines
from harness.verdict.coverage import entered
from harness.verdict.exploration import ASKED, HOLDS, Suspicion, suspicions, undecided
from harness.verdict.judge import judge_all

Value = TypeVar("Value")

# As many drafts are drawn at a time: what they find is varied from the next time on.
_ROUND = 16
# No two seeds have a round in common.
_SEEDS = 1_000_003
# A draft that comes near to what a patch changes is varied so much more often.
_NEAR = 6
# As many guests, of two kernels each, are spent on making one scenario small.
_TRIES = 160
# How much later guests begin that are to show a fault again, in rounds of the probe's loop.
_SHIFTS = (1_237, 14_569, 120_011)
_UNIT = 4


@dataclass(frozen=True)
class Judged:
    """What became of one scenario."""

    suspicions: tuple[Suspicion, ...]
    undecided: str
    executed: frozenset[int]
    entered: frozenset[str]


@dataclass(frozen=True)
class Budget:
    """When an exploration is over: after so many examples, or so many seconds."""

    examples: int | None
    seconds: float | None
    fail_fast: bool = False


@dataclass
class Explorer:
    """One exploration in progress: `run` has the kernels, `corpus` what is varied."""

    run: Run
    corpus: list[Draft]
    # The command that runs a scenario in a file.
    repeat: Callable[[str], str]
    # Writes a scenario: the name of its file.
    keep: Callable[[str, Draft], str]
    sources: Sequence[str]
    jobs: int
    subjects: dict[Role, tuple[Kernel, Parts]] = field(default_factory=dict)
    table: LineTable = field(default_factory=LineTable)
    near: frozenset[str] = frozenset()
    found: list[Discovery] = field(default_factory=list)
    reached: set[int] = field(default_factory=set)
    known: dict[str, Judged] = field(default_factory=dict)
    entered: set[str] = field(default_factory=set)
    examples: int = 0
    invalid: int = 0
    # Why guests could not be judged, and how many.
    undecided: Counter[str] = field(default_factory=Counter)
    number: int = 0

    # --- what it takes -------------------------------------------------------

    @property
    def plan(self) -> Plan:
        """The kernels and the machine; its scenarios are those that are known."""
        return self.run.plan

    @cached_property
    def guests(self) -> Guests:
        """What boots them, without a word about each, and without storing anything."""
        return Guests(
            plan=self.plan,
            cache=self.run.cache,
            folder=self.run.folder,
            progress=Progress(Console(quiet=True)),
            qemu=self.run.qemu,
            emulator=self.run.emulator,
            rerun=True,
            patience=self.run.settings.timeout_scale,
            room=self.run.catalog.cache_policy.saved,
            stores=False,
        )

    def build(self) -> None:
        """The kernels, and where the code lies that is looked at."""
        run = self.run
        builders = builders_for(run.prepared, run.catalog, run.cache, run.progress)
        run.see_that_patches_apply(builders.any_kernel)
        image = _done(builders.image.build())
        lines: Future[LineTable] | None = None
        for role in self.plan.subjects:
            (own,) = run.built(builders, role).values()
            if role is Role.CANDIDATE:
                lines = _done(self._looked_at(builders, own.kernel))
            mine = lines if role is Role.CANDIDATE else None
            self.subjects[role] = own.kernel, Parts(image, None, None, {}, None, mine)
        images = {kernel.facts["image_sha256"] for kernel, _ in self.subjects.values()}
        if len(images) < len(self.subjects):
            raise HostError(
                f"no guest of {self.plan.machine.name} has anything of the patch",
                why="the kernel with it is the one without it, byte for byte",
                advice="./pmu-harness run says of each file why, and which machine has it",
            )

    def _looked_at(self, builders: Builders, kernel: Kernel) -> LineTable:
        """Where the code lies of perf's sources, and of those that the patches change."""
        candidate = kernel.subject
        paths = list(self.sources)
        changed: dict[str, tuple[int, ...]] = {}
        if Role.REFERENCE in self.subjects:
            before = self.subjects[Role.REFERENCE][0].subject
            touched = [one.path for one in builders.any_kernel.changes(before, candidate)]
            changed = changed_lines(builders.any_kernel.difference(before, candidate, touched))
            paths = list(dict.fromkeys((*paths, *changed)))
        with self.run.progress.stage("line tables"):
            self.table = tolerant(builders.any_kernel, kernel, paths)
        self.near = frozenset(
            name
            for path, numbers in changed.items()
            for number in numbers
            for name in entered(self.table, self.table.lines.get(path, {}).get(number, ()))
        )
        return self.table

    # --- one scenario --------------------------------------------------------

    def judged(self, scenario: Scenario, pool: ThreadPoolExecutor) -> Callable[[], Judged]:
        """Boot what both kernels make of a scenario, unless that is known; calling waits for it."""
        key = script(scenario) + repr((scenario.sysctl, scenario.pmus, scenario.cpus))
        if key in self.known:
            return lambda: self.known[key]
        self.number += 1
        named = scenario.model_copy(update={"name": f"explored-{self.number}"})
        plan = self._plan_of(named)
        guests = [pool.submit(self._observe, cell, named) for cell in plan.cells]

        def judge() -> Judged:
            for guest in guests:
                guest.result()
            judged = self._judge(plan)
            # What it executed is learned once, and there is much of it.
            self.known[key] = replace(judged, executed=frozenset())
            return judged

        return judge

    def _plan_of(self, scenario: Scenario) -> Plan:
        cells = tuple(
            Cell(
                subject=subject.name,
                role=role,
                machine=self.plan.machine.name,
                scenario=scenario.name,
            )
            for role, subject in self.plan.subjects.items()
        )
        return self.plan.model_copy(update={"scenarios": (scenario,), "cells": cells})

    def _observe(self, cell: Cell, scenario: Scenario) -> None:
        kernel, parts = self.subjects[cell.role]
        self.run.folder.write_outcome(cell, NOT_STARTED)
        self.guests.observe(cell, scenario, kernel, parts)

    def _judge(self, plan: Plan) -> Judged:
        folder = self.run.folder
        verdicts = judge_all(plan, {cell.id: folder.observed(cell) for cell in plan.cells})
        by_role: dict[Role, Sequence[Verdict]] = {
            cell.role: verdicts[cell.id] for cell in plan.cells
        }
        spans: list[Span] = []
        for cell in plan.cells:
            if cell.role is Role.CANDIDATE:
                spans = folder.executed(cell) or []
            shutil.rmtree(folder.cell(cell), ignore_errors=True)
        return Judged(
            suspicions=tuple(suspicions(by_role[Role.CANDIDATE], by_role.get(Role.REFERENCE))),
            undecided=undecided(by_role[Role.CANDIDATE]),
            executed=frozenset(_units(spans)),
            entered=entered(self.table, spans),
        )

    def scenario(self, draft: Draft) -> Scenario | None:
        """What a draft comes to on the machine, asked all that may hold."""
        asked = (*ASKED, *HOLDS[1:]) if Role.REFERENCE in self.subjects else HOLDS[1:]
        return possible(draft, self.plan.machine, asked)

    # --- all of them ---------------------------------------------------------

    def explore(self, seed: int, budget: Budget) -> Exploration:
        """Draw, judge, learn, until the budget is spent; the same for the same seed."""
        # hypothesis takes long to import.
        from harness.explore import draw  # noqa: PLC0415

        began, turn = time.monotonic(), 0
        pool = ThreadPoolExecutor(max_workers=self.jobs, thread_name_prefix="guest")
        with _ended_with_its_guests(pool), tempfile.TemporaryDirectory() as notes:
            draw.keep_notes_in(notes)
            while not self._over(budget, began):
                number = self._left(budget)
                drawn = draw.drafts(self.corpus, number, seed * _SEEDS + turn)[:number]
                self._round(drawn, budget, began, pool)
                turn += 1
        return Exploration(
            kernel=self.plan.subjects[Role.CANDIDATE].name,
            machine=self.plan.machine.name,
            seed=seed,
            examples=self.examples,
            invalid=self.invalid,
            undecided=dict(self.undecided.most_common()),
            corpus=len(self.corpus),
            reached=_UNIT * len(self.reached),
            size=sum(end - start for start, end in self.table.spans),
            near=tuple(sorted(self.near)),
            entered=tuple(sorted(self.near & self.entered)),
            discoveries=tuple(self.found),
            seconds=round(time.monotonic() - began, 1),
        )

    def _over(self, budget: Budget, began: float) -> bool:
        if budget.fail_fast and self.found:
            return True
        if budget.examples is not None and self.examples >= budget.examples:
            return True
        return budget.seconds is not None and time.monotonic() - began >= budget.seconds

    def _left(self, budget: Budget) -> int:
        """How many are to be drawn next."""
        if budget.examples is None:
            return _ROUND
        return min(_ROUND, budget.examples - self.examples)

    def _round(
        self, drawn: Sequence[Draft], budget: Budget, began: float, pool: ThreadPoolExecutor
    ) -> None:
        """Boot what was drawn together, and learn from each in turn."""
        running: list[tuple[Draft, Callable[[], Judged]]] = []
        for draft in drawn:
            scenario = self.scenario(draft)
            if scenario is None:
                self.examples += 1
                self.invalid += 1
            else:
                running.append((draft, self.judged(scenario, pool)))
        for draft, judged in running:
            self.examples += 1
            self._learn(draft, judged(), pool)
            if self._over(budget, began):
                break
        self.run.progress.say(self._so_far())

    def _so_far(self) -> str:
        size = max(1, sum(end - start for start, end in self.table.spans))
        percent = 100 * _UNIT * len(self.reached) / size
        return (
            f"{self.examples} examples, {percent:.1f} % of the code, "
            f"{len(self.corpus)} worth varying, {len(self.found)} found"
        )

    def _learn(self, draft: Draft, judged: Judged, pool: ThreadPoolExecutor) -> None:
        """Keep what reaches code that nothing did before, and look into what is suspicious."""
        if judged.undecided:
            self.undecided[judged.undecided] += 1
        self.entered |= judged.entered
        if judged.executed - self.reached:
            self.reached |= judged.executed
            self.corpus += [draft] * (_NEAR if judged.entered & self.near else 1)
        for suspicion in judged.suspicions:
            if suspicion.check not in {one.check for one in self.found}:
                self._look_into(draft, suspicion, pool)

    def _look_into(self, draft: Draft, suspicion: Suspicion, pool: ThreadPoolExecutor) -> None:
        """See whether guests that begin later show it as well, and make it small."""
        shown = self._shown_later(draft, suspicion, pool)
        if shown < len(_SHIFTS) and not suspicion.sure:
            return
        place = self.examples
        self.run.progress.say(
            f"example {place}: {suspicion.check}: {suspicion.verdict.measured}; made smaller ..."
        )
        last = [suspicion]

        def shows(one: Draft) -> bool:
            again = self._suspicion(one, suspicion.check, pool)
            if again is None or (
                not suspicion.sure and self._shown_later(one, suspicion, pool) < len(_SHIFTS)
            ):
                return False
            last[0] = again
            return True

        small = smallest(draft, shows, _TRIES)
        scenario = self.scenario(small)
        assert scenario is not None
        file = self.keep(suspicion.check, _as_written(scenario))
        self.found.append(
            Discovery(
                check=suspicion.check,
                said=last[0].verdict.measured,
                evidence=last[0].verdict.evidence,
                example=place,
                shifted=(self._shown_later(small, suspicion, pool), len(_SHIFTS)),
                file=file,
                repeat=self.repeat(file),
                scenario=script(scenario),
            )
        )

    def _suspicion(self, draft: Draft, check: str, pool: ThreadPoolExecutor) -> Suspicion | None:
        """What a draft's guests say of one check, if it is suspicious."""
        scenario = self.scenario(draft)
        if scenario is None:
            return None
        found = self.judged(scenario, pool)().suspicions
        return next((one for one in found if one.check == check), None)

    def _shown_later(self, draft: Draft, suspicion: Suspicion, pool: ThreadPoolExecutor) -> int:
        """How many of the guests that begin a little later show it as well."""
        later = [{**draft, "steps": [f"spin {n}", *draft["steps"]]} for n in _SHIFTS]
        return sum(self._suspicion(one, suspicion.check, pool) is not None for one in later)


@contextmanager
def _ended_with_its_guests(pool: ThreadPoolExecutor) -> Iterator[None]:
    """Nothing is left running, whatever ends the exploration."""
    try:
        yield
    except BaseException:
        process.stop_all()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _units(spans: Sequence[Span]) -> Iterator[int]:
    """Code as numbers, one for so many bytes of it."""
    for start, end in spans:
        yield from range(start // _UNIT, -(-end // _UNIT))


def _as_written(scenario: Scenario) -> Draft:
    """A scenario as its file has it: no name, and of the checks those that were asked for."""
    return dict(scenario.model_dump(mode="json", exclude_defaults=True, exclude={"name", "checks"}))


def _done(value: Value) -> "Future[Value]":
    """A future that waits for nothing."""
    future: Future[Value] = Future()
    future.set_result(value)
    return future
