# SPDX-License-Identifier: MIT
"""A series, patch by patch: which patch broke what, and which one repaired it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.model import (
    Change,
    GuestEnd,
    PatchInfo,
    Role,
    RunResult,
    Status,
    Step,
    StepState,
    Turn,
)

# What a kernel fails that is not there to be asked: no scenario has it.
APPLIES, BUILDS = "patch.applies", "kernel.builds"
_NAMED = 3
# What is broken: the number of the patch that did it, by (scenario, check).
_Open = dict[tuple[str, str], int]


@dataclass(frozen=True)
class Done:
    """A step that was run: its result, against which step, and where it lies.

    `applies` is False where the patch does not go onto those before it as it was asked to.
    """

    upon: int
    result: RunResult
    applies: bool = True
    folder: str = ""
    repeat: str = ""


@dataclass
class Judging:
    """The steps so far, and what of them is broken now."""

    patches: Sequence[PatchInfo]
    steps: list[Step] = field(default_factory=list)
    broken: _Open = field(default_factory=dict)

    def add(self, done: Done) -> Step:
        """Judge the next step."""
        number, result = len(self.steps) + 1, done.result
        broke = self._broken_now(done)
        repaired = self._repaired_now(done)
        for key in repaired:
            self.broken.pop(key, None)
        self.broken.update(dict.fromkeys(broke, number))
        state = StepState.PASS if repaired and not result.exercised else _state(result, broke)
        step = Step(
            number=number,
            # The run's knows what had to be done to have it apply.
            patch=result.patches[-1] if result.patches else self.patches[number - 1],
            upon=done.upon,
            state=state,
            headline=_headline(result),
            broke=_turns(dict.fromkeys(broke, number)),
            repaired=_turns(repaired),
            moved=_moved(result),
            guests=sum(bool(guest.seconds) for cell in result.cells for guest in cell.guests),
            stored=sum(guest.reused for cell in result.cells for guest in cell.guests),
            seconds=result.seconds,
            folder=done.folder,
            repeat=done.repeat if state in (StepState.FAIL, StepState.ERROR) else "",
        )
        self.steps.append(step)
        return step

    def leave(self, number: int) -> None:
        """The steps that are left cannot be made: a patch does not apply."""
        for left in range(len(self.steps) + 1, len(self.patches) + 1):
            why = f"patch {number} does not apply"
            patch, state = self.patches[left - 1], StepState.NOT_REACHED
            self.steps.append(
                Step(number=left, patch=patch, upon=number, state=state, headline=why)
            )

    @property
    def left(self) -> tuple[Turn, ...]:
        """What is broken after the last step."""
        return _turns(self.broken)

    def _broken_now(self, done: Done) -> list[tuple[str, str]]:
        """What this step broke; what an earlier one broke is that one's."""
        if done.result.failures:
            what = BUILDS if done.applies else APPLIES
            return [("", what)] if done.result.status is Status.FAIL else []
        found = [
            (one.scenario, one.check) for one in done.result.changes if one.change is Change.BROKEN
        ]
        return [key for key in found if key not in self.broken]

    def _repaired_now(self, done: Done) -> _Open:
        """What is not broken any more, by the patch that broke it; 0 for what the base had so.

        An image that is that of an earlier step has nothing of what was broken since.
        """
        result = done.result
        if result.failures:
            return {}
        if not result.exercised:
            return {key: number for key, number in self.broken.items() if number > done.upon}
        passed = {
            (cell.cell.scenario, verdict.check)
            for cell in result.cells
            for verdict in cell.verdicts
            if cell.cell.role is Role.CANDIDATE and verdict.status is Status.PASS
        } | {("", BUILDS), ("", APPLIES)}
        fixed = [(one.scenario, one.check) for one in result.changes if one.change is Change.FIXED]
        mended = [key for key in self.broken if key in passed]
        return {key: self.broken.get(key, 0) for key in dict.fromkeys([*mended, *fixed])}


def _headline(result: RunResult) -> str:
    """A run's, without the subject's name, where the patch stands beside it."""
    names = {cell.cell.subject for cell in result.cells if cell.cell.role is Role.CANDIDATE}
    name = next(iter(names), "")
    return result.headline.removeprefix(f"{name} ") if name else result.headline


def _state(result: RunResult, broke: Sequence[tuple[str, str]]) -> StepState:
    """What became of a step; what it did not break itself is not its failure."""
    if result.failures:
        return StepState.FAIL if result.status is Status.FAIL else StepState.ERROR
    if not result.exercised:
        return StepState.NOT_RUN
    others = any(one.change is Change.BROKEN for one in result.changes) and not broke
    if result.status is Status.FAIL:
        return StepState.PASS if others and not result.strict else StepState.FAIL
    return StepState.PASS if result.status is Status.PASS else StepState.ERROR


