# SPDX-License-Identifier: MIT
"""What perf and the selftests print, captured from our own guests, whole, cut and garbled."""

import random
from pathlib import Path

import pytest

from harness.guest import tool
from harness.guest.records import parse
from harness.guest.tool_records import Period, Subtest

DATA = Path(__file__).parents[1] / "data" / "tool"
FILES = sorted(DATA.glob("*.txt"))
PARSERS = (
    tool.counts,
    tool.events,
    tool.periods,
    tool.totals,
    tool.subtests,
    tool.last_lines,
    lambda raw: tool.kselftest("program", raw),
)


def raw(name):
    return (DATA / f"{name}.txt").read_bytes()


def results(tests):
    return {test.name: (test.result, test.reason) for test in tests}


def test_counts_of_perf_stat():
    found = {count.event: count for count in tool.counts(raw("stat"))}
    assert list(found) == ["cycles", "instructions", "cycles:u", "instructions:u", "task-clock"]
    assert found["cycles"].value == found["instructions"].value > 100_000_000
    assert isinstance(found["cycles"].value, int)
    assert found["cycles:u"].running == 100.0
    assert found["task-clock"].value == pytest.approx(100, abs=2)


def test_an_event_that_was_not_counted():
    lines = b"<not counted>||cycles|0|0.00||\n<not supported>||cache-misses|0|100.00||\n"
    assert [count.state for count in tool.counts(lines)] == ["not counted", "not supported"]


def test_the_event_that_perf_record_opened():
    (event,) = tool.events(raw("script"))
    assert (event.name, event.frequency, event.exclude_kernel) == ("cycles:u", 1000, True)
    assert event.id == 5


def test_a_period_that_was_asked_for_is_no_frequency():
    head = raw("script").replace(b" freq = 1,", b"")
    assert [event.frequency for event in tool.events(head)] == [0]


def test_an_event_has_an_id_on_each_cpu():
    head = raw("script").replace(b"{ 5 }", b"{ 5, 6 }")
    assert [event.id for event in tool.events(head)] == [5, 6]


def test_periods_of_perf_record():
    found = tool.periods(raw("script"))
    assert found[0] == Period(event="cycles:u", time=470522000, period=1)
    (total,) = tool.totals(raw("report-stats"))
    assert (total.samples, total.lost) == (len(found), 0)


def test_what_was_lost_is_counted():
    stats = raw("report-stats").replace(b"COMM events:          2", b"LOST events:          2")
    assert tool.totals(stats)[0].lost == 2


def test_results_of_perf_test():
    found = results(tool.subtests(raw("perf-test")))
    assert found["mmap interface tests: Read samples using the mmap interface"] == ("ok", "")
    assert found["Breakpoint overflow signal handler"] == ("skip", "")
    assert found["Watchpoint: Modify Watchpoint"] == ("ok", "")
    assert "Watchpoint" not in found
    assert tool.unexplained(tool.subtests(raw("perf-test"))) == ["20", "21", "73"]


def test_a_failure_of_perf_test():
    assert results(tool.subtests(raw("perf-test-failed")))["Object code reading"][0] == "fail"


def test_newer_releases_number_subtests_with_a_colon_or_a_dot():
    lines = b"  4: mmap tests   :\n  4:1: one    : Ok\n  4.2: two   : Skip (permissions)\n"
    assert results(tool.subtests(lines)) == {
        "mmap tests: one": ("ok", ""),
        "mmap tests: two": ("skip", "permissions"),
    }


def test_a_verbose_run_tells_why():
    verbose = {"20": raw("perf-test-verbose")}
    explained = results(tool.explained(tool.subtests(raw("perf-test")), verbose))
    reason = "Test not supported on this architecture"
    assert explained["Breakpoint overflow signal handler"] == ("skip", reason)
    assert explained["Sigtrap"] == ("skip", "")


def test_an_entry_that_perf_does_not_know_is_a_skip():
    found = tool.subtests(raw("perf-test"))
    assert tool.unmatched(["watchPOINT", "PERF_RECORD_"], found) == []
    assert [test.result for test in tool.unmatched(["no such thing"], found)] == ["skip"]


def test_results_of_a_selftest():
    found = tool.kselftest("mmap", raw("selftest-mmap"))
    assert [test.result for test in found] == ["ok"] * 3 + ["skip"] * 3
    assert found[3].name == "mmap: perf_mmap.aux.remap"
    assert found[3].reason == "No AUX event found."


def test_a_selftest_between_the_noise_of_its_children():
    found = tool.kselftest("remove_on_exec", raw("selftest-remove_on_exec"))
    assert [test.result for test in found] == ["ok"] * 4


def test_a_failing_selftest():
    output, errors = raw("selftest-remove_on_exec-failed"), raw("selftest-remove_on_exec-errors")
    found = tool.kselftest("remove_on_exec", output, errors)
    assert [test.result for test in found] == ["ok", "fail", "fail", "fail"]
    assert found[1].reason.startswith("remove_on_exec.c:157:fork_exec_then_enable:Expected waitpid")
    assert tool.ended_badly("remove_on_exec", 1, found) == []


def test_a_selftest_that_breaks_off_has_failed():
    cut = raw("selftest-mmap").split(b"ok 2")[0]
    *_, last = tool.kselftest("mmap", cut)
    assert (last.result, last.reason) == ("fail", "1 of 6 planned results")


def test_an_exit_status_that_no_result_explains():
    fine = tool.kselftest("mmap", raw("selftest-mmap"))
    assert tool.ended_badly("mmap", 0, fine) == []
    (failure,) = tool.ended_badly("mmap", 139, fine)
    assert (failure.result, failure.reason) == ("fail", "exit status 139")
    (failure,) = tool.ended_badly("mmap", -1, [])
    assert failure.reason == "ended by a signal"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_cut_and_garbled_output_is_no_error(path):
    """Every parser, on every file: cut anywhere, or with bytes changed."""
    chance = random.Random(path.name)
    whole = path.read_bytes()[:4000]
    for _ in range(40):
        garbled = bytearray(whole[: chance.randrange(len(whole))])
        for _ in range(min(len(garbled), 20)):
            garbled[chance.randrange(len(garbled))] = chance.randrange(256)
        for parser in PARSERS:
            for record in parser(bytes(garbled)):
                if not isinstance(record, str):
                    assert parse(record.model_dump_json().encode()).all


def test_what_a_command_says_is_bounded():
    lines = tool.last_lines(b"\x1b[31mx" * 10_000 + b"\n" * 50 + b"last\n")
    assert lines[-1] == "last"
    assert all(len(line) <= 200 and "\x1b" not in line for line in lines)


def test_reasons_are_bounded():
    (test,) = tool.kselftest("p", b"ok 1 name # SKIP " + b"y" * 9999)
    assert isinstance(test, Subtest) and len(test.reason) == 200
