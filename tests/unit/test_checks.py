# SPDX-License-Identifier: MIT
"""Every check against every outcome, on records of our own guests and on changed ones."""

import pytest

from harness.checks import CHECKS
from harness.checks.adjustments import adjustments
from harness.checks.cost import adjustment_cost
from harness.guest.records import (
    Callback,
    Event,
    Index,
    Interruption,
    Phase,
    Read,
    Records,
    Sample,
)
from harness.model import Status

CLEAN, BEFORE = "task-start-stop-callbacks", "task-pre-callbacks"
TARGET = 5


def judge(check, observation, reference=None):
    return CHECKS[check].judge(observation, reference)


def is_call(record, name, tick=True):
    return (
        isinstance(record, Callback)
        and record.call == name
        and record.id == TARGET
        and record.tick is tick
    )


class Nth:
    """Changes the nth record (from 0) for which a condition holds."""

    def __init__(self, number, condition, **update):
        self.left, self.condition, self.update = number, condition, update

    def __call__(self, record):
        if self.condition(record):
            self.left -= 1
            if self.left == -1:
                return record.model_copy(update=self.update) if self.update else None
        return record


def nth_call(number, name, **update):
    return Nth(number, lambda record: is_call(record, name), **update)


OF_A_TASK = [check for check in CHECKS if not check.startswith(("cost.", "tool."))]


@pytest.mark.parametrize("check", OF_A_TASK)
def test_a_clean_kernel_passes(observe, check):
    verdict = judge(check, observe(CLEAN))
    assert verdict.status is Status.PASS, verdict
    assert verdict.measured and verdict.expected and not verdict.evidence


@pytest.mark.parametrize(
    ("check", "status"),
    [
        ("retention.release", Status.FAIL),
        ("retention.pairing", Status.FAIL),
        ("retention.counter", Status.FAIL),
        ("retention.order", Status.PASS),
        ("retention.reload", Status.PASS),
        ("conservation.twin", Status.PASS),
        ("conservation.growth", Status.PASS),
        ("conservation.times", Status.PASS),
        ("sampling.rate", Status.PASS),
        ("sampling.step", Status.PASS),
    ],
)
def test_a_kernel_without_the_callbacks(observe, check, status):
    assert judge(check, observe(BEFORE)).status is status


@pytest.mark.parametrize("check", OF_A_TASK)
def test_nothing_recorded_decides_nothing(observe, check):
    assert judge(check, observe(Records([]))).status is Status.INCONCLUSIVE


def test_the_adjustments_are_the_ticks_on_which_the_event_was_active(load):
    clean, before = adjustments(load(CLEAN)), adjustments(load(BEFORE))
    assert len(clean) == len(before) == 70
    assert {adjustment.event for adjustment in clean} == {TARGET}
    assert all(adjustment.pause.call == "stop" for adjustment in clean)
    assert all(adjustment.resume.call == "add" for adjustment in before)


# --- retention ---------------------------------------------------------------


def test_a_release_is_named_with_event_cpu_and_counters(observe):
    verdict = judge("retention.release", observe(BEFORE))
    moved = [call for call in observe(BEFORE).records.of(Callback) if is_call(call, "add")]
    assert any(call.idx[1] == 31 for call in moved)
    assert verdict.evidence[0].startswith(
        "target (id 5) on CPU 0 gave up counter 2 with del and took counter 2 with add, in the tick"
    )
    assert verdict.metrics["releases"] == verdict.metrics["adjustments"] == 70


def test_a_counter_that_is_refused_is_said(observe):
    refused = nth_call(0, "add", ret=-11, idx=(-1, -1))
    verdict = judge("retention.release", observe(BEFORE, refused))
    assert "was refused another one (add returned -11)" in verdict.evidence[0]


def test_a_release_on_overflow_is_seen(observe):
    overflow = {"call": "del", "tick": False, "caller": "__perf_event_account_interrupt"}
    verdict = judge("retention.release", observe(CLEAN, nth_call(9, "stop", **overflow)))
    assert verdict.status is Status.FAIL
    assert "outside a tick (del from __perf_event_account_interrupt)" in verdict.evidence[0]


@pytest.mark.parametrize("name", ["stop", "start"])
def test_a_call_that_is_missing(observe, name):
    verdict = judge("retention.pairing", observe(CLEAN, nth_call(7, name)))
    assert verdict.status is Status.FAIL
    assert verdict.metrics["odd"] == 1


