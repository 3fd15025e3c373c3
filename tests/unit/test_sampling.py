# SPDX-License-Identifier: MIT
"""Does each overflow give its sample in time: checks/sampling.py, overflow.py, throttling.py."""

from itertools import pairwise

import pytest

from harness.guest.callback_records import Callback
from harness.guest.records import Clock, Event, Phase, Read, Sample, Throttle
from harness.model import Status
from tests.unit.changes import a, again, call, every, fault, judge, nth, shifted, undecided, without

# --- sampling.rate -----------------------------------------------------------

CPU, CLOCKS = "6.12/cycles-cpu", "6.12/clock-frequency"


def test_a_rate_that_is_not_met(observe):
    def half(records):
        kept = [r for r in records if not isinstance(r, Sample)]
        return kept + [r for r in records if isinstance(r, Sample)][::2]

    said = fault("sampling.rate", observe(CPU, half))
    assert said.startswith("target (id 2): 25 samples in 50.0 ms, 500 Hz instead of 1000")


def test_a_rate_that_is_exceeded(observe):
    def twice(records):
        return records + [r for r in records if isinstance(r, Sample)]

    assert "1999 Hz instead of 1000" in fault("sampling.rate", observe(CPU, twice))


def test_one_sample_more_or_less_falls_into_any_window(observe):
    late = a(Sample, id=2, time=lambda time: 170_000_000 < time < 200_000_000)
    assert judge("sampling.rate", observe(CPU, without(late, 0))).status is Status.PASS
    gone = [without(late, 0), without(late, 1), without(late, 2)]
    assert "47 samples" in fault("sampling.rate", observe(CPU, *gone))


def test_each_event_has_its_rate(observe):
    """The two clocks are of the same frequency; one of them is too slow."""
    slow = every(a(Event, id=3), frequency=1100)
    said = fault("sampling.rate", observe(CLOCKS, slow))
    assert said.startswith("task (id 3): ") and said.endswith("instead of 1100")
    assert "target" not in said


def test_an_event_that_the_emulator_notices_late_has_no_rate(observe):
    """docs/errata.md, qemu-late-overflow: instructions, not cycles."""
    late = every(a(Event, id=2), config=1)
    assert "no frequency-mode event" in undecided("sampling.rate", observe(CPU, late))


def test_a_counting_event_has_no_rate(observe):
    counting = every(a(Event), frequency=0)
    assert "no frequency-mode event" in undecided("sampling.rate", observe(CPU, counting))


def test_a_step_that_is_too_short_has_no_rate(observe):
    short = without(a(Phase, name=lambda name: name.startswith(("user ", "kernel "))))
    one = without(a(Phase, name="disable target"))
    cut = without(a(Read, time=lambda time: time > 120_000_000))
    assert "no long step" in undecided("sampling.rate", observe(CPU, short, one, cut))


# --- sampling.step -----------------------------------------------------------

TASK, TARGET = "6.12/cycles-task", 5


