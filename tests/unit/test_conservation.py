# SPDX-License-Identifier: MIT
"""Is no count lost, made up or hidden: the checks of harness/checks/conservation.py."""

from dataclasses import replace

import pytest

from harness.guest.callback_records import Callback
from harness.guest.records import Event, Phase, Read, Records, Sample
from harness.model import Status
from tests.unit.changes import a, call, every, fault, judge, nth, shifted, undecided, without

CLEAN = "6.12/cycles-task"
TARGET, TWIN = 5, 6

# --- conservation.twin -------------------------------------------------------


@pytest.mark.parametrize("kind", [Read, Sample])
@pytest.mark.parametrize("by", [1, -1])
def test_a_count_that_the_twin_has_and_the_target_not(observe, kind, by):
    lost = nth(5, a(kind, id=TARGET), counts=shifted("counts", TARGET, by))
    verdict = judge("conservation.twin", observe(CLEAN, lost))
    assert verdict.status is Status.FAIL
    assert len(verdict.evidence) == 1
    assert verdict.evidence[0].startswith("target (id 5) at ")
    assert verdict.evidence[0].endswith(f": difference {by}, at first 0")


def test_a_constant_difference_is_none(observe):
    apart = [every(a(k, id=TARGET), counts=shifted("counts", TWIN, 22)) for k in (Read, Sample)]
    verdict = judge("conservation.twin", observe(CLEAN, *apart))
    assert verdict.status is Status.PASS
    assert verdict.metrics["least"] == verdict.metrics["most"] == -22


def test_a_neighbour_of_another_kind_is_no_twin(observe):
    other = every(a(Event, id=TWIN), exclude_kernel=False)
    assert undecided("conservation.twin", observe(CLEAN, other)) == "0 reads of twins"


# --- conservation.growth -----------------------------------------------------


@pytest.mark.parametrize("by", [-(10**8), 10**9])
@pytest.mark.parametrize(("kind", "number"), [(Sample, 140), (Read, 14)])
def test_counts_that_fall_or_leap(observe, kind, number, by):
    wrong = nth(number, a(kind, id=TARGET), counts=shifted("counts", TARGET, by))
    verdict = judge("conservation.growth", observe(CLEAN, wrong))
    assert verdict.status is Status.FAIL
    # There and back again.
    assert verdict.metrics["leaps"] == 2
    assert "target (id 5) went from " in verdict.evidence[0]
    assert " ns, by " in verdict.evidence[0]


@pytest.mark.parametrize(("late", "status"), [(2016, Status.PASS), (2017, Status.FAIL)])
def test_a_samples_count_may_be_older_than_its_time(observe, late, status):
    """By what the handler executes in between, and a step of the clock."""
    one, two = [s for s in observe(CLEAN).records.of(Sample) if s.id == TARGET][140:142]
    grown = dict(two.counts)[TARGET] - dict(one.counts)[TARGET]
    stamp = two.enabled - grown + late
    stamped = nth(140, a(Sample, id=TARGET), enabled=stamp, running=stamp)
    assert judge("conservation.growth", observe(CLEAN, stamped)).status is status


@pytest.mark.parametrize(
    ("kernel", "late", "status"),
    [(True, 2016, Status.PASS), (True, 2017, Status.FAIL), (False, 17, Status.FAIL)],
)
def test_a_reads_count_may_be_newer_than_its_time(observe, kernel, late, status):
    """By what the kernel executes in between, where that is counted, and a step of the clock."""
    observation = observe("6.12/overflow-cycles")
    one, two = [r for r in observation.records.of(Read) if r.id == 2 and r.enabled][-2:]
    grown = two.enabled - one.enabled + late
    newer = nth(
        [r for r in observation.records.of(Read) if r.id == 2].index(two),
        a(Read, id=2),
        counts=tuple((event, dict(one.counts)[event] + grown) for event, _ in two.counts),
    )
    counted = every(a(Event), exclude_kernel=not kernel)
    found = judge("conservation.growth", observe("6.12/overflow-cycles", newer, counted))
    assert found.status is status, found


