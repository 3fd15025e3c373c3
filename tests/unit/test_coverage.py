# SPDX-License-Identifier: MIT
"""What ran of a patch: QEMU's log as spans, a diff's lines, and what the two come to."""

import pytest

from harness.ask.plan import make_plan
from harness.guest.blocks import executed, joined, read, written
from harness.model import (
    CellResult,
    Claim,
    Coverage,
    CoveredLine,
    Function,
    GuestEnd,
    LineTable,
    MeasuredSource,
    Outcome,
    Status,
    Subject,
    Verdict,
)
from harness.model.coverage import Unreachable
from harness.report.coverage import shown
from harness.source.patches import changed_lines, shown_lines
from harness.verdict.coverage import covered, in_any, of_suite, summary, unseen
from harness.verdict.status import judge_run

CORE = "kernel/events/core.c"
DIFF = f"""\
diff --git a/{CORE} b/{CORE}
--- a/{CORE}
+++ b/{CORE}
@@ -10,4 +10,5 @@ static void adjust(void)
 context
-old
+new one
+new two
 context
 context
@@ -30,3 +31,2 @@ static void other(void)
 before
-gone
 behind
"""


def disassembled(start, *codes):
    """Lines as QEMU with a disassembler writes them."""
    lines = ["----------------", "IN: "]
    for code in codes:
        lines.append(f"{start:#018x}:  {code}  nop      ")
        start += len(code.replace(" ", "")) // 2
    return lines


def test_each_instruction_of_a_block_is_executed():
    arm = disassembled(0xFFFF800080010000, "d503245f", "a9bf7bfd")
    assert executed(arm) == [(0xFFFF800080010000, 0xFFFF800080010008)]
    x86 = disassembled(0xFFFFFFFF81000000, "48 8d 25 51 3f 82 01", "c3")
    assert executed(x86) == [(0xFFFFFFFF81000000, 0xFFFFFFFF81000008)]


def test_a_qemu_without_disassembler_tells_a_block_as_one():
    log = ["IN: ", "0xffffffff81000000:  ", "OBJD-T: 488d2551", "OBJD-T: c3", ""]
    log += ["IN: ", "0x10:  ", "OBJD-T: 90"]
    assert executed(log) == [(0x10, 0x11), (0xFFFFFFFF81000000, 0xFFFFFFFF81000005)]


def test_what_ran_before_and_what_ran_after_ran():
    assert joined([(1, 4), (9, 12)], [(3, 6), (20, 21)]) == [(1, 6), (9, 12), (20, 21)]
    assert joined([], [(3, 6)]) == [(3, 6)]


def test_blocks_that_touch_are_one_span_and_each_is_told_once():
    log = disassembled(0x108, "d503245f") + disassembled(0x100, "d503245f", "d503245f")
    log += disassembled(0x100, "d503245f") + disassembled(0x200, "d503245f")
    assert executed(log) == [(0x100, 0x10C), (0x200, 0x204)]


def test_what_is_no_line_of_code_is_none():
    assert executed(["IN: perf_event_task_tick", "0x:", "PROLOGUE: [size=45]", ""]) == []


def test_spans_survive_a_file():
    spans = [(0x100, 0x10C), (0xFFFF800080010000, 0xFFFF800080010008)]
    assert read(written(spans)) == spans
    assert read(written([])) == []


def test_a_diffs_lines_are_those_it_adds_and_those_behind_what_it_takes():
    assert changed_lines(DIFF) == {CORE: (11, 12, 32)}


def test_a_diff_that_cannot_be_read_tells_nothing():
    assert changed_lines(DIFF.replace("@@ -10,4 +10,5 @@", "@@ -10,40 +10,50 @@")) == {}
    assert list(shown_lines("--- a/x\n+++ b/x\n@@ -1,9 +1,9 @@\n x\n")) == []


@pytest.fixture
def table():
    return LineTable(
        spans=((0x1000, 0x2000),),
        functions={CORE: (Function(name="adjust", span=(0x1000, 0x1100)),)},
        lines={CORE: {11: ((0x1000, 0x1008), (0x1900, 0x1908)), 32: ((0x1100, 0x1104),)}},
    )


CHANGED = {CORE: (11, 12, 32)}


def test_a_line_ran_if_any_of_its_code_did(table):
    ran = {"one": [(0x1010, 0x1020)], "two": [(0x1904, 0x1908)], "three": [(0x1000, 0x1004)]}
    found = covered(table, CHANGED, ran)
    first, second = found.lines
    assert (first.line, first.function, first.first, first.number) == (11, "adjust", "two", 2)
    assert (second.line, second.first) == (32, "")
    assert (found.scenarios, found.watched, found.percent) == (2, 3, 50.0)
    assert summary(found) == f"1 of 2 changed lines ran, in 2 scenarios; {CORE}:32 never"


@pytest.mark.parametrize("span", [(0xFF0, 0x1000), (0x1008, 0x1010), (0x10F0, 0x1100)])
def test_code_beside_a_line_is_not_the_lines(table, span):
    assert not any(line.first for line in covered(table, CHANGED, {"one": [span]}).lines)


def test_a_patch_without_code_has_nothing_to_miss(table):
    found = covered(table, {CORE: (12,)}, {"one": [(0x1000, 0x2000)]})
    assert found.percent == 100
    assert summary(found) == "no changed line is code of its own"
    assert unseen(found) == ""