def test_a_period_that_falls_too_fast_in_a_tick(observe):
    fall = nth(
        30,
        call("start", TARGET),
        period=lambda start: (start.period[0] // 2, start.period[1]),
    )
    said = fault("sampling.step", observe(TASK, fall))
    assert said.startswith("target (id 5): the period fell from ")
    assert " in the tick at TIME" in said


@pytest.mark.parametrize(
    ("before", "after", "falls"),
    [(800, 699, True), (800, 700, False), (801, 700, False), (1, 0, False), (9, 7, False)],
)
def test_an_eighth_is_allowed_rounded_up(observe, before, after, falls):
    """perf_adjust_period(): delta = (0 - 800 - 7) / 8, which C rounds towards 0."""
    where = 60
    tick = [
        nth(where, call("stop", TARGET), period=(before, before)),
        nth(where, call("start", TARGET), period=(after, 10**9)),
        nth(where - 1, call("start", TARGET), period=(10**9, 0)),
    ]
    verdict = judge("sampling.step", observe(TASK, *tick))
    said = f"the period fell from {before} to {after} in the tick"
    assert any(said in line for line in verdict.evidence) is falls


def test_a_period_that_falls_outside_a_tick(observe):
    """An overflow may adjust too; without a sample there was none."""
    wide = "6.12/control"
    fall = nth(-2, call("del", 2, tick=False), period=(1, 1))
    said = fault("sampling.step", observe(wide, fall))
    assert said.startswith("frequent (id 2): the period fell from ")
    assert " to 1 by TIME, with " in said
    assert said.endswith(" overflows since the last call")


@pytest.mark.parametrize("name", ["add", "del"])
def test_a_period_that_falls_in_a_callback(observe, name):
    fall = nth(1, call(name, 2, tick=False), period=lambda c: (c.period[0], c.period[0] - 1))
    said = fault("sampling.step", observe("6.12/control", fall))
    assert said.startswith("frequent (id 2): the period fell from ")
    assert said.endswith(f" in {name} at TIME")


def test_a_period_that_falls_behind_the_last_read(observe):
    """The rings are emptied then: an overflow that adjusted it left no sample."""
    wide = "6.12/control"
    late = nth(-1, call("del", 2, tick=False), period=(1, 1))
    assert judge("sampling.step", observe(wide, late)).status is Status.PASS


def test_an_event_that_is_not_adjusted_has_no_step(observe):
    assert undecided("sampling.step", observe("6.12/idle")) == "no event was adjusted"


# --- sampling.throttle -------------------------------------------------------

THROTTLED = "6.12/throttle-period"
THROTTLE, UNTHROTTLE = a(Throttle, kind="throttle"), a(Throttle, kind="unthrottle")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without(THROTTLE, 0), "UNTHROTTLE first, at TIME"),
        (without(THROTTLE, 3), "UNTHROTTLE twice, at TIME"),
        (without(UNTHROTTLE, 3), "THROTTLE twice, at TIME"),
        (
            nth(3, UNTHROTTLE, time=lambda throttle: throttle.time + 2_000_000),
            "throttled at TIME, let go at TIME, two ticks later",
        ),
        (
            without(lambda r: isinstance(r, Throttle) and r.time > 120_500_000),
            "throttled at TIME and never let go, though it was enabled until TIME",
        ),
        (
            without(a(Sample, time=lambda time: time > 111_000_000)),
            "no sample after TIME: it never went on",
        ),
        (
            again(25, a(Sample), time=lambda sample: sample.time + 16),
            " samples in the tick from TIME",
        ),
    ],
)
def test_throttling_that_goes_wrong(observe, change, said):
    lines = fault("sampling.throttle", observe(THROTTLED, change)).splitlines()
    assert all(line.startswith("target (id 2): ") for line in lines)
    assert any(said in line for line in lines)


def test_a_tick_may_take_what_is_allowed(observe):
    """perf_event_max_sample_rate is 10000, a tick 1 ms."""
    observation = observe(THROTTLED)
    ticks = [r.time for r in observation.records.all if a(Callback, call="tick")(r)]
    taken = observation.records.of(Sample)
    most = max(
        sum(begin <= sample.time < end for sample in taken) for begin, end in pairwise(ticks)
    )
    assert most == judge("sampling.throttle", observation).metrics["allowed"] == 10


def test_a_longer_tick_is_allowed_more(observe):
    """perf_event_max_sample_rate is 10000, a tick 4 ms: CONFIG_HZ_250."""
    slow = Clock(kind="clock", tick_ns=4_000_000)
    verdict = judge("sampling.throttle", observe(THROTTLED, lambda records: [slow, *records]))
    assert verdict.metrics["allowed"] == 40


def test_a_sibling_that_is_never_let_go(observe):
    said = fault("sampling.throttle", observe("6.12/throttle-sibling"))
    assert said == (
        "sibling (id 3): throttled at TIME and never let go, though it was enabled until TIME"
    )


GROUP = "7.3/throttle-sibling"
MAX = 2**64 - 1
THROTTLING = {"call": "stop", "interrupts": (MAX, MAX)}


def test_a_group_is_throttled_as_one(observe):
    """The leader does not sample, so no ring says it: the callback log does."""
    assert not observe(GROUP).records.of(Throttle)
    verdict = judge("sampling.throttle", observe(GROUP))
    assert (verdict.status, verdict.metrics["throttled"]) == (Status.PASS, 50)


@pytest.mark.parametrize("member", [2, 4])
def test_a_member_that_is_not_throttled_with_its_group(observe, member):
    counted = nth(9, a(Callback, id=member, **THROTTLING), interrupts=(0, 0))
    said = fault("sampling.throttle", observe(GROUP, counted))
    name = {2: "leader (id 2)", 4: "twin (id 4)"}[member]
    assert said.splitlines() == [
        f"{name}: its group was {what} at TIME, and it was not" for what in ("throttled", "let go")
    ]


