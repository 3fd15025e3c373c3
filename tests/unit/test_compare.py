# SPDX-License-Identifier: MIT
"""What moved between two runs, what a bisection takes a commit for, history, known issues."""

import io
import json
from datetime import date

import pytest
from rich.console import Console

from harness.errors import HostError, PlanError
from harness.model import (
    HEALTH,
    Cell,
    CellResult,
    Change,
    GuestEnd,
    Outcome,
    Repetition,
    Role,
    RunResult,
    Status,
    Trying,
    Verdict,
)
from harness.report import compare as shown
from harness.report import history as plots
from harness.run.history import Baseline, History
from harness.run.known import known_issues
from harness.verdict.bisect import taken, wanted
from harness.verdict.compare import compare
from harness.verdict.steps import BUILDS

DONE = Outcome(end=GuestEnd.DONE, stage="batch", summary="done")
RELEASE = "retention.release"


def verdict(check, status, measured="m", **metrics):
    return Verdict(check=check, status=status, measured=measured, expected="e", metrics=metrics)


def cell(*verdicts, scenario="task", guests=()):
    where = Cell(subject="6.12+new", role=Role.CANDIDATE, machine="m", scenario=scenario)
    repetitions = tuple(Repetition(cell=where, outcome=DONE, verdicts=(one,)) for one in guests)
    return CellResult(
        cell=where, outcome=DONE, verdicts=verdicts, repeat="again", repetitions=repetitions
    )


def run(*cells, status=Status.PASS, failures=(), started="2026-01-01T00:00:00Z"):
    return RunResult(
        command="c",
        plan="p",
        started=started,
        seconds=1.0,
        status=status,
        headline="the headline",
        claim={},
        cells=cells,
        failures=failures,
    )


def passing(**metrics):
    return verdict(RELEASE, Status.PASS, "0 releases", **metrics)


def failing(**metrics):
    return verdict(RELEASE, Status.FAIL, "9 releases", **metrics)


# --- compare ----------------------------------------------------------------


def test_exactly_what_moved_is_told():
    before = run(
        cell(passing(releases=0), verdict("a", Status.PASS, n=1), verdict("b", Status.FAIL))
    )
    after = run(
        cell(failing(releases=9), verdict("a", Status.PASS, n=2), verdict("b", Status.FAIL))
    )
    found = compare(before, after, "/one", "/two")
    assert [(one.change, one.check) for one in found.changes] == [
        (Change.BROKEN, RELEASE),
        (Change.STILL_FAILING, "b"),
    ]
    assert [(one.check, one.name, one.before, one.after) for one in found.numbers] == [
        (RELEASE, "releases", 0, 9),
        ("a", "n", 1, 2),
    ]
    assert (found.status, found.alike) == (Status.FAIL, 1)
    assert (found.before.place, found.after.place) == ("/one", "/two")


def test_a_run_is_like_itself():
    one = run(cell(passing(releases=0)))
    found = compare(one, one)
    assert (found.changes, found.numbers, found.status) == ((), (), Status.PASS)


def test_what_a_cost_is_against_its_own_reference_is_no_move():
    one = run(cell(verdict("cost", Status.PASS, instructions=5, reference=5, change=0)))
    two = run(cell(verdict("cost", Status.PASS, instructions=5, reference=9, change=-4)))
    assert compare(one, two).numbers == ()


def test_scenarios_that_only_one_has_are_named():
    found = compare(run(cell(passing())), run(cell(passing(), scenario="other")))
    assert (found.only_before, found.only_after) == (("task",), ("other",))


def test_of_repetitions_a_number_moves_where_chance_does_not_explain_it():
    def machine(*values):
        guests = [passing(rate=value) for value in values]
        return run(cell(passing(rate=values[0]), guests=guests))

    noise, same = machine(*range(1, 8)), machine(2, 4, 6, 1, 3, 5, 7)
    other = machine(*range(21, 28))
    assert compare(noise, same).numbers == ()
    (moved,) = compare(noise, other).numbers
    assert (moved.before, moved.after) == (4, 24)


def test_a_comparison_is_printed():
    out = io.StringIO()
    found = compare(run(cell(passing(releases=0))), run(cell(failing(releases=9))))
    shown.show_comparison(Console(file=out, width=200), found)
    words = " ".join(out.getvalue().split())
    assert "broken retention.release task: pass: 0 releases -> fail: 9 releases" in words
    assert "moved retention.release task: releases 0 -> 9" in words
    assert "FAIL what passed before fails now: 1 verdicts and 1 numbers moved" in words


# --- bisect -----------------------------------------------------------------

GOOD, BAD = run(cell(passing())), run(cell(failing()))
UNBUILT = run(status=Status.FAIL, failures=("error: does not build",))


def test_what_is_looked_for_is_what_the_bad_end_broke():
    assert wanted(GOOD, BAD) == (("task", RELEASE),)
    assert wanted(GOOD, BAD, ["retention"]) == (("task", RELEASE),)
    assert wanted(GOOD, BAD, ["sampling"]) == ()
    assert wanted(BAD, BAD) == ()
    assert wanted(GOOD, UNBUILT) == (("", BUILDS),)


