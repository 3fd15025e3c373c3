# SPDX-License-Identifier: MIT
"""Reproducers: how they end, beside the reference's, and who is blamed for it."""

from pathlib import Path

import pytest

from harness.ask.plan import make_plan
from harness.build.recipe import batch
from harness.checks.reproducer import END, judge_end
from harness.errors import PlanError
from harness.guest.records import End, Records, Reproduced, Said
from harness.model import (
    HEALTH,
    CellResult,
    Change,
    Claim,
    GuestEnd,
    Outcome,
    Reproducer,
    Role,
    Status,
    Subject,
)
from harness.run.reproducers import scenarios_of
from harness.run.request import Asked, repeat_command
from harness.verdict.judge import Observed, judge_all
from harness.verdict.status import judge_run

CLEAN = "6.12/reproducer"
DONE = Outcome(end=GuestEnd.DONE, stage="batch", summary="done")
CRASH = "oops in step 1 (reproduce 5): Unable to handle kernel NULL pointer dereference"


def ended(how="exit", status=0, signal="", said=(), stuck=False):
    """The records of a guest whose reproducer ended so."""
    end = Reproduced(
        kind="reproduced",
        ended=how,
        status=status,
        signal=signal,
        ns=2_000_000,
        stuck=stuck,
        output=sum(len(text) + 1 for text in said),
    )
    lines = [Said(kind="said", text=text) for text in said]
    return Records([*lines, end, End(kind="end", steps=1)])


@pytest.fixture
def judge(observe):
    """The verdict on one end, beside the reference's if there is one."""

    def ask(mine, theirs=None):
        seen = [
            observe(one, scenario="reproducer") if one is not None else None
            for one in (mine, theirs)
        ]
        return judge_end(*seen)

    return ask


def test_our_own_reproducer_ends_well(load):
    """As our own guest wrote it: it says a line, and its exit status is 0."""
    records = load(CLEAN)
    assert [said.text for said in records.of(Said)] == ["it counted"]
    (end,) = records.of(Reproduced)
    assert (end.ended, end.status, end.output) == ("exit", 0, len("it counted\n"))


@pytest.mark.parametrize(
    ("records", "measured", "fault"),
    [
        (ended(), "exit status 0 after 2.000 ms", None),
        (ended("time"), "still running after 2.000 ms", None),
        (ended(status=3), "exit status 3 after 2.000 ms", "exit status 3"),
        (ended("signal", signal="SEGV"), "SIGSEGV after 2.000 ms", "SIGSEGV"),
        (
            ended("time", stuck=True),
            "still running after 2.000 ms",
            "what it left behind cannot be killed",
        ),
    ],
)
def test_an_end_by_itself(judge, records, measured, fault):
    found = judge(records)
    assert found.measured == measured
    assert found.evidence == ((fault,) if fault else ())
    assert found.status is (Status.FAIL if fault else Status.PASS)


@pytest.mark.parametrize(
    ("mine", "theirs", "faults"),
    [
        (ended(status=3), ended(status=3), ("exit status 3",)),
        (ended(status=3), ended(), ("exit status 3 instead of the reference's exit status 0",)),
        (
            ended(status=3),
            ended(status=4),
            ("exit status 3 instead of the reference's exit status 4",),
        ),
        (
            ended("signal", signal="BUS"),
            ended("signal", signal="SEGV"),
            ("SIGBUS instead of the reference's SIGSEGV",),
        ),
        (
            ended("time"),
            ended(),
            ("still running where the reference's ended (exit status 0)",),
        ),
        (ended("time"), ended("time"), ()),
        (ended(), ended("time"), ()),
        (ended(), ended(status=1), ()),
    ],
)
def test_an_end_beside_the_references(judge, mine, theirs, faults):
    assert judge(mine, theirs).evidence == faults


def test_another_output_is_told_of_and_no_fault(judge):
    found = judge(ended(said=["a", "lost 7", "c"]), ended(said=["a", "lost 0"]))
    assert found.status is Status.PASS
    assert found.metrics["change"] == 2
    assert found.measured == (
        "exit status 0 after 2.000 ms, last words 'c'; 2 lines differ: 'lost 7' instead of 'lost 0'"
    )
    same = judge(ended(said=["a"]), ended(said=["a"]))
    assert same.metrics["change"] == 0 and "differ" not in same.measured


# --- blame -------------------------------------------------------------------


@pytest.fixture
def run(catalog):
    """What a run of one reproducer comes to, by how it went on both kernels."""

    def judge(candidate, reference, strict=False):
        machine = catalog.machines["aarch64-tcg"]
        subject = Subject(name="6.12+new", source="debian:6.12", version="6.12", patches=())
        plan = make_plan(
            source="debian:6.12",
            series="new",
            claim=Claim(),
            candidate=subject,
            reference=subject.model_copy(update={"name": "6.12"}),
            machine=machine,
            scenarios=tuple(row for row, _ in scenarios_of([Path("x.c")], 5, machine).values()),
            strict=strict,
        )
        went = {Role.CANDIDATE: candidate, Role.REFERENCE: reference}
        observed = {cell.id: went[cell.role] for cell in plan.cells}
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


