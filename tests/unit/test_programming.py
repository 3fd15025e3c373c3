# SPDX-License-Identifier: MIT
"""Are counters programmed as they should be: the checks of harness/checks/programming.py."""

import pytest

from harness.guest.callback_records import Callback
from harness.guest.records import Event, Throttle
from harness.model import Status
from tests.unit.changes import a, again, call, every, fault, judge, nth, undecided, without

CLEAN = "6.12/cycles-task"
TARGET = 5

# --- retention.order ---------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (nth(3, call("start", TARGET), state=(0, 0)), "start of a running event (start from perf_"),
        (nth(3, call("start", TARGET), state=(3, 1)), "hw.state is 1 after start"),
        (nth(3, call("stop", TARGET), state=(0, 1)), "hw.state is 1 after stop"),
        (nth(3, call("stop", TARGET), flags=0, state=(0, 2)), "hw.state is 2 after stop"),
        (
            nth(3, call("start", TARGET), state=(1, 0)),
            "start reloads a counter that was not read (start from perf_",
        ),
        (
            nth(3, call("stop", TARGET), state=(3, 3), count=(1, 2)),
            "stop of a stopped event changed its count",
        ),
        (nth(3, call("start", TARGET), idx=(2, -1)), "stop of an event without a counter"),
        (nth(3, call("stop", TARGET), idx=(2, -1)), "start of an event without a counter"),
        (again(0, call("add", TARGET, tick=False)), "added while on a counter (add from "),
    ],
)
def test_calls_out_of_order(observe, change, said):
    lines = fault("retention.order", observe(CLEAN, change))
    assert f": {said}" in lines
    assert lines.startswith("target (id 5) on CPU 0 at ")


def test_an_event_may_be_stopped_twice(observe):
    twice = again(3, call("stop", TARGET), state=(3, 3), count=lambda stop: (stop.count[1],) * 2)
    assert judge("retention.order", observe(CLEAN, twice)).status is Status.PASS


def test_a_stop_that_is_not_told_to_need_not_read_the_counter(observe):
    """x86_pmu_stop(event, 0), as the throttling of 6.16 and newer calls it."""
    still = nth(3, call("stop", TARGET), flags=0, state=(0, 1))
    started = nth(3, call("start", TARGET), flags=0, state=(1, 0))
    assert judge("retention.order", observe(CLEAN, still, started)).status is Status.PASS


def test_a_throttled_event_may_be_started_though_it_runs(observe):
    """The interrupt handler disabled it without a callback; the ring says so."""
    throttled = "6.1/throttle-frequency"
    assert any(map(call("start", 2, state=(0, 0)), observe(throttled).records.all))
    silent = observe(throttled, without(a(Throttle)))
    assert "target (id 2) on CPU 0 at " in fault("retention.order", silent)
    assert "start of a running event" in fault("retention.order", silent)


def test_only_the_first_start_lets_a_throttled_event_go(observe):
    twice = again(0, call("start", 2, state=(0, 0)), time=lambda start: start.time + 1)
    said = fault("retention.order", observe("6.1/throttle-frequency", twice))
    assert said.count("start of a running event") == 1


# --- retention.reload --------------------------------------------------------


def in_branch(record):
    return call("start", TARGET)(record) and record.left[0] == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (nth(0, in_branch, left=(600000, 600000)), "and was kept"),
        (nth(3, call("start", TARGET), left=(0, 5)), " became 0, not being more than 8 x "),
        (nth(0, in_branch, left=(0, 99)), "period_left 0 was reloaded as 99 (period "),
    ],
)
def test_wrong_reloads(observe, change, said):
    lines = fault("retention.reload", observe(CLEAN, change))
    assert lines.startswith("target (id 5) in the tick at ")
    assert said in lines


def test_a_counter_that_is_programmed_to_something_else(observe):
    wrong = nth(3, call("start", TARGET), prev=(0, 1))
    lines = fault("retention.reload", observe(CLEAN, wrong))
    assert lines.startswith("target (id 5) at ")
    assert "the counter was programmed to 0x1, not to -" in lines


