# SPDX-License-Identifier: MIT
"""Identity: each fault is told from a capture that is right, changed in one place."""

import pytest

from harness.guest.records import Event, Read, Sample, Sideband, TaskStart, Throttle
from harness.model import Status
from tests.unit.changes import a, every, fault, judge, nth, undecided, without

CPU = "6.12/cycles-cpu"
FORK = "6.12/inherit-fork"
LEVELS = "6.12/exact-levels"
THROTTLED = "6.12/throttle-period"


# --- identity.source ---------------------------------------------------------


@pytest.mark.parametrize("kind", [Read, Sample])
def test_an_id_that_no_one_has(observe, kind):
    said = fault("identity.source", observe(CPU, nth(3, a(kind), id=77)))
    assert "names event 77, which no one opened" in said


def test_a_member_that_no_one_opened(observe):
    wrong = nth(3, a(Read), counts=lambda read: (*read.counts, (99, 5)))
    assert "a read at TIME names event 99" in fault("identity.source", observe(CPU, wrong))


def test_a_stream_of_an_event_that_was_not_inherited(observe):
    said = fault("identity.source", observe(CPU, nth(3, a(Sample), stream=9)))
    assert said == "a sample at TIME of target (id 2) comes from event 9, which is none that " \
        "inherited it"  # fmt: skip


def test_a_stream_that_is_another_event(observe):
    target, twin = 2, 3
    wrong = nth(0, a(Sample, id=target), stream=twin)
    assert f"comes from event {twin}" in fault("identity.source", observe(FORK, wrong))


def test_children_that_inherited_may_sample(observe):
    found = judge("identity.source", observe(FORK))
    assert found.status is Status.PASS and found.metrics["records"] > 100


def test_a_cpu_that_is_not_the_events(observe):
    said = fault("identity.source", observe(CPU, nth(3, a(Sample), cpu=1)))
    assert said == "a sample of target (id 2) at TIME is from CPU 1, not from 0"


def test_a_cpu_that_there_is_not(observe):
    said = fault("identity.source", observe("6.12/attached", nth(3, a(Sample), cpu=1)))
    assert said == "a sample of target (id 2) at TIME is from CPU 1, which there is not"


def test_a_cpu_on_which_it_was_not_counting(observe):
    wrong = nth(12, a(Sample), cpu=lambda sample: 1 - sample.cpu)
    assert "where the callback log does not have it then" in fault(
        "identity.source", observe("6.12/migrate", wrong)
    )


def test_a_time_at_which_it_was_not_counting(observe):
    wrong = nth(3, a(Sample), time=5)
    assert "where the callback log does not have it then" in fault(
        "identity.source", observe(CPU, wrong)
    )


def test_another_task(observe):
    said = fault("identity.source", observe("6.12/attached", nth(5, a(Sample), tid=1)))
    assert "is from thread 1, not from worker" in said


def test_a_task_that_says_which_thread_it_is(observe):
    told = TaskStart(kind="task", name="worker", tid=4321, time=1)
    said = fault("identity.source", observe("6.12/attached", lambda records: [told, *records]))
    assert "not from worker, which is 4321" in said


def test_a_child_that_no_one_made(observe):
    """An inherited event's samples are from its task or from what descends from it."""
    records = observe(FORK).records
    tids = dict.fromkeys(sample.tid for sample in records.of(Sample))
    names = ("worker", "first", "second")
    told = [
        TaskStart(kind="task", name=name, tid=tid, time=1)
        for name, tid in zip(names, sorted(tids), strict=True)
    ]
    begun = lambda records: [*told, *records]  # noqa: E731
    assert judge("identity.source", observe(FORK, begun)).status is Status.PASS
    said = fault("identity.source", observe(FORK, begun, nth(3, a(Sample), tid=4242)))
    assert "is from thread 4242, of which it is not told" in said


def test_samples_that_stand_behind_later_ones(observe):
    samples = [r for r in observe(CPU).records.of(Sample)]
    wrong = nth(6, a(Sample), time=samples[4].time)
    assert "stands behind one at" in fault("identity.source", observe(CPU, wrong))


def test_a_record_of_the_kernels_that_names_no_one(observe):
    told = Sideband(
        kind="sideband", what="comm", id=88, stream=88, pid=1, tid=1, cpu=0, time=5, text="x"
    )
    said = fault("identity.source", observe(CPU, lambda records: [*records, told]))
    assert said == "a sideband at TIME names event 88, which no one opened"


@pytest.mark.parametrize("check", ["identity.source", "identity.members", "identity.turns"])
def test_without_an_event_nothing_is_said(observe, check):
    assert undecided(check, observe(CPU, without(a(Event)))) == "no event was opened"


# --- identity.members --------------------------------------------------------


@pytest.mark.parametrize("kind", [Read, Sample])
def test_a_group_in_another_order(observe, kind):
    wrong = nth(3, a(kind), counts=lambda read: (read.counts[0], *reversed(read.counts[1:])))
    said = fault("identity.members", observe(LEVELS, wrong))
    assert said.endswith("has 2, 4, 3; its group is 2, 3, 4")


def test_a_member_that_is_missing(observe):
    wrong = every(a(Read), counts=lambda read: read.counts[:-1])
    said = fault("identity.members", observe(LEVELS, wrong))
    assert "has 2, 3; its group is 2, 3, 4" in said


def test_a_member_twice(observe):
    wrong = nth(3, a(Read), counts=lambda read: (*read.counts, read.counts[-1]))
    assert "has 2, 3, 4, 4" in fault("identity.members", observe(LEVELS, wrong))


# --- identity.turns ----------------------------------------------------------


def test_throttled_twice(observe):
    wrong = without(a(Throttle, kind="unthrottle"), 1)
    said = fault("identity.turns", observe(THROTTLED, wrong))
    assert "THROTTLE at TIME, and once more" in said


def test_let_go_without_having_been_throttled(observe):
    wrong = without(a(Throttle, kind="throttle"), 0)
    said = fault("identity.turns", observe(THROTTLED, wrong))
    assert "UNTHROTTLE at TIME, and none before" in said


def test_a_sample_of_an_event_that_stands_still(observe):
    wrong = without(a(Throttle), 1), without(a(Throttle), 1)
    said = fault("identity.turns", observe(THROTTLED, *wrong))
    assert "throttled at TIME, and sampled at TIME" in said