PANICS = run(cell(verdict(HEALTH, Status.FAIL), verdict(RELEASE, Status.ERROR, "not measured: x")))


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (GOOD, Trying.GOOD),
        (BAD, Trying.BAD),
        (UNBUILT, Trying.SKIP),
        (PANICS, Trying.SKIP),
        (run(cell(verdict(RELEASE, Status.SKIP))), Trying.SKIP),
    ],
)
def test_what_a_commit_is_taken_for(result, expected):
    assert taken(GOOD, result, (("task", RELEASE),)) is expected


def test_where_the_build_is_looked_for_what_is_built_is_good():
    looked_for = (("", BUILDS),)
    assert taken(GOOD, UNBUILT, looked_for) is Trying.BAD
    assert taken(GOOD, BAD, looked_for) is Trying.GOOD


# --- history ----------------------------------------------------------------


@pytest.fixture
def history(tmp_path, catalog):
    """A database, and a function that records a run of one verdict in it."""
    from harness.ask.plan import make_plan
    from harness.model import Claim, Subject

    kept = History(tmp_path / "state" / "history.sqlite")
    subject = Subject(name="6.12+new", source="debian:6.12", version="6.12.1", patches=())
    plan = make_plan(
        source="debian:6.12",
        series="",
        claim=Claim(),
        candidate=subject,
        reference=None,
        machine=catalog.machines["aarch64-tcg"],
        scenarios=(catalog.scenarios["cycles-task"],),
    )

    def record(one, number):
        result = run(cell(one), started=f"2026-01-0{number}T00:00:00Z")
        kept.record(plan, result, tmp_path / str(number))
        return result

    return kept, record


def test_a_check_over_time(history):
    kept, record = history
    for number, value in enumerate((0, 9, 0), 1):
        record(passing(releases=value) if not value else failing(releases=value), number)
    record(failing(releases=9), 2)
    (trend,) = kept.trends(RELEASE)
    assert [point.status for point in trend.points] == [Status.PASS, Status.FAIL, Status.PASS]
    assert (trend.kernel, trend.subject, trend.scenario) == ("6.12", "6.12+new", "task")
    assert kept.trends(RELEASE, machine="other") == ()
    assert kept.checks() == [RELEASE]
    out = io.StringIO()
    plots.show(Console(file=out, width=160), kept.trends(RELEASE), "releases")
    assert "▁█▁" in out.getvalue()
    page = plots.page(RELEASE, kept.trends(RELEASE))
    assert page.count("<circle") == 3 and "releases: 0 to 9" in page


def test_a_page_escapes_what_a_guest_said(history):
    kept, record = history
    record(verdict(RELEASE, Status.FAIL, "<script>alert(1)</script>"), 1)
    assert "<script>" not in plots.page(RELEASE, kept.trends(RELEASE))


def test_a_baseline_is_kept_whole(history, tmp_path):
    kept, record = history
    result = record(passing(), 1)
    kept.save(Baseline("6.12", "aarch64-tcg", str(tmp_path), result))
    assert kept.baseline("6.12", "aarch64-tcg").result == result
    with pytest.raises(PlanError, match=r"no baseline of 6\.1 on"):
        kept.baseline("6.1", "aarch64-tcg")


def test_a_file_that_is_no_database_is_named(tmp_path):
    file = tmp_path / "history.sqlite"
    file.write_text("no database, and longer than a header of one has to be " * 20)
    with pytest.raises(HostError, match="cannot be used"):
        History(file).checks()


# --- known issues -----------------------------------------------------------

ISSUE = """\
late-tick:
  reason: the tick is late on our board
  link: https://bugs.example.org/1
  expires: 2026-06-30
  excuses: {cycles-task: [retention.release]}
  matching: "released"
"""


def known(tmp_path, text=ISSUE, today=date(2026, 6, 30), **more):
    file = tmp_path / "known.yaml"
    file.write_text(text)
    said = []
    return known_issues([file], said.append, today=today, **more), said


def test_a_known_issue_is_an_erratum_until_it_expires(tmp_path):
    (one,), said = known(tmp_path)
    assert (one.name, one.source, said) == ("late-tick", "https://bugs.example.org/1", [])
    assert one.what == "known until 2026-06-30: the tick is late on our board"
    none, said = known(tmp_path, today=date(2026, 7, 1))
    assert none == ()
    assert said == ["known issue late-tick expired on 2026-06-30: it excuses nothing"]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("expires", "expiry", "not a valid knownissue"),
        ("https://bugs", "see bugs", "not a valid knownissue"),
        ("retention.release", "retention.relase", "did you mean retention.release"),
        ('"released"', '"("', "no regular expression"),
    ],
)
def test_a_known_issue_that_is_none_is_refused(tmp_path, old, new, why):
    with pytest.raises(PlanError, match=why.replace("(", r"\(")):
        known(tmp_path, ISSUE.replace(old, new))


def test_a_name_is_taken_once(tmp_path):
    with pytest.raises(PlanError, match="known defect late-tick already"):
        known(tmp_path, taken={"late-tick"})


def test_a_comparison_is_json():
    found = compare(GOOD, BAD)
    assert json.loads(found.model_dump_json())["changes"][0]["change"] == "broken"
