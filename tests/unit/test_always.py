# SPDX-License-Identifier: MIT
"""What every scenario is asked beside identity and agreement: neighbours, account, residue."""

import pytest

from harness.checks import ALWAYS, CHECKS
from harness.checks.base import ANY, Property
from harness.guest.callback_records import Callback, CpuState, State
from harness.guest.records import Event, Lost, Observer, Read, Sample, Throttle
from harness.model import Status
from tests.unit.changes import a, again, every, fault, judge, nth, shifted, undecided, without

CPU = "6.12/cycles-cpu"
CYCLES = "6.12/overflow-cycles"
TASK = "6.12/cycles-task"


def test_what_all_are_asked_needs_no_number_of_opportunities():
    """A scenario that has nothing to look at is none that does not decide."""
    for name in ALWAYS[1:]:
        test = CHECKS[name].test
        assert not isinstance(test, Property) or test.most == ANY, name


# --- counting.neighbours -----------------------------------------------------


def _dead(event: int):
    """An event that counts nothing from the beginning."""

    def counts(record):
        return tuple((i, 0 if i == event else count) for i, count in record.counts)

    return every(a(Read), counts=counts)


def test_an_event_that_counts_nothing_beside_its_like(observe):
    event = observe(TASK).records.event("filler1").id
    said = fault("counting.neighbours", observe(TASK, _dead(event)))
    assert f"filler 1 (id {event}) counted 0" in said or f"filler1 (id {event}) counted 0" in said


def test_an_event_that_counts_nothing_beside_another_kind(observe):
    name = "6.12/exact-user"
    dead = observe(name).records.event("cycles").id
    found = judge("counting.neighbours", observe(name, _dead(dead)))
    assert found.status is Status.PASS, "it was enabled for loops only: there is no long interval"


def test_an_event_that_counts_nothing_in_user_space(observe):
    """Alone, and it is known what there was to count."""
    said = fault("counting.neighbours", observe(CPU, _dead(2), _dead(3)))
    assert "target (id 2) counted 0 in " in said and "of work in user space" in said


def test_a_twin_that_is_one_off(observe):
    wrong = nth(-5, a(Read), counts=shifted("counts", 3, 1))
    assert "beside it" in fault("counting.neighbours", observe(CPU, wrong))


def test_a_throttled_event_may_stand_still(observe):
    """Without the records that say so it is a fault."""
    name = "6.1/throttle-sibling"
    assert judge("counting.neighbours", observe(name)).status is Status.PASS
    unmarked = every(a(Callback), interrupts=(1, 1))
    assert "beside it" in fault(
        "counting.neighbours", observe(name, without(a(Throttle)), unmarked)
    )


def test_a_clock_that_forgot_some_of_its_time(observe):
    name = "6.12/clock-frequency"
    clock = observe(name).records.event("target").id
    assert judge("counting.neighbours", observe(name)).status is Status.PASS
    wrong = nth(-3, a(Read, id=clock), counts=shifted("counts", clock, -100_000))
    said = fault("counting.neighbours", observe(name, wrong))
    assert f"target (id {clock}) counted " in said and " ns by TIME, and ran for " in said


# --- sampling.account --------------------------------------------------------


def test_a_sample_that_is_missing(observe):
    said = fault("sampling.account", observe(CYCLES, without(a(Sample), 7)))
    assert "486 periods of 100000: 485 samples, 0 lost" in said


def test_a_sample_that_is_missing_and_was_told_of(observe):
    told = Lost(kind="lost", id=2, lost=1)
    right = without(a(Sample), 7), lambda records: [*records, told]
    assert judge("sampling.account", observe(CYCLES, *right)).status is Status.PASS


def test_a_read_tells_what_was_lost(observe):
    right = without(a(Sample), 7), every(a(Read, id=2), lost=((2, 1), (3, 0)))
    assert judge("sampling.account", observe(CYCLES, *right)).status is Status.PASS


def test_a_sample_that_tells_another_period(observe):
    said = fault("sampling.account", observe(CYCLES, nth(4, a(Sample), period=99_999)))
    assert said.endswith("1 samples tell a period of 99999, not of 100000")


def test_a_sample_too_many(observe):
    assert "487 samples" in fault("sampling.account", observe(CYCLES, again(7, a(Sample))))


def test_what_overflowed_before_there_was_a_ring_is_in_no_ring(observe):
    early = nth(0, a(Read, id=2), counts=shifted("counts", 2, 150_000))
    two = without(a(Sample), 0), without(a(Sample), 0)
    assert judge("sampling.account", observe(CYCLES, early, *two)).status is Status.PASS
    assert "483 samples" in fault(
        "sampling.account", observe(CYCLES, early, *two, without(a(Sample), 0))
    )


def test_of_what_is_noticed_late_none_need_come(observe):
    name = "6.12/overflow-instructions"
    assert judge("sampling.account", observe(name, without(a(Sample), 7))).status is Status.PASS


# --- kernel.residue ----------------------------------------------------------


def _states(**changes):
    """The two states, the second with other numbers."""

    def state(when: str, counts: dict[str, int], cpu: dict[str, int]) -> State:
        same = {"cpu": 0, "events": 0, "counters": 0, "enabled": 0, "interrupts": 0}
        return State(
            kind="state",
            when=when,
            time=1,
            counts={"nr_freq_events": 0, "locked_vm": 3} | counts,
            cpus=(CpuState(**(same | cpu)),),
        )

    counts = {name: value for name, value in changes.items() if name[:2] in ("nr", "lo")}
    cpu = {name: value for name, value in changes.items() if name not in counts}
    told = [state("before", {}, {}), state("after", counts, cpu)]
    return lambda records: [*records[:-1], *told, records[-1]]


def test_numbers_that_are_what_they_were(observe):
    found = judge("kernel.residue", observe(CPU, _states()))
    assert found.status is Status.PASS and found.metrics["numbers"] == 5


def test_an_interrupt_bit_without_its_counter_does_nothing(observe):
    assert judge("kernel.residue", observe(CPU, _states(interrupts=4))).status is Status.PASS


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"nr_freq_events": 1}, "nr_freq_events was 0, and is 1 when all is closed"),
        ({"locked_vm": 260}, "locked_vm was 3, and is 260 when all is closed"),
        ({"events": 2}, "events of CPU 0 were 0x0, and are 0x2 when all is closed"),
        ({"counters": 1}, "counters of CPU 0 were 0x0, and are 0x1 when all is closed"),
        ({"enabled": 2**31}, "enabled of CPU 0 were 0x0, and are 0x80000000 when all is closed"),
    ],
)
def test_a_number_that_is_not_what_it_was(observe, changes, said):
    assert fault("kernel.residue", observe(CPU, _states(**changes))) == said


def test_an_event_that_is_never_taken_off(observe):
    last = without(a(Callback, call="del", id=2), -1)
    assert "target (id 2) is still on CPU 0" in fault("kernel.residue", observe(CPU, last))


def test_without_the_observer_no_one_looked(observe):
    gone = without(a(Observer))
    assert undecided("kernel.residue", observe(CPU, gone)) == "no one looked"


def test_a_scenario_without_an_observer_is_asked_nothing(observe):
    assert judge("kernel.residue", observe("6.12/cost-cycles")).status is Status.PASS


@pytest.mark.parametrize("check", ["counting.neighbours", "sampling.account"])
def test_without_an_event_nothing_is_said(observe, check):
    assert undecided(check, observe(CPU, without(a(Event)))) == "no event was opened"
