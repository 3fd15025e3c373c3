# SPDX-License-Identifier: MIT
"""Does an event keep its counter: the checks of harness/checks/retention.py."""

import pytest

from harness.checks.adjustments import adjustments
from harness.guest.callback_records import Callback
from harness.guest.records import Index, Phase, Throttle
from harness.model import Status
from tests.unit.changes import a, again, call, every, fault, judge, nth, undecided, without

CLEAN, BEFORE = "6.12/cycles-task", "6.12+pre-callbacks/cycles-task"
TARGET = 5
OFF_PAGE = without(a(Index))


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
        ("sampling.step", Status.PASS),
    ],
)
def test_a_kernel_without_the_callbacks(observe, check, status):
    assert judge(check, observe(BEFORE)).status is status


def test_the_adjustments_are_the_ticks_on_which_the_event_was_active(load):
    clean, before = adjustments(load(CLEAN)), adjustments(load(BEFORE))
    assert len(clean) == len(before) == 240
    assert {adjustment.event for adjustment in clean} == {TARGET}
    assert all(adjustment.pause.call == "stop" for adjustment in clean)
    assert all(adjustment.resume.call == "add" for adjustment in before)


# --- retention.release -------------------------------------------------------


def test_a_release_is_named_with_event_cpu_and_counters(observe):
    verdict = judge("retention.release", observe(BEFORE))
    assert verdict.evidence[0] == (
        "target (id 5) on CPU 0 gave up counter 2 with del and took counter 2 with add, "
        "in the tick at 113.002 ms (perf_adjust_freq_unthr_events)"
    )
    assert verdict.metrics == {"adjustments": 240, "releases": 240}


def test_a_counter_that_is_refused_is_said(observe):
    refused = nth(0, call("add", TARGET), ret=-11, idx=(-1, -1))
    said = fault("retention.release", observe(BEFORE, refused))
    assert "with del and was refused another one (add returned -11)" in said.splitlines()[0]


def test_a_counter_that_is_never_taken_back_is_said(observe):
    said = fault("retention.release", observe(BEFORE, without(call("add", TARGET), 0)))
    assert "gave up counter 2 with del and took none back" in said.splitlines()[0]


@pytest.mark.parametrize(
    "caller",
    ["perf_adjust_period", "__perf_event_account_interrupt", "__perf_event_period"],
)
def test_a_release_outside_a_tick_is_seen(observe, caller):
    overflow = nth(9, call("stop", TARGET), call="del", tick=False, caller=caller)
    said = fault("retention.release", observe(CLEAN, overflow))
    assert said.startswith("target (id 5) on CPU 0 gave up counter 2 at ")
    assert said.endswith(f"outside a tick (del from {caller})")


def test_the_scheduler_may_release(observe):
    observation = observe(CLEAN)
    assert any(map(call("del", TARGET, tick=False), observation.records.all))
    assert judge("retention.release", observation).status is Status.PASS


# --- retention.pairing -------------------------------------------------------


@pytest.mark.parametrize(("name", "left"), [("stop", "start"), ("start", "stop")])
def test_a_call_that_is_missing(observe, name, left):
    verdict = judge("retention.pairing", observe(CLEAN, without(call(name, TARGET), 7)))
    assert verdict.status is Status.FAIL
    assert verdict.metrics["odd"] == 1
    assert verdict.evidence[0].startswith(f"target (id 5): {left} in the tick at ")


def test_a_call_that_is_made_twice(observe):
    said = fault("retention.pairing", observe(CLEAN, again(7, call("start", TARGET))))
    assert "target (id 5): stop, start, start in the tick at " in said


def test_a_tick_that_passes_the_event_over(observe):
    over = [without(call("stop", TARGET), 30), without(call("start", TARGET), 30)]
    assert "target (id 5): no call in the tick at " in fault(
        "retention.pairing", observe(CLEAN, *over)
    )


@pytest.mark.parametrize("kernel", ["6.1", "6.12"])
def test_a_throttled_event_is_started_once_more(observe, kernel):
    """6.1 starts it before it adjusts it, 6.12 leaves that to the adjustment."""
    observation = observe(f"{kernel}/throttle-frequency")
    released = [found for found in adjustments(observation.records) if found.unthrottled]
    assert len(released) > 3
    starts = ["start", "stop", "start"] if kernel == "6.1" else ["stop", "start"]
    assert all([made.call for made in found.calls] == starts for found in released)
    assert judge("retention.pairing", observation).status is Status.PASS


def test_a_start_that_no_throttling_explains(observe):
    said = fault("retention.pairing", observe("6.1/throttle-frequency", without(a(Throttle))))
    assert "target (id 2): start, stop, start in the tick at " in said


# --- retention.counter -------------------------------------------------------


def test_both_witnesses_of_a_move_are_shown(observe):
    verdict = judge("retention.counter", observe(BEFORE))
    assert verdict.metrics["witnesses"] == 2
    assert verdict.evidence == (
        "log: target (id 5) on CPU 0 was moved from counter 2 to 31 by the tick at 213.002 ms",
        "page: target (id 5) found itself on index 32 instead of 3 at 213.011 ms, "
        "with no context switch in between",
    )


