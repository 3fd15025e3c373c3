# SPDX-License-Identifier: MIT
"""A series, patch by patch: who broke what, who repaired it, and how that is told."""

import io
import re

import pytest
from rich.console import Console

from harness.model import (
    Cell,
    CellResult,
    Change,
    Changed,
    GuestEnd,
    Outcome,
    PatchInfo,
    Role,
    RunResult,
    SeriesResult,
    Status,
    StepState,
    Verdict,
)
from harness.report import steps as table
from harness.verdict.steps import Done, Judging, first_bad, ground_of, headline_of, status_of

RELEASE, COST = "retention.release", "cost.adjustment"
OUTCOME = Outcome(end=GuestEnd.DONE, stage="batch", summary="done")


def run(changed=(), passes=(), status=None, outcome=OUTCOME, **more):
    """A run of one scenario: `changed` has (change, check), `passes` the checks that pass."""
    changes = tuple(
        Changed(change=what, scenario="task", check=check, reference="r", candidate="c")
        for what, check in changed
    )
    verdicts = tuple(
        Verdict(check=check, status=Status.PASS, measured="m", expected="e") for check in passes
    )
    broken = any(what is Change.BROKEN for what, _ in changed)
    cell = Cell(subject="new", role=Role.CANDIDATE, machine="m", scenario="task")
    return RunResult(
        command="c",
        plan="p",
        started="2026-01-01T00:00:00Z",
        seconds=1.0,
        status=status or (Status.FAIL if broken else Status.PASS),
        headline="the headline",
        claim={},
        changes=changes,
        cells=(CellResult(cell=cell, outcome=outcome, verdicts=verdicts, repeat="again"),),
        **more,
    )


BREAKS = run([(Change.BROKEN, RELEASE)])
STILL = run([(Change.STILL_FAILING, RELEASE)])
REPAIRS = run([(Change.FIXED, RELEASE)], passes=[RELEASE])
GOOD = run(passes=[RELEASE])
UNBUILT = run(status=Status.FAIL, failures=("error: it does not build",))
SAME = run(status=Status.ERROR, exercised=False)


def patches(number):
    return [
        PatchInfo(path=f"{n}.patch", subject=f"[PATCH {n}] part {n}") for n in range(1, 1 + number)
    ]


def judged(*results, applies=True, upon=None):
    judging = Judging(patches(len(results)))
    for number, result in enumerate(results):
        ground = number if upon is None else upon[number]
        last = number == len(results) - 1
        judging.add(Done(ground, result, applies=applies or not last, folder="f", repeat="again"))
    return judging


def told(judging):
    return headline_of(judging.steps, judging.left)


def test_the_patch_that_breaks_and_the_one_that_repairs_are_named():
    judging = judged(GOOD, GOOD, BREAKS, STILL, REPAIRS)
    assert [step.state for step in judging.steps] == [
        *(StepState.PASS, StepState.PASS, StepState.FAIL, StepState.PASS, StepState.PASS),
    ]
    assert [turn.check for turn in judging.steps[2].broke] == [RELEASE]
    assert [(turn.check, turn.broken_by) for turn in judging.steps[4].repaired] == [(RELEASE, 3)]
    assert judging.left == ()
    assert first_bad(judging.steps) == 3
    assert status_of(judging.steps, allow_unbuilt=False) is Status.FAIL
    assert told(judging) == (
        "patch 3 of 5 ([PATCH 3] part 3) breaks retention.release; patch 5 repairs that"
    )


def test_what_is_not_repaired_is_left():
    judging = judged(run([(Change.BROKEN, RELEASE), (Change.BROKEN, "a")]), REPAIRS)
    assert [turn.check for turn in judging.left] == ["a"]
    assert told(judging).endswith("patch 2 repairs all but a")


def test_a_defect_of_the_base_is_repaired_by_a_good_patch():
    judging = judged(REPAIRS)
    assert judging.steps[0].repaired[0].broken_by == 0
    assert told(judging) == "it breaks nothing; patch 1 fixes retention.release"


