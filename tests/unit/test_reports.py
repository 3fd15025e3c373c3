# SPDX-License-Identifier: MIT
"""Reports of a stored result: text, JUnit, HTML."""

import io
import re
from html.parser import HTMLParser

import pytest
from junitparser import JUnitXml
from rich.console import Console

from harness.guest.records import Records
from harness.guest.tool_records import Period
from harness.model import (
    HEALTH,
    NOT_MEASURED,
    Cell,
    CellResult,
    Change,
    Changed,
    GuestEnd,
    Noise,
    Outcome,
    Part,
    Repetition,
    Role,
    RunResult,
    Status,
    TouchedFile,
    Verdict,
)
from harness.report import html, junit, text
from harness.report.periods import HEIGHT, WIDTH, chart
from harness.report.text import Detail
from harness.report.timeline import timeline

BEFORE, AFTER = "6.12+pre-callbacks/cycles-task", "6.12/cycles-task"
EVIL = "<script>alert(1)</script> \x1b[2J [bold]x[/bold]"


def cell(role, name, *verdicts, scenario="cycles-task", seconds=0.0):
    return CellResult(
        cell=Cell(subject=name, role=role, machine="aarch64-tcg", scenario=scenario),
        outcome=Outcome(end=GuestEnd.DONE, stage="batch", summary="done"),
        verdicts=verdicts,
        repeat=f"./pmu-harness run --scenario {scenario} --rerun",
        seconds=seconds,
        reused=not seconds,
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


def printed(result, terminal=False, detail=Detail.FULL):
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=200)
    text.show(console, result, "/run", detail)
    return out.getvalue()


def lines(shown):
    """Lines without what aligns them."""
    return [" ".join(line.split()) for line in shown.splitlines()]


def test_text_is_plain_when_piped(result):
    shown = printed(result)
    assert "\x1b" not in shown
    said = lines(shown)
    assert said[0] == "scenario reference 6.12 candidate 6.12+new expected, or time"
    assert said[1] == ("cycles-task 1 pass, 1 fail 1 pass, 1 inconclusive, 1 fail stored / stored")
    assert "a fail m a pass m a e" in said
    assert "FAIL 6.12+new fails b" in said
    assert "evidence: /run" in said
    assert "repeat: ./pmu-harness run --scenario cycles-task --rerun" in said
    assert "[bold]x[/bold]" in shown


def test_text_has_colour_on_a_terminal_but_no_escape_of_the_guests(result):
    shown = printed(result, terminal=True)
    assert "\x1b[1;31m" in shown
    assert "\x1b[2J" not in shown


@pytest.mark.parametrize(
    ("instructions", "writes", "shown"),
    [(-719, 0, ["a", "b"]), (0, 2, ["a", "b"]), (0, 0, [])],
)
def test_costs_stand_beside_one_that_moved(result, instructions, writes, shown):
    """Instructions and registers: neither says anything without the other."""
    costs = [
        verdict(check, Status.PASS).model_copy(update={"metrics": {"change": change}})
        for check, change in (("a", instructions), ("b", writes))
    ]
    quiet = verdict("c", Status.PASS)
    cells = (
        cell(Role.REFERENCE, "6.12", verdict("a", Status.PASS), verdict("b", Status.PASS), quiet),
        cell(Role.CANDIDATE, "6.12+new", *costs, quiet),
    )
    said = lines(
        printed(result.model_copy(update={"cells": cells, "failures": ()}), detail=Detail.NORMAL)
    )
    assert [line[0] for line in said if " pass m " in line] == shown