def test_what_is_not_known_is_said(table):
    unknown = {"include/linux/perf_event.h": "a header that no changed source has code of"}
    known = table.model_copy(update={"unknown": unknown})
    found = covered(known, CHANGED, {"one": [(0x1000, 0x1200)]})
    assert summary(found).endswith("perf_event.h: a header that no changed source has code of")


def lines(*first):
    return tuple(
        CoveredLine(path=CORE, line=n, function="f", first=name, number=bool(name))
        for n, name in enumerate(first, 1)
    )


def test_what_any_configuration_executes_ran():
    plain = Coverage(lines=lines("a", ""), scenarios=1, watched=2)
    locked = Coverage(lines=lines("a@lockdep", "b@lockdep"), scenarios=2, watched=2)
    found = in_any([plain, locked])
    assert [line.first for line in found.lines] == ["a", "b@lockdep"]
    assert [line.number for line in found.lines] == [2, 1]
    assert (found.scenarios, found.watched) == (3, 4)


def test_many_lines_are_counted():
    found = Coverage(lines=lines("a", "", "", "", "", ""), scenarios=1, watched=1)
    assert summary(found) == (
        f"1 of 6 changed lines ran, in 1 scenario; {CORE}:2, {CORE}:3, {CORE}:4 and 2 more never"
    )


def test_a_reader_sees_what_became_of_each_line():
    found = Coverage(
        lines=(
            CoveredLine(path=CORE, line=11, function="f", first="one", number=3),
            CoveredLine(path=CORE, line=32, function="g"),
        ),
        diff=DIFF,
    )
    told = {line.text: (line.style, line.note) for line in shown(found)}
    assert told["+new one"] == ("ran", "one and 2 more")
    assert told["+new two"] == told["-old"] == ("", "")
    assert told[" behind"] == ("never", "never")
    assert told["@@ -10,4 +10,5 @@ static void adjust(void)"] == ("head", "")


BARE = Subject(name="6.12", source="debian:6.12", version="6.12.1", patches=())


@pytest.fixture
def judged(catalog):
    """The verdict of a run that passes, with a coverage."""
    subject = Subject(name="6.12+new", source="debian:6.12", version="6.12.1", patches=())

    def judge(coverage, fail_under=None, reference=None):
        plan = make_plan(
            source="debian:6.12",
            series="",
            claim=Claim(),
            candidate=subject,
            reference=reference,
            machine=catalog.machines["aarch64-tcg"],
            scenarios=(catalog.scenarios["cycles-task"],),
            fail_under=fail_under,
        )
        passed = Verdict(
            check="retention.release", status=Status.PASS, measured="0", expected="none"
        )
        done = Outcome(end=GuestEnd.DONE, stage="batch", summary="done")
        results = tuple(
            CellResult(cell=cell, outcome=done, verdicts=(passed,), repeat="again")
            for cell in plan.cells
        )
        return judge_run(plan, results, None, coverage)

    return judge


def test_a_pass_says_that_nothing_of_its_patch_ran(judged):
    found = judged(Coverage(lines=lines("", ""), watched=3))
    assert found.status is Status.PASS
    assert found.headline.endswith("; no guest executed any of its 2 changed lines")
    assert "executed" not in judged(Coverage(lines=lines("a", ""))).headline


@pytest.mark.parametrize(
    ("first", "asked", "status"),
    [
        (("a", ""), 50, Status.PASS),
        (("a", ""), 51, Status.ERROR),
        (("", ""), 0, Status.PASS),
        ((), 100, Status.PASS),
    ],
)
def test_less_than_was_asked_for_is_no_verdict(judged, first, asked, status):
    found = judged(Coverage(lines=lines(*first)), asked, BARE)
    assert found.status is status
    if status is Status.ERROR:
        assert "1 of 2 changed lines ran" in found.headline
        assert "50 % of it, less than the 51 % asked for" in found.headline


@pytest.mark.parametrize(
    ("coverage", "said"),
    [
        (None, "nobody knows what ran of its patch"),
        (Coverage(unknown={CORE: "another compiler"}), f"{CORE}: another compiler"),
    ],
)
def test_what_nobody_knows_is_not_as_much_as_was_asked_for(judged, coverage, said):
    found = judged(coverage, 1, BARE)
    assert found.status is Status.ERROR
    assert said in found.headline
    assert judged(coverage, None, BARE).status is Status.PASS
    # A kernel as it is has no patch of which anything could run.
    assert judged(coverage, 1).status is Status.PASS


# --- the suite ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("architecture", "percent", "left_out"),
    [("arm64", 100 * 6 / 18, {"armv8_other_init": "another CPU's"}), ("x86_64", 100 * 6 / 28, {})],
)
def test_what_no_guest_can_enter_is_not_counted(architecture, percent, left_out):
    """On the architecture that it is said of; and what ran could be entered."""
    names = ("used", "armv8_this_init", "armv8_other_init", "rest")
    sizes = ((0, 4), (4, 8), (8, 18), (18, 28))
    table = LineTable(
        functions={CORE: tuple(map(lambda n, s: Function(name=n, span=s), names, sizes))}
    )
    row = {"functions": ("armv8_*_init",), "why": "another CPU's", "architecture": "arm64"}
    rows = [MeasuredSource(name=CORE, unreachable=(Unreachable(**row),))]
    found = of_suite(
        table,
        {"one": [(0, 6)]},
        rows,
        kernel="6.12",
        machine="m",
        architecture=architecture,
    )
    assert {one.name: one.unreachable for one in found.functions if one.unreachable} == left_out
    assert found.percent(CORE) == pytest.approx(percent)
