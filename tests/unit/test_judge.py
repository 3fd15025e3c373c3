# SPDX-License-Identifier: MIT
"""From verdicts to blame and to the status of a run."""

import pytest

from harness.errors import Blame, BuildError, HostError, PatchError, PlanError
from harness.guest.records import Records, parse
from harness.judge import HEALTH, Observed, judge_all, judge_health, judge_run
from harness.model import (
    CellResult,
    Claim,
    GuestEnd,
    Outcome,
    Role,
    Status,
    Subject,
)
from harness.plan import make_plan

DONE = Outcome(end=GuestEnd.DONE, stage="batch", summary="done")
PANIC = Outcome(end=GuestEnd.PANIC, stage="boot", summary="panic while booting: Kernel panic")
LOST = Outcome(end=GuestEnd.QEMU_FAILED, stage="none", summary="QEMU ended with status 1")
NOT_STARTED = Outcome(end=GuestEnd.NOT_STARTED, stage="none", summary="not started")
FIXES = Claim(fixes=("retention.release", "retention.pairing", "retention.counter"))


@pytest.mark.parametrize(
    ("mine", "reference", "status"),
    [
        (DONE, None, Status.PASS),
        (DONE, PANIC, Status.PASS),
        (PANIC, None, Status.FAIL),
        (PANIC, DONE, Status.FAIL),
        (PANIC, PANIC, Status.ERROR),
        (PANIC, NOT_STARTED, Status.ERROR),
        (LOST, DONE, Status.ERROR),
        (NOT_STARTED, DONE, Status.ERROR),
    ],
)
def test_blame_for_a_guest(mine, reference, status):
    assert judge_health(mine, reference).status is status


@pytest.mark.parametrize(
    ("error", "blame", "code"),
    [
        (PlanError, Blame.PLAN, 2),
        (HostError, Blame.HOST, 3),
        (PatchError, Blame.SUBJECT, 1),
        (BuildError, Blame.SUBJECT, 1),
    ],
)
def test_blame_for_an_error(error, blame, code):
    raised = error("what", why="one\ntwo", advice="do this")
    assert raised.blame is blame
    assert raised.blame.exit_code == code
    assert raised.lines() == ["error:    what", "why:      one\n          two", "next:     do this"]


def test_a_long_reason_keeps_its_head_and_its_tail():
    lines = HostError("what", why="\n".join(map(str, range(1000)))).lines()[1].splitlines()
    assert len(lines) == 25
    assert lines[0].split() == ["why:", "0"] and lines[-1].split() == ["999"]


@pytest.fixture
def plan(catalog):
    def make(reference=True, claim=FIXES):
        candidate = Subject(name="6.12+new", source="debian:6.12", version="6.12", patches=())
        old = candidate.model_copy(update={"name": "6.12+old"})
        return make_plan(
            source="debian:6.12",
            series="new",
            claim=claim,
            candidate=candidate,
            reference=old if reference else None,
            machine=catalog.machines["aarch64-tcg"],
            scenarios=(catalog.scenarios["cycles-task"],),
        )

    return make


@pytest.fixture
def run(load):
    def judge(plan, candidate, reference=None):
        observed = {}
        for cell in plan.cells:
            chosen = candidate if cell.role is Role.CANDIDATE else reference
            if isinstance(chosen, str):
                chosen = Observed(DONE, load(chosen))
            observed[cell.id] = chosen
        verdicts = judge_all(plan, observed)
        results = tuple(
            CellResult(
                cell=cell,
                outcome=observed[cell.id].outcome,
                verdicts=verdicts[cell.id],
                repeat="again",
            )
            for cell in plan.cells
        )
        return judge_run(plan, results)

    return judge


CLEAN, BEFORE = "task-start-stop-callbacks", "task-pre-callbacks"
CRASHED = Observed(PANIC, Records([]))


def test_a_claim_that_holds_passes(plan, run):
    status, headline, claim = run(plan(), CLEAN, BEFORE)
    assert status is Status.PASS
    assert "the claim holds: retention.release" in headline
    assert claim == dict.fromkeys(FIXES.fixes, True)


def test_a_claim_that_nothing_needed_fails(plan, run):
    status, headline, claim = run(plan(), CLEAN, CLEAN)
    assert status is Status.FAIL
    assert "its claim does not hold" in headline
    assert not any(claim.values())


def test_a_candidate_that_fails_fails(plan, run):
    status, headline, _ = run(plan(claim=Claim()), BEFORE, CLEAN)
    assert status is Status.FAIL
    assert headline == ("6.12+new fails retention.release, retention.pairing, retention.counter")


def test_a_saboteur_that_is_caught_keeps_its_word(plan, run):
    claim = Claim(breaks=("retention.release",))
    status, _, held = run(plan(claim=claim), BEFORE, CLEAN)
    assert status is Status.FAIL
    assert held == {"retention.release": True}


def test_a_candidate_alone_is_judged(plan, run):
    assert run(plan(reference=False, claim=Claim()), CLEAN)[0] is Status.PASS


def test_a_crashed_candidate_fails_and_measures_nothing(plan, run):
    status, headline, _ = run(plan(), CRASHED, BEFORE)
    assert status is Status.FAIL
    assert headline == f"6.12+new fails {HEALTH}"


def test_a_crashed_reference_blames_nobody(plan, run):
    status, headline, _ = run(plan(claim=Claim()), CLEAN, CRASHED)
    assert status is Status.ERROR
    assert (
        headline == "the reference 6.12+old does not get through: panic while booting: Kernel panic"
    )


def test_what_has_not_run_is_no_pass(plan, run):
    lost = Observed(NOT_STARTED, Records([]))
    assert run(plan(), lost, lost)[0] is Status.ERROR


def test_a_probe_that_could_not_go_on_is_an_error(plan, run, load):
    line = b'{"kind":"error","what":"target","errno":2,"text":"No such file or directory"}\n'
    end = b'{"kind":"end","steps":1}\n'
    status, headline, _ = run(plan(), Observed(DONE, parse(line + end)), BEFORE)
    assert status is Status.ERROR
    assert "no verdict" in headline