def test_add_programs_a_counter_too(observe):
    wrong = nth(0, call("add", TARGET, tick=False), prev=(0, 2))
    assert "programmed to 0x2" in fault("retention.reload", observe(CLEAN, wrong))


def test_an_add_that_was_taken_back_programmed_nothing(observe):
    """x86_pmu_add() in a transaction that is cancelled: the log has its index as -1."""
    refused = again(0, call("add", TARGET, tick=False), idx=(-1, -1), prev=(0, 0))
    assert judge("retention.reload", observe(CLEAN, refused)).status is Status.PASS


@pytest.mark.parametrize(("left", "programmed"), [(-5, 95), (-99, 1), (-100, 100), (-250, 100)])
def test_what_is_overdue_is_made_up_for_within_a_period(observe, left, programmed):
    """armpmu_event_set_period(): from left <= -period on, a whole period begins anew."""
    late = [
        nth(3, call("stop", TARGET), left=(1, left)),
        nth(
            3,
            call("start", TARGET),
            period=(100, 100),
            left=(left, programmed),
            prev=(0, 2**64 - programmed),
        ),
    ]
    assert judge("retention.reload", observe(CLEAN, *late)).status is Status.PASS
    wrong = nth(3, call("start", TARGET), left=(left, 7), prev=(0, 2**64 - 7))
    said = fault("retention.reload", observe(CLEAN, *late, wrong))
    assert f"period_left {left} was reloaded as 7 (period 100)" in said


def test_a_counter_is_programmed_to_half_of_its_range_at_most(observe):
    """The counter could pass its own start between two interrupts otherwise."""
    long = observe("6.12/long-period")
    assert long.machine.largest_left == 2**31 - 1
    assert any(map(a(Callback, left=lambda left: left[1] > 2**31), long.records.all))
    far = nth(0, a(Callback, call="add", id=2), prev=lambda add: (0, 2**64 - add.left[1]))
    said = fault("retention.reload", observe("6.12/long-period", far))
    assert f"was programmed to {2**64 - 3000000000:#x}, not to -{2**31 - 1}" in said


def adjusted(left, period, handed):
    """A tick with so much left, a new period, and what was handed on."""
    return [
        nth(30, call("stop", TARGET), left=(left, left)),
        nth(
            30,
            call("start", TARGET),
            period=(period, period),
            left=(handed, handed or period),
            prev=(0, 2**64 - (handed or period)),
        ),
    ]


@pytest.mark.parametrize(
    ("left", "handed", "status"),
    [
        (800, 800, Status.PASS),
        (800, 0, Status.FAIL),
        (801, 0, Status.PASS),
        (801, 801, Status.FAIL),
    ],
)
def test_the_branch_is_taken_above_eight_periods(observe, left, handed, status):
    tick = adjusted(left=left, period=100, handed=handed)
    assert judge("retention.reload", observe(CLEAN, *tick)).status is status


def test_without_a_count_nothing_is_adjusted(observe):
    """perf_adjust_freq_unthr_context(): delta > 0, else the period stays as it is."""
    stamp = next(
        r.count[1]
        for i, r in enumerate(filter(call("stop", TARGET), observe(CLEAN).records.all))
        if i == 29
    )
    still = nth(30, call("stop", TARGET), count=(stamp, stamp))
    kept = adjusted(left=801, period=100, handed=801)
    assert judge("retention.reload", observe(CLEAN, *kept, still)).status is Status.PASS
    reset = adjusted(left=801, period=100, handed=0)
    assert "not being more than 8 x 100" in fault("retention.reload", observe(CLEAN, *reset, still))


def test_a_branch_that_was_never_taken_decides_nothing(observe):
    early = without(a(Callback, time=lambda time: time > 240_000_000))
    assert "the > 8*sample_period branch was never taken" in undecided(
        "retention.reload", observe(CLEAN, early)
    )


# --- retention.registers -----------------------------------------------------

HELD = "6.12/registers"
PLACE, OTHER = 2, 0


def registers(which, **update):
    """For nth(): `before` or `after` of a call with other registers; functions get the old."""

    def new(record):
        old = getattr(record, which)
        values = {k: v(getattr(old, k)) if callable(v) else v for k, v in update.items()}
        return old.model_copy(update=values)

    return {which: new}