def test_a_member_that_is_let_go_late(observe):
    def held(records):
        calls = [r for r in records if call("start", 3)(r)][9:14]
        stops = [r for r in records if a(Callback, id=3, **THROTTLING)(r)][10:14]
        return [r for r in records if r not in calls and r not in stops]

    said = fault("sampling.throttle", observe(GROUP, held)).splitlines()
    assert "sibling (id 3): throttled at TIME, let go at TIME, two ticks later" in said
    assert "sibling (id 3): its group was let go at TIME, and it was not" in said


def test_a_group_that_is_never_let_go(observe):
    """Nothing calls its members any more, until they are disabled."""
    first = next(filter(a(Callback, id=2, **THROTTLING), observe(GROUP).records.all))
    gone = without(a(Callback, id=lambda i: i > 0, time=lambda t: first.time + 10**6 < t))
    said = fault("sampling.throttle", observe(GROUP, gone)).splitlines()
    assert len(said) == 3
    for line in said:
        assert line.endswith("throttled at TIME and never let go, though it was enabled until TIME")


@pytest.mark.parametrize("kind", ["throttle", "unthrottle"])
def test_a_leader_writes_what_the_log_shows(observe, kind):
    twice = again(9, a(Throttle, kind=kind))
    said = fault("sampling.throttle", observe("7.3/throttle-frequency", twice))
    assert said == ("target (id 2): its ring has 101 THROTTLE and UNTHROTTLE, the callback log 100")


def test_an_event_that_is_not_throttled(observe):
    calm = [without(a(Throttle)), without(a(Sample))]
    assert undecided("sampling.throttle", observe(THROTTLED, *calm)) == "no event was throttled"


# --- sampling.reprogram ------------------------------------------------------

IOCTL, FIXED, FREQUENT = "6.12/period-ioctl", 4, 5


def began(observe, words):
    phases = observe(IOCTL).records.of(Phase)
    return next(phase.time for phase in phases if phase.name == words)


@pytest.mark.parametrize("period", [100000, 50000, 80000])
def test_a_new_period_that_begins_late(observe, period):
    set_at = began(observe, f"period fixed {period}")
    late = nth(
        0,
        a(Sample, id=FIXED, time=lambda time: time > set_at),
        counts=shifted("counts", FIXED, period),
    )
    said = fault("sampling.reprogram", observe(IOCTL, late))
    assert said.startswith(f"fixed (id 4): the period was set to {period} at TIME, when the count")
    assert "; the next overflow came at " in said


def test_a_new_period_that_never_ends(observe):
    set_at = began(observe, "period fixed 80000")
    none = without(a(Sample, id=FIXED, time=lambda time: time > set_at))
    said = fault("sampling.reprogram", observe(IOCTL, none))
    assert said == "fixed (id 4): no overflow after the period was set to 80000 at TIME"


def test_an_overflow_may_come_between_the_steps_begin_and_its_system_call(observe):
    """It ends the old period, and no new one."""
    set_at = began(observe, "period fixed 50000")
    last = a(Sample, id=FIXED, time=lambda time: time < set_at)
    late = nth(-1, last, time=set_at + 16)
    assert judge("sampling.reprogram", observe(IOCTL, late)).status is Status.PASS
    early = nth(-1, last, time=set_at + 16, counts=shifted("counts", FIXED, -1))
    said = fault("sampling.reprogram", observe(IOCTL, early))
    assert said.startswith("fixed (id 4): the period was set to 50000 at TIME, when the count")


def test_a_new_frequency_that_is_not_met(observe):
    set_at = began(observe, "period target 1000")
    first = a(Sample, id=FREQUENT, time=lambda time: time > set_at + 20_000_000)

    def half(records):
        gone = [r for r in records if first(r)][::2]
        return [r for r in records if r not in gone]

    said = fault("sampling.reprogram", observe(IOCTL, half))
    assert said.startswith("target (id 5): after 1000 Hz was asked for, 2")
    assert said.endswith(" samples where 40 were due")


def test_without_an_order_no_period_is_set(observe):
    assert undecided("sampling.reprogram", observe(CPU)) == "no period was set"


# --- sampling.inherit --------------------------------------------------------