def test_what_an_earlier_patch_broke_is_not_blamed_on_a_later_one():
    """The second does not boot, so that the third is judged against the first."""
    judging = judged(BREAKS, BREAKS, upon=(0, 0))
    assert [step.state for step in judging.steps] == [StepState.FAIL, StepState.PASS]
    assert judging.steps[1].broke == ()


def test_a_patch_that_does_not_build_and_the_one_that_mends_it():
    judging = judged(GOOD, UNBUILT, GOOD, upon=(0, 1, 1))
    assert told(judging) == "patch 2 of 3 ([PATCH 2] part 2) does not build; patch 3 repairs that"
    assert judging.steps[2].repaired[0].broken_by == 2


def test_a_patch_that_takes_one_back_repairs_what_that_broke():
    """Its image is the step's that it is judged against: nothing is run for it."""
    judging = judged(GOOD, UNBUILT, SAME, upon=(0, 1, 1))
    assert [step.state for step in judging.steps][1:] == [StepState.FAIL, StepState.PASS]
    assert judging.left == ()
    # What was broken before that step still is.
    judging = judged(BREAKS, UNBUILT, SAME, upon=(0, 1, 1))
    assert [turn.check for turn in judging.left] == [RELEASE]


def test_after_a_patch_that_does_not_apply_nothing_is_reached():
    judging = Judging(patches(3))
    judging.add(Done(0, GOOD))
    judging.add(Done(1, UNBUILT, applies=False))
    judging.leave(2)
    assert [step.state for step in judging.steps][1:] == [StepState.FAIL, StepState.NOT_REACHED]
    assert told(judging) == "patch 2 of 3 ([PATCH 2] part 2) does not apply"


@pytest.mark.parametrize(
    ("results", "allowed", "status"),
    [
        ((SAME, GOOD), False, Status.PASS),
        ((SAME, SAME), False, Status.ERROR),
        ((SAME, SAME), True, Status.PASS),
        ((GOOD, run(status=Status.ERROR)), False, Status.ERROR),
        ((BREAKS, run(status=Status.ERROR)), False, Status.FAIL),
        ((run(status=Status.FAIL, strict=True), GOOD), False, Status.FAIL),
    ],
)
def test_the_whole_is_as_good_as_its_worst_step(results, allowed, status):
    assert status_of(judged(*results).steps, allow_unbuilt=allowed) is status


def test_a_step_is_judged_against_the_last_one_that_boots():
    boot = Outcome(end=GuestEnd.PANIC, stage="boot", summary="panic")
    done = [Done(0, GOOD), Done(1, UNBUILT), Done(1, run(outcome=boot))]
    assert ground_of(done) == 1
    assert ground_of(done[1:2]) == 0
    assert ground_of([*done, Done(1, SAME)]) == 4


def shown(judging, width):
    result = SeriesResult(
        command="c",
        plan="p",
        base="6.12",
        started="2026-01-01T00:00:00Z",
        seconds=2.0,
        status=Status.FAIL,
        headline=told(judging),
        first_bad=first_bad(judging.steps),
        steps=tuple(judging.steps),
        left=judging.left,
    )
    out = io.StringIO()
    table.show(Console(file=out, width=width, force_terminal=True, no_color=True), result, "/run")
    return out.getvalue()


def test_the_table_fits_a_terminal():
    long = run([(Change.BROKEN, f"family.check-{n}") for n in range(9)])
    judging = judged(GOOD, long, REPAIRS)
    text = re.sub(r"\x1b\[[\d;]*m", "", shown(judging, 80))
    rows = [row for row in text.splitlines() if "evidence" not in row]
    assert max(map(len, rows)) <= 80
    words = " ".join(text.split())
    assert "2 part 2" in words and "and 6 more" in words


def test_the_table_drives_no_terminal_with_what_a_patch_says():
    judging = judged(GOOD)
    evil = judging.steps[0].patch.model_copy(update={"subject": "\x1b[2J[red]x"})
    judging.steps[0] = judging.steps[0].model_copy(update={"patch": evil})
    text = shown(judging, 80)
    assert "\x1b[2J" not in text and "[red]x" in text