@pytest.mark.parametrize(("after", "status"), [(3000, Status.PASS), (-1, Status.FAIL)])
def test_a_read_that_an_overflow_interrupts(observe, after, status):
    """Its times are from before the sample, its count is from behind it."""
    observation = observe("6.12/overflow-cycles")
    sample = [s for s in observation.records.of(Sample) if s.id == 2][100]
    read = next(r for r in observation.records.of(Read) if r.id == 2 and r.enabled)
    counts = [(event, count + 1700) for event, count in sample.counts]
    times = {"enabled": sample.enabled - 1500, "running": sample.running - 1500}
    torn = read.model_copy(update={**times, "counts": tuple(counts), "time": sample.time + after})
    records = Records([*observation.records.all, torn])
    found = judge("conservation.growth", replace(observation, records=records))
    assert found.status is status


@pytest.mark.parametrize("by", [-(10**7), 10**9])
def test_samples_of_a_task_that_moves_between_cpus(observe, by):
    name = "6.12/migrate"
    assert observe(name).scenario.cpus == 2
    wrong = nth(40, a(Sample, id=2), counts=shifted("counts", 2, by))
    assert "target (id 2) went from " in fault("conservation.growth", observe(name, wrong))


@pytest.mark.parametrize("by", [-(10**9), 10**9])
def test_reads_from_another_cpu(observe, by):
    """The times come from an interrupt there, the count a little later: so the clock bounds it."""
    wrong = nth(4, a(Read, id=2), counts=shifted("counts", 2, by))
    said = fault("conservation.growth", observe("6.12/hotplug", wrong))
    assert "target (id 2) grew by " in said


def test_times_of_reads_from_another_cpu_bound_nothing(observe):
    """They are of another moment than the count (perf_event_read())."""
    still = every(a(Read), enabled=0, running=0)
    assert judge("conservation.growth", observe("6.12/hotplug", still)).status is Status.PASS


def test_a_single_read_shows_no_growth(observe):
    one = [without(a(Sample)), without(a(Read, id=lambda number: number != 3))]
    one.append(without(a(Read, time=lambda time: time > 112_320_000)))
    found = judge("conservation.growth", observe(CLEAN, *one))
    assert found.status is Status.PASS and found.measured == "0 leaps in 1 reads"


def test_a_reset_takes_a_count_back(observe):
    """And nothing else does."""
    name = "6.12/control-group"
    assert judge("conservation.growth", observe(name)).status is Status.PASS
    elsewhere = nth(-9, a(Read), counts=lambda read: tuple((i, 0) for i, _ in read.counts))
    assert "went from" in fault("conservation.growth", observe(name, elsewhere))


# --- conservation.times ------------------------------------------------------


@pytest.mark.parametrize("kind", [Read, Sample])
def test_time_without_a_counter(observe, kind):
    wanted = a(kind, id=TARGET, enabled=lambda ns: ns > 0)
    behind = nth(3, wanted, running=lambda record: record.enabled - 16)
    said = fault("conservation.times", observe(CLEAN, behind))
    assert said.startswith("target (id 5) at ")
    assert ": enabled " in said and said.endswith(" ns")


def test_an_event_that_was_never_enabled_has_no_times(observe):
    off = [every(a(kind), enabled=0, running=0) for kind in (Read, Sample)]
    assert undecided("conservation.times", observe(CLEAN, *off)) == "no event was enabled"


# --- conservation.clock ------------------------------------------------------


@pytest.mark.parametrize(("by", "sign"), [(-64, "+"), (64, "-"), (10**6, "-")])
def test_an_enabled_time_that_leaves_the_clock(observe, by, sign):
    off = nth(30, a(Sample, id=2), enabled=lambda sample: sample.enabled + by)
    verdict = judge("conservation.clock", observe("6.12/cycles-cpu", off))
    assert verdict.status is Status.FAIL
    assert len(verdict.evidence) == 1
    assert verdict.evidence[0].startswith("target (id 2) at ")
    assert f" ns, {sign}" in verdict.evidence[0]
    assert verdict.evidence[0].endswith(" ns off the clock")