def put(place, value):
    return lambda counters: (*counters[:place], value, *counters[place + 1 :])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            nth(9, call("start", 4), **registers("after", counters=put(OTHER, 1))),
            "registers of counters [0] changed, not only those of 2",
        ),
        (
            nth(9, call("start", 4), **registers("after", types=put(3, 17))),
            "registers of counters [3] changed, not only those of 2",
        ),
        (
            nth(9, call("start", 4), **registers("before", interrupts=lambda bits: bits ^ 1 << 31)),
            "registers of counters [6] changed, not only those of 2",
        ),
        (
            nth(9, call("start", 4), **registers("before", enabled=31, interrupts=31)),
            "counter 2 was still enabled after stop",
        ),
        (
            nth(9, call("start", 4), **registers("after", interrupts=27)),
            "counter 2 or its interrupt was not enabled after start",
        ),
        (
            nth(9, call("start", 4), **registers("after", enabled=27)),
            "counter 2 or its interrupt was not enabled after start",
        ),
        (
            nth(9, call("start", 4), **registers("after", counters=put(PLACE, 7))),
            "counter 2 holds 0x7 after start, not 0x",
        ),
        (
            nth(0, call("start", 4), **registers("after", counters=put(OTHER, 1))),
            "registers of counters [0, 2] changed, and not one of one counter",
        ),
    ],
)
def test_registers_that_an_adjustment_must_not_write(observe, change, said):
    lines = fault("retention.registers", observe(HELD, change))
    assert lines.startswith("target (id 4) in the tick at ")
    assert said in lines


def test_an_adjustment_that_writes_no_register(observe):
    still = every(
        a(Callback, id=4, tick=True, before=lambda registers: registers is not None),
        before=lambda record: record.before.model_copy(update={"enabled": 31, "interrupts": 31}),
        after=lambda record: record.before.model_copy(update={"enabled": 31, "interrupts": 31}),
    )
    said = fault("retention.registers", observe(HELD, still))
    assert "registers of counters [] changed, and not one of one counter" in said


def test_without_registers_nothing_is_known_of_them(observe):
    assert "no adjustment with registers" in undecided("retention.registers", observe(CLEAN))


VIRTUAL = "6.12@aarch64-tcg-el2/kvm-scarce"
WIDE = a(Callback, call="add", id=lambda number: number > 5, prev=lambda prev: prev[1] >> 63)


def test_an_event_of_the_kernels_own_may_have_64_bits(observe):
    """kvm_pmu_create_perf_event() asks for them, and what a probe opens does not."""
    assert judge("retention.reload", observe(VIRTUAL)).status is Status.PASS
    wrong = nth(0, WIDE, prev=(0, 2**63 + 5))
    said = fault("retention.reload", observe(VIRTUAL, wrong))
    assert said.startswith("the kernel's own (id ")
    opened = nth(0, a(Event, name="filler1"), id=lambda event: wide_id(observe(VIRTUAL)))
    assert "programmed to" in fault("retention.reload", observe(VIRTUAL, opened))


def wide_id(observation):
    """The first event that was programmed further from its wrap than 32 bits go."""
    return next(record.id for record in observation.records.all if WIDE(record))


def test_an_event_of_the_kernels_own_may_have_a_period_of_64_bits(observe):
    """KVM's on 6.1, whose counters have 32: period_left is -1, and none is further from a wrap."""
    unsigned = nth(0, WIDE, left=(-1, -1), prev=(0, 2**64 - 2**31 + 1))
    assert judge("retention.reload", observe(VIRTUAL, unsigned)).status is Status.PASS


def test_a_period_that_is_begun_anew_takes_a_reload(observe):
    """Told of by the log on arm64 as well, whose driver does not look at the flag."""
    name = "6.12/period-ioctl"
    assert judge("retention.reload", observe(name)).status is Status.PASS
    starts = a(Callback, call="start", caller="__perf_event_period")
    said = fault("retention.reload", observe(name, nth(0, starts, flags=0)))
    assert "period_left was set to 0, and start from __perf_event_period has not" in said