@pytest.fixture
def wide():
    """Four scenarios: one that passes, one skipped, one that fails in both, one not measured."""
    good, bad = verdict("a", Status.PASS), verdict("b", Status.FAIL, ("first line",))
    skip = verdict("a", Status.SKIP, ("what it is", "(where)"))
    crashed = (
        verdict(HEALTH, Status.FAIL, ("Oops",)),
        Verdict(check="a", status=Status.ERROR, measured=NOT_MEASURED + "oops", expected="e"),
    )
    sides = ((Role.REFERENCE, "6.12"), (Role.CANDIDATE, "6.12+new"))
    cells = [
        cell(role, name, *verdicts, scenario=scenario, seconds=seconds)
        for role, name in sides
        for scenario, verdicts, seconds in (
            ("passes", (good,), 1.25),
            ("skips", (skip,), 0.0),
            ("fails", (good, bad), 2.0),
            ("fails-too", (bad,), 0.5),
            ("crashes", crashed, 3.0),
        )
    ]
    return RunResult(
        command="./pmu-harness run",
        plan="p",
        started="2026-01-01T00:00:00Z",
        seconds=4.0,
        status=Status.FAIL,
        headline="6.12+new fails b",
        claim={},
        cells=tuple(cells),
    )


def test_brief_prints_only_what_did_not_pass(wide):
    said = lines(printed(wide, detail=Detail.BRIEF))
    assert not any(line.startswith("passes ") for line in said)
    assert "fails 1 pass, 1 fail 1 pass, 1 fail 2.0 s / 2.0 s" in said
    assert "b fail m b fail m b e" in said
    assert "a pass m a pass m a e" not in said


def test_normal_has_a_line_for_each_scenario_with_its_time(wide):
    said = lines(printed(wide, detail=Detail.NORMAL))
    assert "passes 1 pass 1 pass 1.2 s / 1.2 s" in said
    assert "skips 1 skip 1 skip stored / stored" in said
    assert "a pass m a pass m a e" not in said


def test_full_prints_all_that_was_measured(wide):
    said = lines(printed(wide, detail=Detail.FULL))
    assert said.count("a pass m a pass m a e") == 2


@pytest.mark.parametrize("detail", Detail)
def test_what_a_crash_kept_from_being_measured_is_not_repeated(wide, detail):
    """Its health says why."""
    shown = printed(wide, detail=detail)
    assert "m kernel.health" in shown
    assert NOT_MEASURED not in shown


def test_a_run_without_a_reference_has_one_column(wide):
    alone = [cell for cell in wide.cells if cell.cell.role is Role.CANDIDATE]
    said = lines(printed(wide.model_copy(update={"cells": tuple(alone)})))
    assert said[0] == "scenario candidate 6.12+new expected, or time"
    assert "passes 1 pass 1.2 s" in said


def test_evidence_is_shown_once_for_each_subject_and_check(wide):
    said = lines(printed(wide, detail=Detail.NORMAL))
    at = said.index("fail 6.12+new/aarch64-tcg/fails b")
    assert said[at : at + 3] == [
        "fail 6.12+new/aarch64-tcg/fails b",
        "first line",
        "as well in fails-too",
    ]
    assert "skip 6.12+new/aarch64-tcg/skips a" in said
    # What the reference says as well is not said twice.
    assert said.count("first line") == 1
    assert not any(line.startswith("skip 6.12/") for line in said)


def test_what_the_candidate_broke_is_shown_first(result):
    broken = Changed(
        change=Change.BROKEN, scenario="cycles-task", check="b", reference="pass", candidate="fail"
    )
    said = lines(printed(result.model_copy(update={"changes": (broken,)})))
    titles = [line for line in said if line.startswith("fail 6.12") and "/" in line]
    assert titles == [
        "fail 6.12+new/aarch64-tcg/cycles-task b",
        "fail 6.12/aarch64-tcg/cycles-task a",
    ]


def test_the_time_is_the_guests_and_the_whole(wide):
    said = lines(printed(wide))
    assert "time: 8 guests in 14 s of guests' time, 2 stored; 4 s in all" in said


def repeated_by(shown):
    return [line for line in lines(shown) if line.startswith("repeat:")]


def test_what_fails_on_both_need_not_be_repeated(wide):
    assert repeated_by(printed(wide)) == []


