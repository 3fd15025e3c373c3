# SPDX-License-Identifier: MIT
"""Calls: where the answer is the question, it is that of the kernel's version."""

from errno import E2BIG, EINVAL

import pytest

from harness.guest.pmu_records import Answered
from harness.guest.records import Records
from harness.model import Status
from tests.unit.changes import fault, judge

EVENTS = "refused-events"
CALLS = "refused-calls"
RINGS = "ring-lost"


def _said(what: str, number: int) -> Records:
    return Records([Answered(kind="answer", what=what, errno=number, time=1)])


@pytest.mark.parametrize(
    ("scenario", "what", "number"),
    [
        (EVENTS, "open size-small", E2BIG),
        (EVENTS, "open size-none", 0),
        (CALLS, "map counting 3", EINVAL),
        (CALLS, "period periodic 2000", 0),
        (RINGS, "open full", 0),
    ],
)
def test_the_answer_that_is_known(observe, scenario, what, number):
    assert judge("kernel.calls", observe(_said(what, number), scenario=scenario)).status is (
        Status.PASS
    )


@pytest.mark.parametrize(
    ("scenario", "what", "number", "said"),
    [
        (EVENTS, "open size-small", 0, "open size-small: taken, not refused with E2BIG"),
        (EVENTS, "open size-small", EINVAL, "refused with EINVAL, not refused with E2BIG"),
        (EVENTS, "open size-none", E2BIG, "open size-none: refused with E2BIG, not taken"),
        (CALLS, "map counting 3", 0, "map counting 3: taken, not refused with EINVAL"),
    ],
)
def test_another_answer(observe, scenario, what, number, said):
    assert said in fault("kernel.calls", observe(_said(what, number), scenario=scenario))


@pytest.mark.parametrize(
    ("kernel", "number", "status"),
    [
        ("6.1", EINVAL, Status.PASS),
        ("6.1", 0, Status.FAIL),
        ("6.12", EINVAL, Status.FAIL),
        ("6.12", 0, Status.PASS),
    ],
)
def test_tasks_have_events_of_a_second_pmu_since_6_2(observe, kernel, number, status):
    """Of any scenario, without a word of its own: one that is another event's is no question."""
    made = observe(_said("open own", number), scenario="aux-cpus", kernel=kernel)
    assert judge("kernel.calls", made).status is status
    first = observe(_said("open first", number), scenario="aux-cpus", kernel=kernel)
    assert judge("kernel.calls", first).status is Status.PASS


def test_an_answer_is_that_of_a_kernel(observe):
    refused = _said("open full", EINVAL)
    old = observe(refused, scenario=RINGS, kernel="5.10")
    assert judge("kernel.calls", old).status is Status.PASS
    assert "refused with EINVAL, not taken" in fault(
        "kernel.calls", observe(refused, scenario=RINGS)
    )


def test_what_nobody_knows_is_answered_as_the_reference_does(observe):
    refused, taken = _said("enable nobody", EINVAL), _said("enable nobody", 0)
    mine, theirs = observe(refused, scenario=CALLS), observe(taken, scenario=CALLS)
    said = fault("kernel.calls", mine, theirs)
    assert said == "enable nobody: refused with EINVAL, by the reference taken"
    assert judge("kernel.calls", mine, mine).status is Status.PASS
    assert judge("kernel.calls", mine).status is Status.PASS