def ground_of(done: Sequence[Done]) -> int:
    """The last step that a next one can be judged against: it was built, and its guests booted.

    0 is the base.
    """
    for number in range(len(done), 0, -1):
        result = done[number - 1].result
        if not result.failures and not any(
            cell.outcome.stage == "boot" and cell.outcome.end is not GuestEnd.DONE
            for cell in result.cells
            if cell.cell.role is Role.CANDIDATE
        ):
            return number
    return 0


def _turns(found: Mapping[tuple[str, str], int]) -> tuple[Turn, ...]:
    """By check and by the patch that broke it."""
    together: dict[tuple[str, int], list[str]] = {}
    for (scenario, check), number in found.items():
        together.setdefault((check, number), []).extend([scenario] if scenario else [])
    return tuple(
        Turn(check=check, scenarios=tuple(scenarios), broken_by=number)
        for (check, number), scenarios in together.items()
    )


def _moved(result: RunResult) -> tuple[str, ...]:
    """The costs that moved and are no failure."""
    return tuple(
        f"{cell.cell.scenario} {verdict.check}: {verdict.measured}"
        for cell in result.cells
        for verdict in cell.verdicts
        if cell.cell.role is Role.CANDIDATE
        and verdict.metrics.get("change")
        and verdict.status is Status.PASS
    )


# --- the whole ---------------------------------------------------------------


def status_of(steps: Sequence[Step], *, allow_unbuilt: bool) -> Status:
    """A patch at fault, else one without a verdict, or none with one; else a pass."""
    states = {step.state for step in steps}
    if StepState.FAIL in states:
        return Status.FAIL
    judged = StepState.PASS in states or allow_unbuilt
    return Status.ERROR if StepState.ERROR in states or not judged else Status.PASS


def first_bad(steps: Iterable[Step]) -> int | None:
    """The number of the first patch that fails."""
    return next((step.number for step in steps if step.state is StepState.FAIL), None)


def headline_of(steps: Sequence[Step], left: Sequence[Turn]) -> str:
    """Which patch is the first bad one, what it broke, who repaired it, and which are bad too."""
    bad = [step for step in steps if step.state is StepState.FAIL]
    total = len(steps)
    if not bad:
        return _praise(steps)
    first = bad[0]
    text = f"{called(first, total)} {_fault(first)}{_repair(first, steps, left)}"
    others = ", ".join(str(step.number) for step in bad[1:])
    return text + (f"; bad as well: {others}" if others else "")


def called(step: Step, total: int) -> str:
    """A patch as a sentence begins: `patch 3 of 5 (perf: Reload ...)`."""
    name = step.patch.subject or step.patch.stem or step.patch.path
    return f"patch {step.number} of {total} ({name})"


def _fault(step: Step) -> str:
    """What is wrong with a patch."""
    checks = [turn.check for turn in step.broke]
    if checks == [APPLIES]:
        return "does not apply"
    if checks == [BUILDS]:
        return "does not build"
    return f"breaks {named(checks)}" if checks else f"fails: {step.headline}"


def _repair(bad: Step, steps: Sequence[Step], left: Sequence[Turn]) -> str:
    """Who repaired what a patch broke, and what of it is left."""
    healers = [
        step.number for step in steps if any(turn.broken_by == bad.number for turn in step.repaired)
    ]
    still = [turn.check for turn in left if turn.broken_by == bad.number]
    if not healers:
        return ""
    who = f"patch{'es' if len(healers) > 1 else ''} {' and '.join(map(str, healers))}"
    verb = "repair" if len(healers) > 1 else "repairs"
    return f"; {who} {verb} {f'all but {named(still)}' if still else 'that'}"


def _praise(steps: Sequence[Step]) -> str:
    """The headline where no patch is at fault."""
    number = {state: sum(step.state is state for step in steps) for state in StepState}
    patches = f"{len(steps)} patch{'es' if len(steps) > 1 else ''}"
    torn = [step for step in steps if step.state is StepState.ERROR]
    if torn:
        return f"no verdict on {called(torn[0], len(steps))}: {torn[0].headline}"
    if not number[StepState.PASS]:
        return f"no guest has anything of the {patches}: {steps[0].headline}"
    text = f"none of {patches} breaks anything" if len(steps) > 1 else "it breaks nothing"
    fixed = [f"patch {step.number} fixes {named(_checks(step))}" for step in steps if step.repaired]
    unrun = f"{number[StepState.NOT_RUN]} not run" if number[StepState.NOT_RUN] else ""
    return "; ".join(filter(None, [text, *fixed, unrun]))


def _checks(step: Step) -> list[str]:
    return [turn.check for turn in step.repaired]


def named(checks: Iterable[str]) -> str:
    """Each name once, and no more of them than a line has room for."""
    names = list(dict.fromkeys(checks))
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