def test_what_the_candidate_broke_is_repeated_by_one_command(wide):
    before = tuple(
        cell.model_copy(update={"verdicts": (verdict("b", Status.PASS),)})
        if cell.cell.role is Role.REFERENCE
        else cell
        for cell in wide.cells
    )
    assert repeated_by(printed(wide.model_copy(update={"cells": before}))) == [
        "repeat: ./pmu-harness run --scenario fails --scenario fails-too --scenario crashes --rerun"
    ]


def test_without_a_reference_all_that_fails_is_repeated(wide):
    alone = tuple(cell for cell in wide.cells if cell.cell.role is Role.CANDIDATE)
    (command,) = repeated_by(printed(wide.model_copy(update={"cells": alone})))
    named = re.findall(r"--scenario ([\w-]+)", command)
    assert named == ["fails", "fails-too", "crashes"]


def test_reproducers_are_repeated_by_one_command_as_well(wide):
    """Their files are words as a shell quotes them."""
    command = "./pmu-harness run --reproducer {} --seconds 5 --rerun"
    names = {"fails": "'/tmp/a b.c'", "fails-too": "$'/tmp/caf\\xe9.c'", "crashes": "/tmp/c"}
    alone = tuple(
        cell.model_copy(update={"repeat": command.format(names.get(cell.cell.scenario, "x"))})
        for cell in wide.cells
        if cell.cell.role is Role.CANDIDATE
    )
    assert repeated_by(printed(wide.model_copy(update={"cells": alone}))) == [
        "repeat: ./pmu-harness run --reproducer '/tmp/a b.c' --reproducer $'/tmp/caf\\xe9.c'"
        " --reproducer /tmp/c --seconds 5 --rerun"
    ]


BROKE = Changed(
    change=Change.BROKEN, scenario="s1", check="b", reference="pass: 1", candidate="fail: 2"
)
CHANGES = (
    BROKE.model_copy(update={"change": Change.STILL_FAILING, "check": "old"}),
    BROKE.model_copy(update={"change": Change.FIXED, "check": "mended"}),
    BROKE,
    *(BROKE.model_copy(update={"scenario": f"s{number}"}) for number in range(2, 6)),
)


def test_what_changed_stands_on_top_the_worst_first(wide):
    said = lines(printed(wide.model_copy(update={"changes": CHANGES})))
    assert said[:4] == [
        "broken b s1, s2, s3 and 2 more: pass: 1 -> fail: 2",
        "fixed mended s1: pass: 1 -> fail: 2",
        "still failing old s1: pass: 1 -> fail: 2",
        "",
    ]
    assert said[4].startswith("scenario reference")


def test_costs_that_moved_stand_there_too(wide):
    dear = verdict("cost.adjustment", Status.PASS).model_copy(update={"metrics": {"change": 7}})
    cells = (*wide.cells, cell(Role.CANDIDATE, "6.12+new", dear, scenario="cost-cycles"))
    said = lines(printed(wide.model_copy(update={"cells": cells})))
    assert said[0] == "moved cost.adjustment cost-cycles: m cost.adjustment"


def measuring(**metrics):
    return verdict("a", Status.PASS).model_copy(update={"metrics": metrics})


def test_other_numbers_that_moved_are_counted_and_listed_in_html(wide):
    cells = (
        *wide.cells,
        cell(Role.REFERENCE, "6.12", measuring(samples=100, same=1), scenario="s"),
        cell(Role.CANDIDATE, "6.12+new", measuring(samples=125, same=1, new=7), scenario="s"),
    )
    result = wide.model_copy(update={"cells": cells})
    assert lines(printed(result))[0] == "moved numbers 1 in 1 scenarios: see report.html"
    page = html.render(result, {cell.cell.id: Records([]) for cell in result.cells}, {}, {})
    assert "1 numbers moved" in page
    row = "<td>samples</td>\n<td>100</td><td>125</td><td>+25.0%</td>"
    assert row in page and "<td>same</td>" not in page


