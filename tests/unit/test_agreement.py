# SPDX-License-Identifier: MIT
"""Agreement: a read or a sample that the callback log contradicts is told."""

from dataclasses import replace

import pytest

from harness.checks.stays import stays
from harness.guest.records import Event, Observer, Read, Sample
from harness.model import Status
from tests.unit.changes import a, every, fault, judge, nth, shifted, undecided, without

CPU = "6.12/cycles-cpu"
TARGET, TWIN = 2, 3


# --- agreement.counts --------------------------------------------------------


@pytest.mark.parametrize("kind", [Read, Sample])
@pytest.mark.parametrize("by", [-(10**7), 10**7])
def test_a_count_that_the_log_does_not_have(observe, kind, by):
    wrong = nth(20, a(kind), counts=shifted("counts", TARGET, by))
    said = fault("agreement.counts", observe(CPU, wrong))
    assert said.startswith(f"target (id {TARGET}) at TIME has ") and ", the log " in said


def test_a_last_count_that_is_one_short(observe):
    """When it is off its counter, what it has counted is known to the unit."""
    wrong = nth(-1, a(Read), counts=shifted("counts", TARGET, -1))
    said = fault("agreement.counts", observe("6.12/attached", wrong))
    assert said.startswith(f"target (id {TARGET}) at TIME has ")


def test_what_was_reset_is_left_out(observe):
    found = judge("agreement.counts", observe("6.12/control-group"))
    assert found.status is Status.PASS and found.metrics["counts"] == 0


def test_what_children_counted_is_left_out(observe):
    assert judge("agreement.counts", observe("6.12/inherit-fork")).metrics["counts"] == 0


def test_without_a_log_there_is_nothing_to_agree_with(observe):
    found = judge("agreement.counts", observe(CPU, without(a(Observer))))
    assert found.status is Status.PASS and found.metrics["counts"] == 0


# --- agreement.times ---------------------------------------------------------


def test_more_running_than_enabled(observe):
    wrong = nth(9, a(Read), running=lambda read: read.enabled + 1)
    assert "running" in fault("agreement.times", observe(CPU, wrong))


@pytest.mark.parametrize("field", ["enabled", "running"])
def test_times_that_go_back(observe, field):
    wrong = nth(20, a(Read), running=1000, **({"enabled": 2000} if field == "enabled" else {}))
    assert f"{field} went back by " in fault("agreement.times", observe(CPU, wrong))


def test_more_than_the_clock(observe):
    by = 10**8
    wrong = every(
        a(Read, time=lambda time: time > 150_000_000),
        enabled=lambda read: read.enabled + by,
        running=lambda read: read.running + by,
    )
    said = fault("agreement.times", observe(CPU, wrong))
    assert "enabled for " in said and "the log has it on a counter for" in said


def test_running_without_a_counter(observe):
    """Enabled and running agree with each other, and with the clock: only the log tells."""
    name = "6.12/flexible"
    event = observe(name).records.of(Event)[0].id
    wrong = every(a(Read, id=event), running=lambda read: read.enabled // 2)
    assert "the log has it on a counter for" in fault("agreement.times", observe(name, wrong))


def test_a_counter_that_was_lost_in_an_adjustment(observe):
    said = fault("agreement.times", observe("6.12+pre-callbacks@x86_64-tcg/competition"))
    assert "target (id 2) at TIME: running" in said


@pytest.mark.parametrize("check", ["agreement.counts", "agreement.times"])
def test_without_an_event_nothing_is_said(observe, check):
    assert undecided(check, observe(CPU, without(a(Event)))) == "no event was opened"


def test_a_guest_may_stand_still_between_its_times_and_the_logs(observe):
    """On nested KVM each access to a register may take it out of the guest."""
    seen = observe(CPU, nth(20, a(Read), running=lambda read: read.running - 120_000))
    assert judge("agreement.times", seen).status is Status.FAIL
    nested = seen.machine.model_copy(update={"pause_ns": 100_000})
    assert judge("agreement.times", replace(seen, machine=nested)).status is Status.PASS


def test_an_add_that_got_no_counter_is_no_stay(observe):
    """On x86 the last event's transaction fails where no counter is left for it."""
    seen = observe("6.12@x86_64-tcg/competition")
    rival = next(event.id for event in seen.records.of(Event) if event.name == "rival")
    asked = [call for call in seen.records.calls if call.id == rival and call.call == "add"]
    assert asked and stays(seen)[rival] == []
