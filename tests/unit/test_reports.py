# SPDX-License-Identifier: MIT
"""Reports of a stored result: text, JUnit, HTML."""

import io
from html.parser import HTMLParser

import pytest
from junitparser import JUnitXml
from rich.console import Console

from harness.guest.records import Records
from harness.guest.tool_records import Period
from harness.model import Cell, CellResult, GuestEnd, Outcome, Role, RunResult, Status, Verdict
from harness.report import html, junit, text
from harness.report.periods import HEIGHT, WIDTH, chart
from harness.report.timeline import timeline

EVIL = "<script>alert(1)</script> \x1b[2J [bold]x[/bold]"


def cell(role, name, *verdicts):
    return CellResult(
        cell=Cell(subject=name, role=role, machine="aarch64-tcg", scenario="cycles-task"),
        outcome=Outcome(end=GuestEnd.DONE, stage="batch", summary="done"),
        verdicts=verdicts,
        repeat="./pmu-harness run --scenario cycles-task --rerun",
    )


def verdict(check, status, evidence=()):
    return Verdict(
        check=check, status=status, measured="m " + check, expected="e", evidence=evidence
    )


@pytest.fixture
def result():
    before = [verdict("a", Status.FAIL, ("seen before",)), verdict("b", Status.PASS)]
    after = [verdict("a", Status.PASS), verdict("b", Status.FAIL, (EVIL,))]
    after.append(verdict("c", Status.INCONCLUSIVE))
    return RunResult(
        command="./pmu-harness run",
        plan="new on debian:6.12, aarch64-tcg",
        started="2026-01-01T00:00:00Z",
        seconds=1.5,
        status=Status.FAIL,
        headline="6.12+new fails b",
        claim={"a": True, "c": False},
        cells=(cell(Role.REFERENCE, "6.12", *before), cell(Role.CANDIDATE, "6.12+new", *after)),
        failures=("error: one",),
    )


def printed(result, terminal):
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=200)
    text.show(console, result, "/run", full=True)
    return out.getvalue()


def test_text_is_plain_when_piped(result):
    shown = printed(result, terminal=False)
    assert "\x1b" not in shown
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "scenario check reference 6.12 candidate 6.12+new expected" in lines[0]
    assert "cycles-task a fail m a pass m a e" in lines
    assert "FAIL 6.12+new fails b" in lines
    assert "evidence: /run" in lines
    assert "repeat: ./pmu-harness run --scenario cycles-task --rerun" in lines
    assert "[bold]x[/bold]" in shown


def test_text_has_colour_on_a_terminal_but_no_escape_of_the_guests(result):
    shown = printed(result, terminal=True)
    assert "\x1b[1;31m" in shown
    assert "\x1b[2J" not in shown


def test_brief_leaves_out_what_passed(result):
    out = io.StringIO()
    result = result.model_copy(update={"cells": (result.cells[1],)})
    text.show(Console(file=out), result, "/run", full=False)
    assert "m b" in out.getvalue() and "m a" not in out.getvalue()


def test_junit_has_a_case_for_each_check_of_the_candidate(result):
    suite = next(iter(JUnitXml.fromstring(junit.render(result).encode())))
    cases = {(case.classname, case.name): case for case in suite}
    assert set(cases) == {
        ("cycles-task", "a"),
        ("cycles-task", "b"),
        ("cycles-task", "c"),
        ("claim", "a"),
        ("claim", "c"),
        ("run", "run"),
    }
    assert cases["cycles-task", "a"].is_passed
    assert "reference: fail: m a" in cases["cycles-task", "a"].system_out
    assert cases["cycles-task", "b"].is_failure
    assert cases["cycles-task", "c"].is_error
    assert cases["claim", "a"].is_passed
    assert cases["claim", "c"].is_failure
    assert suite.failures == 3 and suite.errors == 1


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)


def test_html_escapes_what_a_guest_said(result):
    records = {cell.cell.id: Records([]) for cell in result.cells}
    page = html.render(result, records, {"6.12": {"toolchain": EVIL}})
    tags = Tags()
    tags.feed(page)
    assert "script" not in tags.seen
    assert "&lt;script&gt;" in page
    assert "6.12+new fails b" in page


def test_html_draws_who_was_on_which_counter(result, load):
    records = {
        result.cells[0].cell.id: load("task-pre-callbacks"),
        result.cells[1].cell.id: load("task-start-stop-callbacks"),
    }
    page = html.render(result, records, {})
    assert page.count("<svg") == 2
    assert "holder 1" in page


def test_a_timeline_shows_the_move_and_the_releases(load):
    before = timeline(load("task-pre-callbacks"))
    after = timeline(load("task-start-stop-callbacks"))
    assert len(before.releases) == 70 and not after.releases
    assert (0, 31) in {(bar.cpu, bar.counter) for bar in before.bars if bar.event == "target"}
    assert {bar.counter for bar in after.bars if bar.event == "target"} == {2}
    assert all(bar.begin <= bar.end for bar in before.bars)


def test_no_log_no_timeline(load):
    assert timeline(load("cost-pre-callbacks")) is None


def test_a_result_survives_the_disk(result):
    assert RunResult.model_validate_json(result.model_dump_json()) == result


@pytest.fixture
def sampled(load):
    names = {"before": "perf-record-pre-callbacks", "after": "perf-record-start-stop-callbacks"}
    return {subject: load(name) for subject, name in names.items()}


def test_periods_are_drawn_on_the_same_axes(sampled):
    drawn = chart(sampled)
    before, after = drawn.sides["before"], drawn.sides["after"]
    assert (before.samples, after.samples) == tuple(
        len(records.of(Period)) for records in sampled.values()
    )
    assert before.adjustments == before.releases > 0
    assert after.adjustments > 0 and after.releases == 0
    assert [period for period, _ in drawn.decades] == [10**power for power in range(7)]
    points = [tuple(map(float, point.split(","))) for point in after.points.split()]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    assert points[0] == (0.0, HEIGHT)  # A period of 1, at the time of the first sample.


def test_what_perf_record_did_not_sample_has_no_chart(load):
    assert chart({"one": load("task-pre-callbacks"), "two": Records([])}) is None


def test_one_sample_is_a_chart():
    one = Period(event="x", time=5, period=0)
    assert chart({"one": Records([one])}).sides["one"].points == "0.0,160.0"


def test_html_puts_them_side_by_side(result, sampled):
    records = dict(zip((cell.cell.id for cell in result.cells), sampled.values(), strict=True))
    page = html.render(result, records, {})
    assert "What perf record sampled" in page
    assert page.count("<polyline") == 2