@pytest.mark.parametrize("scenario", ["inherit-fork", "inherit-threads"])
@pytest.mark.parametrize("number", [0, 1])
def test_a_child_that_starts_at_another_period(observe, scenario, number):
    name = f"6.12/{scenario}"
    children = {r.id: r for r in reversed(observe(name).records.all) if a(Callback, parent=2)(r)}
    child = sorted(children)[number]
    wrong = nth(0, a(Callback, id=child), period=(1, 1))
    said = fault("sampling.inherit", observe(name, wrong))
    assert said.startswith(f"child of target (id {child}) started at period 1; target (id 2) was a")


def test_an_event_that_has_no_child(observe):
    assert "was inherited" in undecided("sampling.inherit", observe(TASK))


# --- sampling.overflow -------------------------------------------------------

FIXED_PERIOD, PAIRED, LATE = (
    "6.12/overflow-cycles",
    "6.12/overflow-paired",
    "6.12/overflow-instructions",
)


@pytest.mark.parametrize("by", [-1, 1])
@pytest.mark.parametrize(
    ("name", "event", "called"),
    [(FIXED_PERIOD, 2, "target"), (PAIRED, 2, "leader"), (PAIRED, 3, "target")],
)
def test_a_sample_that_comes_early_or_late(observe, name, event, called, by):
    moved = nth(9, a(Sample, id=event), counts=shifted("counts", event, by))
    said = fault("sampling.overflow", observe(name, moved))
    assert said == (
        f"{called} (id {event}): sample 10 at TIME came at {1_000_000 + by}, "
        f"{by:+d} from where its period ended"
    )


def test_a_sample_that_is_missing(observe):
    said = fault("sampling.overflow", observe(FIXED_PERIOD, without(a(Sample, id=2), 9)))
    assert "sample 10 at TIME came at 1100000, +100000 from where its period ended" in said
    assert said.splitlines()[-1].startswith("target (id 2): ")
    assert said.splitlines()[-1].endswith(" periods")


def test_the_last_sample_that_is_missing(observe):
    said = fault("sampling.overflow", observe(FIXED_PERIOD, without(a(Sample, id=2), -1)))
    assert len(said.splitlines()) == 1
    assert " samples for " in said


def test_an_overflow_that_the_emulator_notices_late(observe):
    """docs/errata.md, qemu-late-overflow: by a tick at most, and never early."""
    observation = observe(LATE)
    assert observation.machine.late_overflow == {"instructions": "tick"}
    assert observation.tick_ns == 1_000_000
    skids = [dict(sample.counts)[2] % 100_000 for sample in observation.records.of(Sample)]
    assert any(skids)
    early = nth(3, a(Sample, id=2), counts=lambda s: ((2, 100_000), *s.counts[1:]))
    assert "from where its period ended" in fault("sampling.overflow", observe(LATE, early))
    later = nth(3, a(Sample, id=2), counts=shifted("counts", 2, 1_000_000))
    assert "from where its period ended" in fault("sampling.overflow", observe(LATE, later))


def test_where_no_period_ended_nothing_is_due(observe):
    assert undecided("sampling.overflow", observe(CPU)) == "no period ended"


# --- sampling.periods --------------------------------------------------------


def test_samples_of_more_than_was_counted(observe):
    said = fault("sampling.periods", observe(CPU, nth(6, a(Sample), period=10**12)))
    assert said.startswith("the periods of target (id 2) sum up to 1000")


def test_a_software_events_last_period_has_not_ended(observe):
    """perf_swevent_event() names the period that begins."""
    name = "6.12/software-frequency"
    last = nth(-1, a(Sample), period=10**9)
    assert judge("sampling.periods", observe(name, last)).status is Status.PASS
    said = fault("sampling.periods", observe(name, nth(-2, a(Sample), period=10**9)))
    assert "the periods of target (id 4) sum up to 10000" in said


def test_without_samples_there_are_no_periods(observe):
    found = judge("sampling.periods", observe(CPU, without(a(Sample))))
    assert found.status is Status.PASS and found.metrics["samples"] == 0


def test_the_period_of_a_clock_that_was_changed(observe):
    """A defect of all kernels: docs/findings.md, clock-period-untold."""
    name = "6.12/clock-periods"
    assert "cpu (id 2) sum up to 54000000" in fault("sampling.periods", observe(name))
    told = observe(name, every(a(Sample, id=2), period=400_000))
    assert "cpu (id 2)" not in fault("sampling.periods", told)
    # Samples of other software events do not tell it.
    faults = observe(name, every(a(Event), type=1, config=2))
    assert judge("sampling.periods", faults).status is Status.PASS