def test_a_tick_that_passes_the_event_over(observe):
    tick = {}

    def skip(record):
        if isinstance(record, Callback) and record.call == "tick":
            tick["n"] = tick.get("n", 0) + 1
        hidden = tick.get("n") == 30 and (is_call(record, "stop") or is_call(record, "start"))
        return None if hidden else record

    verdict = judge("retention.pairing", observe(CLEAN, skip))
    assert verdict.status is Status.FAIL
    assert "no call in the tick" in verdict.evidence[0]


def test_both_witnesses_of_a_move_are_shown(observe):
    verdict = judge("retention.counter", observe(BEFORE))
    assert verdict.metrics["witnesses"] == 2
    assert verdict.evidence[0].startswith("log: target (id 5) on CPU 0 was moved from counter 2 to")
    assert verdict.evidence[1].startswith("page: target (id 5) found itself on index 32 instead of")


def test_witnesses_that_disagree_are_an_error(observe):
    blind = observe(BEFORE, lambda record: None if moved_on_page(record) else record)
    verdict = judge("retention.counter", blind)
    assert verdict.status is Status.ERROR
    assert "its page showed no change" in verdict.evidence[0]


def moved_on_page(record):
    return isinstance(record, Index) and record.old and not record.switches


def test_a_move_that_only_the_page_saw_is_an_error(observe):
    def lie(record):
        if isinstance(record, Index) and record.id == TARGET and not record.old:
            return record.model_copy(update={"old": 7, "switches": 0})
        return record

    verdict = judge("retention.counter", observe(CLEAN, lie))
    assert verdict.status is Status.ERROR
    assert "the log shows no move" in verdict.evidence[0]


def test_one_witness_is_enough_where_there_is_one(observe):
    verdict = judge(
        "retention.counter", observe(BEFORE, lambda r: None if isinstance(r, Index) else r)
    )
    assert verdict.status is Status.FAIL
    assert verdict.metrics["witnesses"] == 1


def test_a_counter_swapped_between_two_calls(observe):
    without_page = Records([r for r in observe(CLEAN).records.all if not isinstance(r, Index)])
    verdict = judge("retention.counter", observe(without_page, nth_call(5, "stop", idx=(4, 2))))
    assert verdict.status is Status.FAIL
    assert any("without add or del" in line for line in verdict.evidence)


def test_a_counter_swapped_in_start(observe):
    swap = nth_call(5, "start", idx=(2, 4))
    without_page = Records([r for r in observe(CLEAN).records.all if not isinstance(r, Index)])
    assert judge("retention.counter", observe(without_page, swap)).status is Status.FAIL
    swap.left = 5
    assert judge("retention.counter", observe(CLEAN, swap)).status is Status.ERROR


def test_two_events_on_one_counter(observe):
    def clash(record):
        if isinstance(record, Callback) and record.call == "add" and record.id == 7:
            return record.model_copy(update={"idx": (-1, 2)})
        return record

    verdict = judge("retention.counter", observe(CLEAN, clash))
    assert verdict.status is Status.FAIL
    assert any("while target (id 5) was on it" in line for line in verdict.evidence)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (nth_call(3, "start", state=(0, 0)), "start of a running event"),
        (nth_call(3, "start", state=(3, 1)), "hw.state is 1 after start"),
        (nth_call(3, "stop", state=(0, 1)), "hw.state is 1 after stop"),
        (nth_call(3, "stop", state=(3, 3), count=(1, 2)), "stop of a stopped event changed"),
        (nth_call(3, "start", idx=(2, -1)), "stop of an event without a counter"),
    ],
)
def test_calls_out_of_order(observe, change, said):
    verdict = judge("retention.order", observe(CLEAN, change))
    assert verdict.status is Status.FAIL
    assert any(said in line for line in verdict.evidence)


def test_an_event_added_twice(observe):
    records = observe(CLEAN).records.all
    where = next(i for i, record in enumerate(records) if is_call(record, "add", False))
    twice = Records([*records[: where + 1], records[where], *records[where + 1 :]])
    verdict = judge("retention.order", observe(twice))
    assert any("added while on a counter" in line for line in verdict.evidence)


def in_branch(record):
    return is_call(record, "start") and record.left[0] == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Nth(0, in_branch, left=(600000, 600000)), "and was kept"),
        (nth_call(3, "start", left=(0, 5)), "not being more than 8 x"),
        (nth_call(3, "start", prev=(0, 1)), "the counter was programmed to 0x1"),
        (Nth(0, in_branch, left=(0, 99)), "was reloaded as 99"),
    ],
)
def test_wrong_reloads(observe, change, said):
    verdict = judge("retention.reload", observe(CLEAN, change))
    assert verdict.status is Status.FAIL
    assert any(said in line for line in verdict.evidence)


