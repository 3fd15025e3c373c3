# SPDX-License-Identifier: MIT
"""The ladder: which kernels run where, what one run says, how it is shown."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from harness.ask.plan import make_plan
from harness.errors import Exit, HostError, PlanError
from harness.model import (
    Cell,
    CellResult,
    Claim,
    GuestEnd,
    Ladder,
    LadderRow,
    Outcome,
    Promise,
    Promises,
    Role,
    Rung,
    RunResult,
    Status,
    Subject,
    Verdict,
    VersionRange,
)
from harness.report.ladder import show
from harness.run.ladder import chosen, exit_of, fallen, kept, row_of, scenarios_of

RUNG = Rung(name="9.9", source="debian:9.9@sid", machines=("aarch64-tcg", "x86_64-tcg"))


@pytest.fixture
def plan(catalog):
    kernel = Subject(name="9.9", source=RUNG.source, version="9.9.1", patches=())
    return make_plan(
        source=RUNG.source,
        series="",
        claim=Claim(),
        candidate=kernel,
        reference=None,
        machine=catalog.machines["x86_64-tcg"],
        scenarios=(catalog.scenarios["cycles-cpu"],),
    )


def result(*statuses, headline="9.9 passes every check"):
    verdicts = tuple(
        Verdict(check=f"check.{n}", status=status, measured=f"measured {n}", expected="e")
        for n, status in enumerate(statuses)
    )
    cell = CellResult(
        cell=Cell(subject="9.9", role=Role.CANDIDATE, machine="x86_64-tcg", scenario="cycles-cpu"),
        outcome=Outcome(end=GuestEnd.DONE, stage="batch", summary="done"),
        verdicts=verdicts,
        repeat="again",
    )
    return RunResult(
        command="c",
        plan="p",
        started="s",
        seconds=61.5,
        status=Status.FAIL if Status.FAIL in statuses else Status.PASS,
        headline=headline,
        claim={},
        cells=(cell,),
    )


def test_every_kernel_is_kept_green_on_every_machine(catalog):
    wanted = chosen(catalog, (), (), ())
    rows = catalog.ladder.values()
    assert [(rung.name, machine) for rung, machine in wanted] == [
        (rung.name, machine) for rung in rows for machine in rung.machines
    ]
    assert {machine for _, machine in wanted} <= catalog.machines.keys()


def test_a_part_of_the_ladder(catalog):
    asked = chosen(catalog, ("7.3", "5.10"), (), ("x86_64-tcg",))
    assert [(rung.name, machine) for rung, machine in asked] == [
        ("7.3", "x86_64-tcg"),
        ("5.10", "x86_64-tcg"),
    ]
    (mine,) = chosen(catalog, (), ("path:/linux",), ("aarch64-tcg",))
    assert mine == (
        Rung(name="path:/linux", source="path:/linux", machines=mine[0].machines),
        mine[1],
    )


@pytest.mark.parametrize(("kernels", "machines"), [(("7.33",), ()), ((), ("x86_64-tgc",))])
def test_what_is_no_row_gets_the_nearest(catalog, kernels, machines):
    with pytest.raises(PlanError, match=r"did you mean"):
        chosen(catalog, kernels, (), machines)


def test_a_clean_kernel_has_no_trouble(plan):
    row = row_of(
        RUNG, plan, result(Status.PASS, Status.SKIP), status=Exit.PASS, evidence=Path("/e")
    )
    assert (row.release, row.machine, row.guests) == ("9.9.1", "x86_64-tcg", 1)
    assert row.tally == {"pass": 1, "skip": 1}
    assert not row.trouble


def test_trouble_is_told_in_its_first_words(plan):
    statuses = (Status.PASS, *[Status.FAIL] * 3, Status.ERROR)
    said = result(*statuses, headline="9.9 fails check.1")
    row = row_of(RUNG, plan, said, status=Exit.FAIL, evidence=Path("/e"))
    assert row.tally == {"pass": 1, "fail": 3, "error": 1}
    assert row.trouble == (
        "9.9 fails check.1",
        *(f"cycles-cpu check.{n}: fail measured {n}" for n in (1, 2, 3)),
        "and 1 more",
    )


def test_what_does_not_begin_is_a_row_as_well():
    error = HostError("no disk", why="a\nb", evidence=Path("/log"), advice="make room")
    row = fallen(RUNG, "x86_64-tcg", error, 0.25)
    assert (row.exit, row.guests, row.evidence) == (Exit.ERROR, 0, "/log")
    assert row.trouble[:2] == ("error: no disk", "why: a b")


@pytest.mark.parametrize(
    ("exits", "status"),
    [
        ((), Exit.PASS),
        ((0, 0), Exit.PASS),
        ((0, 2), Exit.PLAN),
        ((2, 3, 0), Exit.ERROR),
        ((3, 1, 2), Exit.FAIL),
    ],
)
def test_the_worst_row_decides(exits, status):
    rows = [LadderRow(kernel="k", source="s", machine="m", exit=code, seconds=0) for code in exits]
    assert exit_of(rows) is status


def test_the_table_and_what_is_wrong(plan):
    clean = row_of(RUNG, plan, result(Status.PASS), status=Exit.PASS, evidence=Path("/e/1"))
    torn = fallen(RUNG, "aarch64-tcg", PlanError("no kernel source 9.9@sid [x]"), 0.0)
    console = Console(file=io.StringIO(), width=200)
    show(console, Ladder(rows=(clean, torn)), "/runs/ladder")
    lines = console.file.getvalue().splitlines()
    assert " ".join(lines[1].split()) == "9.9 9.9.1 x86_64-tcg pass 1 1 0 0 0 62"
    assert " ".join(lines[2].split()) == "9.9 aarch64-tcg error 0 0 0 0 0 0"
    assert "9.9 on aarch64-tcg" in lines
    assert "    error: no kernel source 9.9@sid [x]" in lines
    assert lines[-1] == "1 of 2 clean; evidence: /runs/ladder"


# --- promises -----------------------------------------------------------------


def test_every_promise_is_shown_by_what_there_is(catalog):
    for row in catalog.promises.values():
        for promise in row.promises:
            for name in promise.scenarios:
                asked = catalog.scenarios[name].checks
                assert set(promise.checks) & set(asked), (promise.says, name)
            shown = {c for name in promise.scenarios for c in catalog.scenarios[name].checks}
            assert set(promise.checks) <= shown, promise.says


def test_promises_are_shown_by_their_scenarios(catalog):
    row = catalog.promises["contexts"]
    names = scenarios_of(catalog, row, "aarch64-tcg")
    assert names == row.scenarios
    assert scenarios_of(catalog, None, "aarch64-tcg") == ()
    few = scenarios_of(catalog, row, "aarch64-tcg-noisy")
    assert few and "rotation" not in few


@pytest.mark.parametrize(
    ("statuses", "since", "status", "said"),
    [
        ((Status.PASS, Status.SKIP), "6.1", Status.PASS, "1 of 2 checks pass"),
        ((Status.SKIP, Status.SKIP), "6.1", Status.SKIP, "0 of 2 checks pass"),
        ((Status.PASS, Status.FAIL), "6.1", Status.FAIL, "cycles-cpu: measured 1"),
        ((Status.ERROR, Status.FAIL), "6.1", Status.FAIL, "cycles-cpu: measured 1"),
        ((Status.ERROR, Status.PASS), "6.1", Status.ERROR, "cycles-cpu: measured 0"),
        ((Status.FAIL, Status.FAIL), "10.0", Status.SKIP, "for kernels 10.0 and newer"),
    ],
)
def test_a_promise_is_kept_where_its_checks_pass(statuses, since, status, said):
    promise = Promise(
        says="It counts",
        checks=("check.0", "check.1"),
        scenarios=("cycles-cpu",),
        versions=VersionRange(since=since),
    )
    found = kept(promise, "9.9.1", result(*statuses))
    assert (found.says, found.status, found.said) == ("It counts", status, said)


def test_promises_are_rows_and_kernels_columns(plan):
    promise = Promise(says="It counts", checks=("check.0",), scenarios=("cycles-cpu",))
    row = Promises(name="p", title="t", source="s", promises=(promise,))
    rows = [
        row_of(RUNG, plan, result(status), status=0, evidence=Path("/e"), promises=row)
        for status in (Status.PASS, Status.FAIL)
    ]
    console = Console(file=io.StringIO(), width=200)
    show(console, Ladder(rows=tuple(rows)), "/runs/ladder")
    lines = [" ".join(line.split()) for line in console.file.getvalue().splitlines()]
    assert "It counts pass fail" in lines
    assert "9.9 on x86_64-tcg, It counts: cycles-cpu: measured 0" in lines