def test_html_has_what_changed_before_any_scenario(wide):
    result = wide.model_copy(update={"changes": CHANGES})
    page = html.render(result, {cell.cell.id: Records([]) for cell in result.cells}, {}, {})
    assert page.index("What changed") < page.index("<h2>Checks</h2>")
    rows = re.findall(r'<tr><td class="status ([\w-]+)">([\w ]+)</td><td>(\w+)</td>', page)
    assert rows == [
        ("broken", "broken", "b"),
        ("fixed", "fixed", "mended"),
        ("still-failing", "still failing", "old"),
    ]
    assert '<a href="#scenario-s5">s5</a>' in page


def test_what_a_terminals_library_reads_into_a_name_or_an_evidence_is_left(wide):
    """Neither markup nor an emoji."""
    odd = verdict("x", Status.FAIL, ("registers.h:100:9: [red]no[/] :smile:",))
    cells = (cell(Role.CANDIDATE, "6.12+my[new]", odd, scenario="s[0]"),)
    for terminal in (False, True):
        shown = printed(wide.model_copy(update={"cells": cells}), terminal=terminal)
        for name in ("6.12+my[new]", "s[0]", "registers.h:100:9: [red]no[/] :smile:"):
            assert name in shown


# --- runs that did not get so far ----------------------------------------------


@pytest.fixture
def refused(wide):
    """A run whose patch does not apply: nothing was started."""
    waiting = Outcome(end=GuestEnd.NOT_STARTED, stage="none", summary="not started")
    unmeasured = tuple(
        Verdict(check=check, status=Status.ERROR, measured=text, expected="e")
        for check, text in ((HEALTH, "not started"), ("a", NOT_MEASURED + "not started"))
    )
    cells = tuple(
        one.model_copy(
            update={"outcome": waiting, "verdicts": unmeasured, "seconds": 0.0, "reused": False}
        )
        for one in wide.cells
    )
    update = {"cells": cells, "failures": ("error:    p does not apply",), "changes": ()}
    return wide.model_copy(update=update)


def test_a_failure_is_all_that_is_printed_of_a_run_that_did_not_start(refused):
    said = lines(printed(refused, detail=Detail.NORMAL))
    assert said[:2] == ["error: p does not apply", "FAIL 6.12+new fails b"]
    assert not any("not started" in line for line in said)
    assert repeated_by("\n".join(said)) == []


def test_a_failure_is_one_failed_case_and_no_error_beside_it(refused):
    suite = next(iter(JUnitXml.fromstring(junit.render(refused).encode())))
    assert (suite.failures, suite.errors) == (1, 0)
    assert suite.skipped == 10
    (failed,) = [case for case in suite if case.is_failure]
    assert failed.result[0].text == "error:    p does not apply"


TOUCHED = (
    TouchedFile(path="arch/x86/[x].c", part=Part.NOT_BUILT, why="x86_64-tcg builds it"),
    TouchedFile(path="kernel/a.c", part=Part.IMAGE),
)


@pytest.fixture
def unexercised(refused):
    update = {
        "failures": (),
        "exercised": False,
        "status": Status.ERROR,
        "touched": TOUCHED[:1],
        "headline": "nothing of it is in a guest",
    }
    return refused.model_copy(update=update)


def test_what_was_not_exercised_is_said_file_by_file(unexercised):
    said = lines(printed(unexercised, detail=Detail.NORMAL))
    assert said[:3] == [
        "not built arch/x86/[x].c x86_64-tcg builds it",
        "",
        "NOT EXERCISED nothing of it is in a guest",
    ]
    assert not any("not started" in line for line in said)


@pytest.mark.parametrize(("status", "counted"), [(Status.ERROR, (0, 1)), (Status.PASS, (0, 0))])
def test_what_was_not_exercised_is_an_error_unless_that_is_allowed(unexercised, status, counted):
    result = unexercised.model_copy(update={"status": status})
    suite = next(iter(JUnitXml.fromstring(junit.render(result).encode())))
    assert (suite.failures, suite.errors) == counted
    (case,) = [case for case in suite if case.classname == "run"]
    assert case.result[0].message == "nothing of it is in a guest"
    assert case.result[0].text == "arch/x86/[x].c: not built: x86_64-tcg builds it"


