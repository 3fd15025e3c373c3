# SPDX-License-Identifier: MIT
"""The real perf tool and the kernel's own tests: what they count, sample and find."""

from collections.abc import Sequence

from harness.checks.base import (
    Check,
    Equivalence,
    Observation,
    Recurrence,
    inconclusive,
    verdict,
)
from harness.guest.tool_records import Command, Count, Period, Subtest, Totals, ending
from harness.model import Status, Verdict

STAT = "tool.stat"
RECORD = "tool.record"
TEST = "tool.test"
SELFTESTS = "tool.selftests"


def _failed_commands(observation: Observation) -> list[str]:
    return [
        f"{' '.join(command.argv)}: {ending(command.status)}: {' / '.join(command.said)}"
        for command in observation.records.of(Command)
        if command.status
    ]


def _miscounted(count: Count) -> str:
    if count.state != "counted":
        return f"{count.event} was {count.state}"
    if count.running < 100:
        return f"{count.event} was on a counter for {count.running:g} % of the time"
    return "" if count.value > 0 else f"{count.event} counted nothing"


def judge_stat(observation: Observation, _: Observation | None) -> Verdict:
    """perf stat counts every event, all of the time: it asks for fewer than there are counters."""
    expected = "every event counted, 100 % of the time"
    counts = observation.records.of(Count)
    faults = _failed_commands(observation)
    faults += [fault for count in counts if (fault := _miscounted(count))]
    if not counts and not faults:
        return inconclusive(STAT, "perf stat said nothing", expected)
    good = sum(not _miscounted(count) for count in counts)
    return verdict(
        STAT,
        faults,
        measured=f"{good} of {len(counts)} events: "
        + ", ".join(f"{count.event} {count.value}" for count in counts),
        expected=expected,
        metrics={count.event: count.value for count in counts},
    )


def settled_rate(periods: Sequence[Period]) -> float:
    """Samples a second in the second half of the time: the first is the rate's own search.

    From a period of 1 the low-pass filter of perf_adjust_period() leaves
    (7/8)^k of the error after k adjustments; 0 where that is no rate.
    """
    if len(periods) < 2:
        return 0.0
    half = (periods[0].time + periods[-1].time) / 2
    settled = [sample.time for sample in periods if sample.time >= half]
    ns = settled[-1] - settled[0]
    return (len(settled) - 1) * 1e9 / ns if ns else 0.0


def _first_phase_ns(observation: Observation) -> int:
    """How long the workload's first phase lasts: such as `user:200`, in ms."""
    words = observation.scenario.tool.workload if observation.scenario.tool else ()
    lengths = (word.partition(":")[2] for word in words)
    return next(int(ms) * 1_000_000 for ms in lengths if ms)


def record_deviation(observation: Observation) -> dict[str, float]:
    """By how much perf record's rate misses what was asked, and what it lost, as shares.

    The rate is that of the workload's first phase: how long it takes to settle behind a
    drop depends on how fast the CPU is.  A perf that fails takes no samples.
    """
    asked = int(observation.scenario.expect.get("frequency", 0))
    if not asked or not observation.records.of(Command):
        return {}
    periods = [] if _failed_commands(observation) else observation.records.of(Period)
    end = periods[0].time + _first_phase_ns(observation) if periods else 0
    lost = sum(total.lost for total in observation.records.of(Totals))
    return {
        "rate": settled_rate([one for one in periods if one.time <= end]) / asked - 1,
        "lost": lost / max(1, lost + len(periods)),
    }


def judge_record(observation: Observation, _: Observation | None) -> Verdict:
    """perf record -F gets its samples: none lost, and as often as asked."""
    asked = int(observation.scenario.expect.get("frequency", 0))
    tolerance = float(observation.scenario.expect.get("rate_tolerance", 0))
    expected = f"{asked} Hz within {tolerance:.0%}, nothing lost"
    periods = observation.records.of(Period)
    totals = observation.records.of(Totals)
    if not observation.records.of(Command):
        return inconclusive(RECORD, "perf record was not run", expected)
    faults = _failed_commands(observation)
    rate = settled_rate(periods)
    if not faults:
        if abs(rate - asked) > asked * tolerance:
            faults.append(f"{rate:.0f} samples a second in the second half")
        lost = sum(total.lost for total in totals)
        if lost:
            faults.append(f"{lost} samples or records were lost")
        if totals and totals[0].samples != len(periods):
            faults.append(f"perf report sees {totals[0].samples} samples, perf script others")
    return verdict(
        RECORD,
        faults,
        measured=f"{len(periods)} samples, {rate:.0f} Hz",
        expected=expected,
        metrics={"samples": len(periods), "rate": round(rate, 1)},
    )


def _results(check: str, observation: Observation, reference: Observation | None) -> Verdict:
    """Each subtest passes, or skips with a reason.

    One that the reference fails as well, or that is known to fail for a reason of
    its own, is not held against the kernel.
    """
    expected = "every subtest ok, or skipped"
    tool = observation.scenario.tool
    known = tool.excuses() if tool else {}
    before = {test.name: test.result for test in reference.records.of(Subtest)} if reference else {}
    found = observation.records.of(Subtest)
    named = {test.name for test in found}
    bad = [test for test in found if test.result == "fail" and test.name not in known]
    new = [test for test in bad if before.get(test.name) != "fail"]
    faults = [f"{test.name} fails" + (f": {test.reason}" if test.reason else "") for test in new]
    gone = [name for name, result in before.items() if result == "ok" and name not in named]
    faults += [f"{name} has no result" for name in gone]
    if not found and not faults:
        return inconclusive(check, "no subtest has a result", expected)
    ok, skipped = (sum(test.result == result for test in found) for result in ("ok", "skip"))
    excused = len(found) - ok - skipped - len(new)
    measured = f"{ok} ok, {skipped} skipped, {len(new)} failed"
    judged = verdict(
        check,
        faults,
        measured=measured + (f", {excused} failed as known or as before" if excused else ""),
        expected=expected,
        metrics={"ok": ok, "skipped": skipped, "failed": len(new)},
    )
    if faults:
        return judged
    reasons = tuple(_excuse(test, known) for test in found if test.result != "ok")
    status = Status.PASS if ok else Status.SKIP
    return judged.model_copy(update={"evidence": reasons, "status": status})


def _excuse(test: Subtest, known: dict[str, str]) -> str:
    why = known.get(test.name) or test.reason or "no reason given"
    return f"{test.name}: {'skipped' if test.result == 'skip' else 'failed'}: {why}"


def judge_test(observation: Observation, reference: Observation | None) -> Verdict:
    """perf test, the tool's own tests of the kernel's interface."""
    return _results(TEST, observation, reference)


def judge_selftests(observation: Observation, reference: Observation | None) -> Verdict:
    """tools/testing/selftests/perf_events of the subject's own tree."""
    return _results(SELFTESTS, observation, reference)


CHECKS = (
    Check(STAT, "Does perf stat count every event all of the time?", judge_stat, Recurrence()),
    Check(
        RECORD,
        "Does perf record -F sample as often as asked, and lose nothing?",
        judge_record,
        Equivalence(record_deviation),
    ),
    Check(TEST, "Does perf test pass?", judge_test, Recurrence()),
    Check(
        SELFTESTS,
        "Do the kernel's own perf_events selftests pass?",
        judge_selftests,
        Recurrence(),
    ),
)