def moved(page):
    return page.old and not page.switches


def test_witnesses_that_disagree_are_an_error(observe):
    blind = without(lambda record: isinstance(record, Index) and moved(record))
    verdict = judge("retention.counter", observe(BEFORE, blind))
    assert verdict.status is Status.ERROR
    assert verdict.measured == "the witnesses disagree"
    assert verdict.evidence[0].startswith("log: event 5 moved from counter 2 to 31 at ")
    assert verdict.evidence[0].endswith("its page showed no change then")


def test_a_step_that_enables_an_event_may_move_all(observe):
    steps = observe(CLEAN).records.of(Phase)
    enabling = next(step.time for step in steps if step.name.startswith("enable "))
    seen = nth(0, a(Index, id=TARGET, old=0), old=7, switches=0, time=enabling + 1000)
    assert judge("retention.counter", observe(CLEAN, seen)).status is Status.PASS


def test_a_move_that_only_the_page_saw_is_an_error(observe):
    steps = observe(CLEAN).records.of(Phase)
    working = next(step.time for step in steps if step.name.startswith("user "))
    lie = nth(0, a(Index, id=TARGET, old=0), old=7, switches=0, time=working + 1000)
    verdict = judge("retention.counter", observe(CLEAN, lie))
    assert verdict.status is Status.ERROR
    assert verdict.evidence[0].startswith("page: event 5 went from index 7 to 3 by ")
    assert verdict.evidence[0].endswith("the log shows no move then")


def test_numbers_of_counters_that_do_not_match_are_an_error(observe):
    """The log moves the event back; on the page the counter has another number then."""
    where = 40
    back = [
        nth(where, call("del", TARGET), idx=(31, -1)),
        nth(where, call("add", TARGET), idx=(-1, 2)),
        nth(where + 1, call("del", TARGET), idx=(2, -1)),
    ]
    before = observe(BEFORE)
    moves = [i for i, found in enumerate(adjustments(before.records)) if found.calls]
    tick = adjustments(before.records)[moves[where]].tick.time
    lie = again(0, a(Index, id=TARGET, old=0), time=tick + 1, old=9, new=3, switches=0)
    verdict = judge("retention.counter", observe(BEFORE, *back, lie))
    assert verdict.status is Status.ERROR
    said = "\n".join(verdict.evidence)
    assert "counter 31 of the log is index 32 on the page of event 5" in said
    assert "and was 9 before" in said


def test_one_witness_is_enough_where_there_is_one(observe):
    verdict = judge("retention.counter", observe(BEFORE, OFF_PAGE))
    assert verdict.status is Status.FAIL
    assert verdict.metrics["witnesses"] == 1
    assert verdict.measured == "1 moves in 240 adjustments (callback log)"


def test_a_counter_swapped_between_two_calls(observe):
    swap = nth(5, call("stop", TARGET), idx=(4, 2))
    said = fault("retention.counter", observe(CLEAN, OFF_PAGE, swap))
    assert "target (id 5) on CPU 0 moved from counter 2 to 4 by " in said
    assert said.endswith("without add or del")


def test_a_counter_swapped_in_start(observe):
    swap = nth(5, call("start", TARGET), idx=(2, 4))
    said = fault("retention.counter", observe(CLEAN, OFF_PAGE, swap))
    assert "target (id 5) on CPU 0 moved from counter 2 to 4 by " in said
    assert judge("retention.counter", observe(CLEAN, swap)).status is Status.ERROR


def test_a_move_that_nobody_was_looking_at_needs_no_second_witness(observe):
    """The page is read in a user step; the capture ends with a step in the kernel."""
    last = observe(CLEAN).records.of(Phase)[-2]
    assert last.name == "kernel 100"
    in_kernel = call("start", TARGET, time=lambda time: time > last.time)
    said = fault("retention.counter", observe(CLEAN, nth(9, in_kernel, idx=(2, 4))))
    assert said.startswith("log: target (id 5) on CPU 0 was moved from counter 2 to 4 by the tick")


def test_two_events_on_one_counter(observe):
    clash = every(a(Callback, call="add", id=7), idx=(-1, 2))
    said = fault("retention.counter", observe(CLEAN, clash))
    assert said.startswith("filler1 (id 7) was put on counter 2 of CPU 0 at ")
    assert "while target (id 5) was on it" in said


def test_what_never_got_a_counter_is_on_none(observe):
    """x86_pmu_add() in a transaction that is cancelled: the log has its index as -1."""
    refused, also = (
        again(0, a(Callback, call="add", id=7), id=other, idx=(-1, -1)) for other in (97, 98)
    )
    assert judge("retention.counter", observe(CLEAN, refused, also)).status is Status.PASS


# --- retention.residence -----------------------------------------------------