def test_a_part_that_is_not_built_is_told_before_the_scenarios(wide):
    result = wide.model_copy(update={"touched": TOUCHED})
    assert lines(printed(result))[0] == "not built arch/x86/[x].c x86_64-tcg builds it"
    page = html.render(result, {cell.cell.id: Records([]) for cell in result.cells}, {}, {})
    assert "What no guest has" in page and "kernel/a.c" not in page


def test_what_fails_on_both_is_skipped_in_junit_unless_strictly(wide):
    suite = next(iter(JUnitXml.fromstring(junit.render(wide).encode())))
    cases = {(case.classname, case.name): case for case in suite}
    assert cases["fails", "b"].is_skipped
    assert cases["fails", "b"].result[0].message == "fails on the reference as well: m b"
    assert cases["crashes", HEALTH].is_skipped and cases["crashes", "a"].is_skipped
    assert (suite.failures, suite.errors) == (0, 0)
    strict = wide.model_copy(update={"strict": True})
    suite = next(iter(JUnitXml.fromstring(junit.render(strict).encode())))
    assert (suite.failures, suite.errors) == (3, 0)


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


def test_html_escapes_what_a_guest_said(catalog, result):
    records = {cell.cell.id: Records([]) for cell in result.cells}
    scenario = catalog.scenarios["cycles-task"].model_copy(update={"title": EVIL})
    page = html.render(result, records, {"6.12": {"toolchain": EVIL}}, {"cycles-task": scenario})
    tags = Tags()
    tags.feed(page)
    assert "script" not in tags.seen
    assert "&lt;script&gt;" in page
    assert "6.12+new fails b" in page


def test_html_shows_trouble_first_and_open(result):
    said = (verdict("a", Status.PASS), verdict("b", Status.SKIP))
    fine = cell(Role.CANDIDATE, "6.12+new", *said, scenario="attached")
    result = result.model_copy(update={"cells": (fine, *result.cells)})
    page = html.render(result, {cell.cell.id: Records([]) for cell in result.cells}, {}, {})
    head = r'<details class="scenario" id="[^"]+"( open)?>\s*<summary><b>([^<]+)</b>'
    heads = re.findall(head, page)
    assert heads == [(" open", "cycles-task"), ("", "attached")]


def test_html_draws_who_was_on_which_counter(result, load):
    records = {
        result.cells[0].cell.id: load(BEFORE),
        result.cells[1].cell.id: load(AFTER),
    }
    page = html.render(result, records, {}, {})
    assert page.count("<svg") == 2
    assert "holder1" in page


def test_a_timeline_shows_the_move_and_the_releases(load):
    before = timeline(load(BEFORE))
    after = timeline(load(AFTER))
    assert len(before.releases) == 240 and not after.releases
    assert (0, 31) in {(bar.cpu, bar.counter) for bar in before.bars if bar.event == "target"}
    assert {bar.counter for bar in after.bars if bar.event == "target"} == {2}
    assert all(bar.begin <= bar.end for bar in before.bars)


def test_kvms_events_are_drawn_as_one(load):
    """Hundreds of them, in arm64's case: one for each time that a guest sets a counter."""
    line = timeline(load("6.12@aarch64-tcg-el2/kvm-scarce"))
    assert set(line.events) == {"holder", "target", "filler1", "filler2", "the kernel's own"}


def test_no_log_no_timeline(load):
    assert timeline(load("6.12/cost-cycles")) is None


def test_a_result_survives_the_disk(result):
    assert RunResult.model_validate_json(result.model_dump_json()) == result