def crashed(summary=CRASH, end=GuestEnd.OOPS, stage="batch"):
    return Observed(Outcome(end=end, stage=stage, summary=summary), Records([]))


def well(**how):
    return Observed(DONE, ended(**how))


def test_a_crash_of_the_reference_only_is_a_fix(run):
    found = run(well(), crashed())
    assert found.status is Status.PASS
    assert found.headline == f"6.12+new passes every check; fixed: {HEALTH}"
    assert {(one.check, one.change) for one in found.changes} == {
        (HEALTH, Change.FIXED),
        (END, Change.NEW),
    }


def test_a_crash_of_the_candidate_only_is_its_fault(run):
    found = run(crashed(), well())
    assert (found.status, found.headline) == (Status.FAIL, f"6.12+new breaks {HEALTH}")


def test_a_crash_alike_on_both_still_fails(run):
    """The crash is what was to be seen: nothing else need have been measured."""
    found = run(crashed(), crashed())
    assert found.status is Status.PASS
    assert found.headline.endswith(f"fails on the reference as well, not this patch's: {HEALTH}")
    assert [one.change for one in found.changes] == [Change.STILL_FAILING]
    assert run(crashed(), crashed(), strict=True).status is Status.FAIL


def test_another_crash_is_the_candidates(run):
    other = crashed("panic in step 1 (reproduce 5): Kernel panic", GuestEnd.PANIC)
    assert run(other, crashed()).status is Status.FAIL


def test_a_warning_is_compared_as_a_crash_is(run):
    warned = Observed(
        Outcome(end=GuestEnd.WARNING, stage="batch", summary="warning: WARNING: at x"), ended()
    )
    assert run(warned, well()).headline == f"6.12+new breaks {HEALTH}"
    assert run(well(), warned).headline.endswith(f"; fixed: {HEALTH}")
    assert run(warned, warned).status is Status.PASS


def test_a_guest_that_did_not_come_so_far_reproduces_nothing(run):
    early = crashed("panic while booting: Kernel panic", GuestEnd.PANIC, stage="boot")
    found = run(early, early)
    assert found.status is Status.ERROR
    assert found.headline.startswith("no verdict: nothing was measured: panic")


@pytest.mark.parametrize(
    ("mine", "theirs", "status", "said"),
    [
        ({}, {"status": 1}, Status.PASS, f"fixed: {END}"),
        ({"status": 1}, {}, Status.FAIL, f"6.12+new breaks {END}"),
        ({"status": 1}, {"status": 1}, Status.PASS, "on the reference as well"),
        ({"status": 2}, {"status": 1}, Status.FAIL, f"6.12+new breaks {END}"),
        ({"how": "time"}, {"how": "time"}, Status.PASS, "passes every check"),
    ],
)
def test_an_exit_status_is_compared(run, mine, theirs, status, said):
    found = run(well(**mine), well(**theirs))
    assert found.status is status
    assert said in found.headline


# --- what is planned ---------------------------------------------------------


def test_a_persons_file_becomes_a_scenario_of_its_own(catalog):
    machine = catalog.machines["aarch64-tcg"]
    ((name, (row, path)),) = scenarios_of([Path("/tmp/a b.c")], 7, machine).items()
    assert (name, path, row.name) == ("reproducer-a b", Path("/tmp/a b.c"), name)
    assert row.reproducer == Reproducer(file="/tmp/a b.c", seconds=7)
    assert not row.observe and row.checks == (END,)
    assert batch(row) == "reproduce 7\n"


def test_one_that_needs_a_userland_gets_a_disk(catalog):
    machine = catalog.machines["aarch64-tcg"]
    ((row, _),) = scenarios_of([Path("x")], 5, machine).values()
    row = row.model_copy(update={"reproducer": Reproducer(file="x", userland=True)})
    assert row.takes_disk
    assert batch(row) == "reproduce 5 userland\n"
    assert row.lacks(catalog.machines["aarch64-kvm-nested"]).startswith("a disk, which the outer")


def test_two_of_one_name_are_refused(catalog):
    with pytest.raises(PlanError, match="two reproducers are called x"):
        scenarios_of([Path("a/x.c"), Path("b/x")], 5, catalog.machines["aarch64-tcg"])


def test_its_repetition_names_the_file(catalog):
    machine = catalog.machines["aarch64-tcg"]
    asked = Asked(reproducers=(Path("/tmp/a b.c"),), seconds=9)
    rows = tuple(row for row, _ in scenarios_of(asked.reproducers, 9, machine).values())
    plan = make_plan(
        source="path:/t",
        series="",
        claim=Claim(),
        candidate=Subject(name="6.1", source="path:/t", version="6.1.1", patches=()),
        reference=None,
        machine=machine,
        scenarios=rows,
    )
    command = repeat_command(plan, asked, plan.cells[0])
    assert "--reproducer '/tmp/a b.c' --seconds 9 --rerun" in command
    assert "--scenario" not in command