def test_a_branch_that_was_never_taken_decides_nothing(observe):
    records = Records([record for record in observe(CLEAN).records.all if not late(record)])
    verdict = judge("retention.reload", observe(records))
    assert verdict.status is Status.INCONCLUSIVE
    assert "never taken" in verdict.measured


def late(record):
    return isinstance(record, Callback) and record.time > 70_000_000


# --- conservation ------------------------------------------------------------


def test_a_count_that_the_twin_has_and_the_target_not(observe):
    lost = Nth(5, lambda r: isinstance(r, Read), value=1000, twin=1001)
    verdict = judge("conservation.twin", observe(CLEAN, lost))
    assert verdict.status is Status.FAIL
    assert "difference -1" in verdict.evidence[0]


def test_a_constant_difference_is_none(observe):
    def offset(record):
        if isinstance(record, Read | Sample):
            return record.model_copy(update={"twin": record.twin + 22})
        return record

    assert judge("conservation.twin", observe(CLEAN, offset)).status is Status.PASS


@pytest.mark.parametrize("value", [0, 10**9])
def test_counts_that_fall_or_leap(observe, value):
    wrong = Nth(6, lambda r: isinstance(r, Read), value=value)
    assert judge("conservation.growth", observe(CLEAN, wrong)).status is Status.FAIL


def test_samples_of_more_than_was_counted(observe):
    wrong = Nth(6, lambda r: isinstance(r, Sample), period=10**12)
    verdict = judge("conservation.growth", observe(CLEAN, wrong))
    assert "sum up to" in verdict.evidence[0]


def test_time_without_a_counter(observe):
    def behind(record):
        if isinstance(record, Read):
            return record.model_copy(update={"running": record.enabled - 16})
        return record

    assert judge("conservation.times", observe(CLEAN, behind)).status is Status.FAIL


# --- sampling ----------------------------------------------------------------


def test_a_rate_that_is_not_met(observe):
    kept = iter(range(1000))

    def thin(record):
        return None if isinstance(record, Sample) and next(kept) % 2 else record

    assert judge("sampling.rate", observe(CLEAN, thin)).status is Status.FAIL


def test_a_counting_event_has_no_rate(observe):
    def counting(record):
        return record.model_copy(update={"frequency": 0}) if isinstance(record, Event) else record

    assert judge("sampling.rate", observe(CLEAN, counting)).status is Status.INCONCLUSIVE


def test_a_single_phase_has_no_rate(observe):
    one = observe(CLEAN, lambda r: None if isinstance(r, Phase) and r.phase else r)
    assert judge("sampling.rate", one).status is Status.INCONCLUSIVE


def test_a_period_that_falls_too_fast(observe):
    def fall(record):
        if is_call(record, "start"):
            return record.model_copy(update={"period": (record.period[0] // 2, 0)})
        return record

    verdict = judge("sampling.step", observe(CLEAN, fall))
    assert verdict.status is Status.FAIL
    assert "fell from" in verdict.evidence[0]


# --- cost --------------------------------------------------------------------

CHEAP, DEAR = "cost-start-stop-callbacks", "cost-pre-callbacks"


def of_cost(observe, name, change=lambda record: record):
    return observe(name, change, scenario="cost-cycles")


def test_the_cost_is_what_our_guests_showed(observe):
    assert adjustment_cost(of_cost(observe, CHEAP)) == 960
    assert adjustment_cost(of_cost(observe, DEAR)) == 1500


@pytest.mark.parametrize(
    ("mine", "reference", "status"),
    [
        (CHEAP, DEAR, Status.PASS),
        (CHEAP, CHEAP, Status.PASS),
        (DEAR, CHEAP, Status.FAIL),
        (DEAR, None, Status.PASS),
    ],
)
def test_the_cost_is_judged_against_the_reference(observe, mine, reference, status):
    theirs = of_cost(observe, reference) if reference else None
    verdict = judge("cost.adjustment", of_cost(observe, mine), theirs)
    assert verdict.status is status
    assert verdict.metrics["instructions"] == (960 if mine == CHEAP else 1500)


def test_no_ticks_no_cost(observe):
    silent = of_cost(observe, CHEAP, lambda r: None if isinstance(r, Interruption) else r)
    assert judge("cost.adjustment", silent).status is Status.INCONCLUSIVE
    assert judge("cost.adjustment", of_cost(observe, CHEAP), silent).status is Status.INCONCLUSIVE