def test_the_clocks_own_steps_are_no_fault(observe):
    rounded = nth(30, a(Sample, id=2), enabled=lambda sample: sample.enabled + 16)
    assert judge("conservation.clock", observe("6.12/cycles-cpu", rounded)).status is Status.PASS


@pytest.mark.parametrize(("by", "status"), [(20_208, Status.PASS), (110_000, Status.FAIL)])
def test_a_machine_that_stands_still_in_an_interrupt(observe, catalog, by, status):
    off = nth(30, a(Sample, id=2), enabled=lambda sample: sample.enabled + by)
    nested = catalog.machines["aarch64-kvm-nested"]
    observation = replace(observe("6.12/cycles-cpu", off), machine=nested)
    assert judge("conservation.clock", observation).status is status


def test_the_clock_of_an_event_beside_sleeping_tasks(observe):
    sleepers = "6.12/sleepers"
    wide = a(Sample, id=2, time=lambda time: time > 130_000_000)
    behind = every(wide, enabled=lambda sample: sample.enabled - 3_000_000)
    said = fault("conservation.clock", observe(sleepers, behind))
    assert "wide (id 2) at " in said and "+3000000 ns off the clock" in said


def test_the_clock_is_judged_from_the_first_step_on(observe):
    """6.1 stops it for some microseconds while another event is opened."""
    sleepers = "6.12/sleepers"
    begin = observe(sleepers).records.of(Phase)[0].time
    opening = a(Sample, id=2, time=lambda time: time < begin)
    stopped = every(opening, enabled=lambda sample: sample.enabled + 4416)
    assert judge("conservation.clock", observe(sleepers, stopped)).status is Status.PASS


def test_a_task_stops_its_events_clock(observe):
    assert undecided("conservation.clock", observe(CLEAN)) == "no CPU-wide event sampled"


# --- conservation.sum --------------------------------------------------------

FORKED = "6.12/inherit-fork"


@pytest.mark.parametrize(("event", "name"), [(2, "target"), (3, "twin")])
def test_a_childs_count_that_is_lost(observe, event, name):
    lost = nth(-1, a(Read, id=2), counts=shifted("counts", event, -1000))
    said = fault("conservation.sum", observe(FORKED, lost))
    assert said.startswith(f"{name} (id {event}) reads ")
    assert said.endswith(": -1000")
    assert "its 2 children counted" in said


def test_a_childs_count_that_is_added_twice(observe):
    child = nth(-1, a(Callback, call="del", parent=2), count=lambda c: (c.count[0], c.count[1] - 7))
    said = fault("conservation.sum", observe(FORKED, child))
    assert said.startswith("target (id 2) reads ") and said.endswith(": +7")


def test_a_family_that_still_counts_is_not_summed(observe):
    def last_call(event):
        return lambda record: isinstance(record, Callback) and event in (record.id, record.parent)

    counting = [nth(-1, last_call(event), call="stop") for event in (2, 3)]
    assert "no inherited event" in undecided("conservation.sum", observe(FORKED, *counting))


def test_without_children_there_is_no_sum(observe):
    alone = every(call("add", 2, tick=False), parent=0)
    childless = without(a(Callback, parent=lambda parent: parent != 0))
    assert "no inherited event" in undecided("conservation.sum", observe(FORKED, alone, childless))


def test_a_sibling_that_was_opened_later_has_times_of_its_own(observe):
    """perf_output_read() in kernel/events/core.c: a sample has those of who overflowed."""
    records = observe("6.12/group-frequency").records
    sibling = next(event for event in records.of(Event) if event.leader != event.id)
    later = every(
        a(Sample, id=sibling.id),
        enabled=lambda sample: sample.enabled - 1_000_000,
        running=lambda sample: sample.running - 1_000_000,
    )
    found = judge("conservation.growth", observe("6.12/group-frequency", later))
    assert found.status is Status.PASS