@pytest.fixture
def sampled(load):
    kernels = {"before": "6.12+pre-callbacks", "after": "6.12+start-stop-callbacks"}
    return {subject: load(f"{kernel}/perf-record") for subject, kernel in kernels.items()}


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
    assert chart({"one": load(BEFORE), "two": Records([])}) is None


def test_one_sample_is_a_chart():
    one = Period(event="x", time=5, period=0)
    assert chart({"one": Records([one])}).sides["one"].points == "0.0,160.0"


def test_html_puts_them_side_by_side(result, sampled):
    records = dict(zip((cell.cell.id for cell in result.cells), sampled.values(), strict=True))
    page = html.render(result, records, {}, {})
    assert "What perf record sampled" in page
    assert page.count("<polyline") == 2


# --- repetitions -------------------------------------------------------------


@pytest.fixture
def repeated(result):
    """The result with three guests for the candidate: one in noise, one stored."""
    whole = result.cells[1]
    guests = tuple(
        Repetition(
            cell=whole.cell.model_copy(update={"repetition": number}),
            outcome=whole.outcome,
            verdicts=(verdict("a", Status.PASS), verdict("b", Status.FAIL, (EVIL,))),
            reused=number == 3,
            seconds=0.0 if number == 3 else 1.5,
            noise=Noise(seconds=1.5, steal=0.25, governors=("powersave",)),
            noisy=("steal 0.25, more than 0.02",) if number == 2 else (),
        )
        for number in (1, 2, 3)
    )
    cell = whole.model_copy(update={"repetitions": guests, "seconds": 3.0, "reused": False})
    return result.model_copy(update={"cells": (result.cells[0], cell)})


def test_text_counts_each_guest_and_says_what_noise_there_was(repeated):
    said = lines(printed(repeated))
    assert "time: 2 guests in 3 s of guests' time, 2 stored; 2 s in all" in said
    assert "noise: 1 of 3 guests beyond a limit of configs/noise.yaml: steal 1" in said
    assert said[1].endswith("stored / 3.0 s")


def test_text_says_nothing_of_noise_where_there_was_none(result):
    assert "noise:" not in printed(result)


def test_html_has_each_guest_with_its_noise(repeated):
    records = {cell.cell.id: Records([]) for cell in repeated.cells}
    page = html.render(repeated, records, {}, {})
    assert "3 guests, one by one" in page
    rows = re.findall(r"<tr><td>6.12\+new #(\d)</td><td>done</td>", page)
    assert rows == ["1", "2", "3"]
    assert page.count("beyond the limits: steal 0.25, more than 0.02") == 1
    assert page.count("steal 0.25;") == 3 and "governors powersave" in page
    tags = Tags()
    tags.feed(page)
    assert "script" not in tags.seen


def test_html_says_nothing_of_what_the_host_did_not_say(repeated):
    (first, second) = repeated.cells
    silent = [one.model_copy(update={"noise": Noise(seconds=1)}) for one in second.repetitions]
    cells = (first, second.model_copy(update={"repetitions": tuple(silent)}))
    result = repeated.model_copy(update={"cells": cells})
    page = html.render(result, {cell.cell.id: Records([]) for cell in cells}, {}, {})
    assert "steal None" not in page and "governors" not in page


def test_html_has_no_guests_where_there_is_one_each(result):
    page = html.render(result, {cell.cell.id: Records([]) for cell in result.cells}, {}, {})
    assert "one by one" not in page


def test_html_draws_the_first_guest(repeated, load):
    assert repeated.cells[1].shown.id.endswith("/cycles-task/1")
    assert repeated.cells[0].shown == repeated.cells[0].cell
    records = {cell.cell.id: load(AFTER) for cell in repeated.cells}
    assert "of several guests, the first one" in html.render(repeated, records, {}, {})


def test_junit_has_one_case_for_all_repetitions(repeated, result):
    assert junit.render(repeated) == junit.render(result)


def test_repetitions_survive_the_disk(repeated):
    assert RunResult.model_validate_json(repeated.model_dump_json()) == repeated
