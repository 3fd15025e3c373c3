# SPDX-License-Identifier: MIT
"""What steps do to events, as checks know it: captures, falsified."""

from dataclasses import replace

import pytest

from harness.guest.pmu_records import Attribute
from harness.guest.records import Phase, Read, Sideband
from harness.model import Status
from tests.unit.changes import a, every, fault, judge, nth, without

# --- breakpoints that move, and all events at once ---------------------------


def test_touches_are_counted_where_a_breakpoint_is(observe):
    assert judge("counting.exact", observe("6.12/breakpoint-slots")).status is Status.PASS


def test_a_breakpoint_that_stays_where_it_was(observe):
    """It counts the touches of the variable that it left, and none of the other one's."""
    here = without(a(Phase, name="place four2 second"))
    said = fault("counting.exact", observe("6.12/breakpoint-slots", here))
    assert "four2 (id 3) counted 0 for 5 touches, which are 5: -5" in said
    assert "four2 (id 3) counted 3 for 3 touches-second, which are 0: +3" in said


def test_work_is_known_to_count_when_all_events_are_enabled(observe):
    assert judge("contexts.work", observe("6.12/all-at-once")).status is Status.PASS
    never = without(a(Phase, name="enable-all"), 1)
    assert "units of work were its own" in fault(
        "contexts.work", observe("6.12/all-at-once", never)
    )


def test_closed_events_leave_the_others_theirs(observe):
    assert judge("contexts.work", observe("6.12/close-inherited")).status is Status.PASS
    less = nth(-1, a(Read, id=3), counts=lambda r: ((3, dict(r.counts)[3] - 17),))
    assert "kept (id 3)" in fault("contexts.work", observe("6.12/close-inherited", less))


# --- records of a CPU --------------------------------------------------------

WIDE = "6.12/cpu-records"


def _tasks(observe, change):
    return fault("records.tasks", observe(WIDE, change))


def a_process_that_is_none(records):
    """Of one who comes, told by who goes."""
    going = a(Sideband, what="switch-cpu", out=True)
    third = [record for record in records if going(record)][3]
    return nth(3, going, who=(7, third.who[1]))(records)


def test_a_cpu_tells_who_comes_and_goes(observe):
    assert judge("records.tasks", observe(WIDE)).status is Status.PASS
    going = a(Sideband, what="switch-cpu", out=True)
    assert "; then" in _tasks(observe, nth(3, going, who=(7, 7)))
    assert "; then" in _tasks(observe, without(going, 3))
    assert "is of process" in _tasks(observe, a_process_that_is_none)
    assert "no switch was told of" in _tasks(observe, without(a(Sideband, what="switch-cpu")))


def test_namespaces_of_each_new_task(observe):
    told = a(Sideband, what="namespaces", id=3)
    assert "records of the namespaces of first, 1 were due" in _tasks(observe, without(told, 0))
    assert "are told by thread" in _tasks(observe, nth(0, told, tid=1))


def test_cgroups_that_are_made(observe):
    told = a(Sideband, what="cgroup")
    assert "cgroup two has the id" in _tasks(observe, without(told, 1))
    assert "cgroup one has the id" in _tasks(observe, every(told, number=1))


def test_a_filter_that_lets_nothing_through(observe):
    assert judge("counting.exact", observe("6.12/filters")).status is Status.PASS
    unset = without(a(Phase, name="filter call none"))
    said = fault("counting.exact", observe("6.12/filters", unset))
    assert "call (id 2) counted 0 for 20 syscalls, which are 20: -20" in said


def test_what_exec_removes_and_threads_inherit(observe):
    assert judge("contexts.work", observe("6.12/exec-threads")).status is Status.PASS
    goes_on = without(a(Phase, name="exec"))
    assert "gone (id 2) had counted 10" in fault(
        "contexts.work", observe("6.12/exec-threads", goes_on)
    )
    forked = every(a(Phase, name="thread thread"), name="fork thread")
    assert "threads (id" in fault("contexts.work", observe("6.12/exec-threads", forked))


# --- who is woken ------------------------------------------------------------


def test_wakeups_are_counted_for_who_sleeps(observe):
    """6.12 has three defects: errata woken-without-samples, -while-disabled, -in-another-group."""
    wakeups = "6.12/wakeups"
    said = fault("counting.exact", observe(wakeups))
    assert "still (id 9) counted 7 wakeups of sleeper, and is disabled" in said
    assert "sibling (id 5) counted 1 wakeups of sleeper, which slept 6 times" in said
    assert "8 periods of 1: 1 samples, 0 lost" in fault("sampling.account", observe(wakeups))
    lost = every(a(Read, id=8), counts=((8, 1),))
    assert "others (id 8) counted 1 wakeups of other" in fault(
        "counting.exact", observe(wakeups, lost)
    )


# --- events of the kernel's own, and those that are read alone ----------------


@pytest.mark.parametrize(
    ("value", "said"),
    [("40 39", "counted 40 39 for itself"), ("40", "with 2 events"), ("", "counted nothing")],
)
def test_what_the_kernel_counts_for_itself(observe, value, said):
    assert judge("contexts.work", observe("6.12/kernel-counters")).status is Status.PASS
    shown = nth(0, a(Attribute, name="kernel_counter"), value=value)
    assert said in fault("contexts.work", observe("6.12/kernel-counters", shown))


def test_an_event_that_is_read_alone(observe):
    assert judge("contexts.work", observe("6.12/read-alone")).status is Status.PASS
    children = nth(-1, a(Read, id=2), counts=lambda r: ((2, dict(r.counts)[2] - 100),))
    assert "family (id 2)" in fault("contexts.work", observe("6.12/read-alone", children))


def test_callbacks_that_take_their_time_are_given_it(observe):
    """As the scenario says; otherwise the log and the times would not agree."""
    assert judge("agreement.times", observe("6.12/slow-pmu")).status is Status.PASS
    found = observe("6.12/slow-pmu")
    steps = tuple(step for step in found.scenario.steps if "delay_" not in step)
    quick = found.scenario.model_copy(update={"steps": steps})
    assert "running" in fault("agreement.times", replace(found, scenario=quick))