def test_a_cpu_wide_event_that_gives_up_its_place(observe):
    verdict = judge("retention.residence", observe("6.12+pre-callbacks/flexible"))
    assert verdict.status is Status.FAIL
    assert verdict.evidence[0] == (
        "target (id 4) on CPU 0: del at 108.003 ms from perf_adjust_freq_unthr_events, "
        "counter 31 to -1"
    )


def test_rotation_moves_events_too(observe):
    rotated = nth(0, call("stop", 4), call="del", tick=False, caller="perf_rotate_context")
    said = fault("retention.residence", observe("6.12/flexible", rotated))
    assert said.startswith("target (id 4) on CPU 0: del at ")
    assert "from perf_rotate_context" in said


def test_a_task_has_no_residence(observe):
    assert "no CPU-wide event" in undecided("retention.residence", observe(CLEAN))


def test_without_work_there_is_no_residence(observe):
    idle = without(a(Phase, name=lambda name: name.startswith(("user ", "kernel "))))
    assert "no step that works" in undecided("retention.residence", observe("6.12/flexible", idle))


# --- retention.isolation -----------------------------------------------------


@pytest.mark.parametrize("scenario", ["clock-frequency", "software-frequency"])
def test_a_pmu_that_is_stopped_for_another_ones_event(observe, scenario):
    stopped = again(
        9, a(Callback, call="tick"), call="disable", pmu="armv8_pmuv3", caller="perf_pmu_disable"
    )
    verdict = judge("retention.isolation", observe(f"6.12/{scenario}", stopped))
    assert verdict.status is Status.FAIL
    assert verdict.metrics["stopped"] == 1
    assert verdict.evidence[0].startswith("the tick at ")
    assert verdict.evidence[0].endswith(
        "on CPU 0 stopped armv8_pmuv3, which has no event in frequency mode"
    )


def test_ticks_that_leave_a_pmu_alone_are_counted(observe):
    observation = observe("6.12/clock-frequency")
    ticks = [r for r in observation.records.all if a(Callback, call="tick")(r)]
    verdict = judge("retention.isolation", observation)
    assert verdict.metrics == {"ticks": len(ticks), "stopped": 0}


def test_isolation_needs_a_pmu_to_leave_alone(observe):
    assert "no PMU without" in undecided("retention.isolation", observe(CLEAN))


def test_a_move_while_no_one_looks_shows_at_the_next_look(observe):
    """In the kernel's steps the page is not read: it changes behind them."""
    unseen = every(a(Phase), name=lambda phase: phase.name.replace("user", "kernel"))
    verdict = judge("retention.counter", observe(BEFORE, unseen))
    assert verdict.status is Status.FAIL
    assert any(line.startswith("log: target") for line in verdict.evidence)


# --- retention.bystander -----------------------------------------------------

VIRTUAL = "6.12@aarch64-tcg-el2/kvm-scarce"
KVMS = a(Callback, call="add", id=lambda number: number > 5, idx=lambda idx: idx[1] >= 0)


def test_bystanders_are_kvms_events_and_those_that_only_count(observe):
    verdict = judge("retention.bystander", observe(VIRTUAL))
    assert verdict.status is Status.PASS
    ticks = sum(call.call == "tick" for call in observe(VIRTUAL).records.of(Callback))
    # Three at the least that no one adjusts, until the holder is gone.
    assert verdict.metrics["ticks"] > 2 * ticks


@pytest.mark.parametrize("made", ["add", "del", "stop"])
def test_a_tick_that_touches_a_bystander(observe, made):
    touched = nth(20, KVMS, call=made, tick=True, time=150_000_000, caller="perf_adjust")
    verdict = judge("retention.bystander", observe(VIRTUAL, touched))
    assert verdict.status is Status.FAIL
    assert verdict.evidence[0].startswith("the kernel's own (id ")
    assert (
        f"on CPU 0: {made} in a tick at 150.000 ms (perf_adjust), counter " in verdict.evidence[0]
    )


def test_a_tick_that_puts_a_bystander_on_another_counter(observe):
    """Enabling the PMU does that, where it assigns counters."""
    seen = "6.12@x86_64-tcg/register-trace"
    assert judge("retention.bystander", observe(seen)).status is Status.PASS
    moved = again(
        5, a(Callback, call="tick"), call="assign", id=2, pmu="cpu", tick=True, idx=(1, 3)
    )
    said = fault("retention.bystander", observe(seen, moved))
    assert "(id 2) on CPU 0: assign in a tick at " in said
    assert said.endswith("counter 1 to 3")


@pytest.mark.parametrize(("made", "tick"), [("start", True), ("stop", False)])
def test_a_bystander_that_is_let_go_again_or_is_touched_by_others(observe, made, tick):
    touched = nth(20, KVMS, call=made, tick=tick)
    assert judge("retention.bystander", observe(VIRTUAL, touched)).status is Status.PASS


def test_a_bystander_of_another_cpu_is_none_of_a_ticks(observe):
    elsewhere = every(a(Callback, call=lambda name: name in ("add", "del")), cpu=1)
    assert undecided("retention.bystander", observe(VIRTUAL, elsewhere))
