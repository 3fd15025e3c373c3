# SPDX-License-Identifier: MIT
"""The checks of the real tools against every outcome, on records of our own guests."""

from dataclasses import replace

import pytest

from harness.checks import CHECKS
from harness.guest.records import Event, Records
from harness.guest.tool_records import Command, Count, Period, Subtest, Totals
from harness.model import KnownFailure, Status
from tests.unit.changes import a, every, without

CLEAN = "6.12+start-stop-callbacks/perf-record"
BEFORE = "6.12+pre-callbacks/perf-record"
RAN = Command(argv=("perf", "stat"), status=0, seconds=0.1)
COUNT = Count(event="cycles", state="counted", value=7, runtime=9, running=100.0)


def ok(name):
    return Subtest(name=name, number="", result="ok")


def bad(name, reason=""):
    return Subtest(name=name, number="", result="fail", reason=reason)


def skipped(name, reason=""):
    return Subtest(name=name, number="", result="skip", reason=reason)


@pytest.fixture
def judge(observe):
    """A check on records given or captured, and on a reference's."""

    def ask(check, records, reference=None, scenario="perf-record"):
        held = [
            observe(Records(one) if isinstance(one, list) else one, scenario=scenario)
            for one in (records, reference)
            if one is not None
        ]
        return CHECKS[check].judge(held[0], held[1] if len(held) > 1 else None)

    return ask


@pytest.mark.parametrize("check", ["tool.stat", "tool.record", "tool.test", "tool.selftests"])
def test_nothing_recorded_decides_nothing(judge, check):
    assert judge(check, []).status is Status.INCONCLUSIVE


def test_stat_that_counted(judge):
    verdict = judge("tool.stat", [RAN, COUNT])
    assert verdict.status is Status.PASS
    assert verdict.metrics == {"cycles": 7}


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (COUNT.model_copy(update={"running": 49.5}), "cycles was on a counter for 49.5 %"),
        (COUNT.model_copy(update={"value": 0}), "cycles counted nothing"),
        (Count(event="cycles", state="not counted"), "cycles was not counted"),
        (Count(event="cycles", state="not supported"), "cycles was not supported"),
    ],
)
def test_stat_that_did_not(judge, count, said):
    verdict = judge("tool.stat", [RAN, COUNT, count])
    assert verdict.status is Status.FAIL
    assert said in verdict.evidence[0]


@pytest.mark.parametrize("check", ["tool.stat", "tool.record"])
def test_a_tool_that_failed_says_how(judge, check):
    failed = RAN.model_copy(update={"status": 129, "said": ("Cannot find PMU",)})
    verdict = judge(check, [failed])
    assert verdict.status is Status.FAIL
    assert verdict.evidence == ("perf stat: exit status 129: Cannot find PMU",)
    killed = failed.model_copy(update={"status": -1})
    assert judge(check, [killed]).evidence == ("perf stat: ended by a signal: Cannot find PMU",)


@pytest.mark.parametrize("name", [CLEAN, BEFORE])
def test_record_that_sampled(judge, name):
    verdict = judge("tool.record", name)
    assert verdict.status is Status.PASS, verdict
    assert 950 < verdict.metrics["rate"] < 1050


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without(a(Period)), "0 samples a second"),
        (without(a(Period, time=lambda time: time % 2048 < 1024)), "samples a"),
        (every(a(Totals), lost=3), "3 samples or records were lost"),
        (every(a(Totals), samples=1), "perf report sees 1 samples"),
    ],
)
def test_record_that_did_not(observe, change, said):
    verdict = CHECKS["tool.record"].judge(observe(CLEAN, change), None)
    assert verdict.status is Status.FAIL
    assert any(said in line for line in verdict.evidence), verdict.evidence


@pytest.mark.parametrize(
    "check", ["retention.release", "retention.pairing", "retention.order", "sampling.step"]
)
def test_the_callback_log_beside_perf_record_is_judged_as_a_probes_is(judge, check):
    assert judge(check, CLEAN).status is Status.PASS
    lost = check in ("retention.release", "retention.pairing")
    assert judge(check, BEFORE).status is (Status.FAIL if lost else Status.PASS)


def test_the_event_of_perf_is_named_in_evidence(judge):
    assert "cycles:u (id 5)" in judge("retention.release", BEFORE).evidence[0]


def test_only_the_recorded_event_is_known(load):
    assert [event.name for event in load(CLEAN).of(Event)] == ["cycles:u"]


@pytest.mark.parametrize("check", ["tool.test", "tool.selftests"])
class TestSubtests:
    """The same for both suites."""

    def test_all_ok(self, judge, check):
        assert judge(check, [ok("a"), ok("b")]).status is Status.PASS

    def test_a_failure(self, judge, check):
        verdict = judge(check, [ok("a"), bad("b", "why")])
        assert verdict.status is Status.FAIL
        assert verdict.evidence == ("b fails: why",)
        assert verdict.measured == "1 ok, 0 skipped, 1 failed"

    def test_a_skip_keeps_its_reason(self, judge, check):
        verdict = judge(check, [ok("a"), skipped("b", "no AUX"), skipped("c")])
        assert verdict.status is Status.PASS
        assert verdict.evidence == ("b: skipped: no AUX", "c: skipped: no reason given")

    def test_nothing_but_skips(self, judge, check):
        assert judge(check, [skipped("a", "not here")]).status is Status.SKIP

    def test_what_the_reference_fails_too(self, judge, check):
        verdict = judge(check, [ok("a"), bad("b")], [ok("a"), bad("b")])
        assert verdict.status is Status.PASS
        assert "1 failed as known or as before" in verdict.measured

    def test_what_the_reference_passes(self, judge, check):
        assert judge(check, [ok("a"), bad("b")], [ok("a"), ok("b")]).status is Status.FAIL

    def test_what_the_reference_skips(self, judge, check):
        assert judge(check, [ok("a"), bad("b")], [ok("a"), skipped("b")]).status is Status.FAIL

    def test_a_result_that_is_missing(self, judge, check):
        verdict = judge(check, [ok("a")], [ok("a"), ok("b")])
        assert verdict.status is Status.FAIL
        assert verdict.evidence == ("b has no result",)


def test_what_is_known_is_excused(observe, catalog):
    scenario = catalog.scenarios["perf-test"]
    known = (KnownFailure(name="b", why="no objdump"),)
    scenario = scenario.model_copy(
        update={"tool": scenario.tool.model_copy(update={"known": known})}
    )
    observation = observe(Records([ok("a"), bad("b")]), scenario="perf-test")
    observation = replace(observation, scenario=scenario)
    verdict = CHECKS["tool.test"].judge(observation, None)
    assert verdict.status is Status.PASS
    assert verdict.evidence == ("b: failed: no objdump",)


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_what_is_known_of_one_kernel_is_not_of_another(catalog, architecture):
    scenario = catalog.scenarios["selftests"]
    assert "mmap" in scenario.for_kernel("6.1.192", architecture).tool.excuses()
    assert "mmap" not in scenario.for_kernel("6.12.117", architecture).tool.excuses()
    other = catalog.scenarios["cycles-cpu"]
    assert other.for_kernel("6.1", architecture) == other


@pytest.mark.parametrize("version", ["6.1.192", "6.12.117"])
def test_what_is_known_of_one_architecture_is_not_of_another(catalog, version):
    scenario = catalog.scenarios["selftests"]
    assert "sigtrap_threads" in scenario.for_kernel(version, "arm64").tool.excuses()
    assert "sigtrap_threads" not in scenario.for_kernel(version, "x86_64").tool.excuses()
