# SPDX-License-Identifier: MIT
"""What an adjustment costs: the check of harness/checks/cost.py."""

import pytest

from harness.checks.cost import adjustment_cost
from harness.guest.records import Interruption
from harness.model import Status
from tests.unit.changes import a, every, fault, judge, undecided, without

CHEAP, DEAR = "6.12/cost-cycles", "6.12+pre-callbacks/cost-cycles"
STILL = without(a(Interruption))


def slower(by):
    """Each tick that adjusts takes so many nanoseconds (so instructions) more."""

    def change(records):
        ticks = a(Interruption, phase="adjusting")
        late = iter(range(1, len(records)))
        return [
            r.model_copy(update={"clock": r.clock + by * r.hz // 10**9 * next(late)})
            if ticks(r)
            else r
            for r in records
        ]

    return change


def test_the_cost_is_what_our_guests_showed(observe):
    cheap, dear = adjustment_cost(observe(CHEAP)), adjustment_cost(observe(DEAR))
    assert dear - cheap > 0.4 * cheap
    assert 0 < cheap < 2000


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
    theirs = observe(reference) if reference else None
    verdict = judge("cost.adjustment", observe(mine), theirs)
    assert verdict.status is status
    assert verdict.metrics["instructions"] == adjustment_cost(observe(mine))
    assert verdict.metrics.get("reference") == (adjustment_cost(theirs) if theirs else None)


def test_a_dearer_adjustment_is_said_with_the_reference(observe):
    cheap, dear = adjustment_cost(observe(CHEAP)), adjustment_cost(observe(DEAR))
    said = fault("cost.adjustment", observe(DEAR), observe(CHEAP))
    assert said == f"{dear - cheap:+.0f} instructions against the reference's {cheap:.0f}"


@pytest.mark.parametrize(("by", "status"), [(16, Status.PASS), (48, Status.FAIL)])
def test_two_in_a_hundred_are_tolerated(observe, by, status):
    verdict = judge("cost.adjustment", observe(CHEAP, slower(by)), observe(CHEAP))
    assert verdict.metrics["change"] == by
    assert verdict.status is status


def test_one_odd_tick_moves_no_median(observe):
    calm = adjustment_cost(observe(CHEAP))
    odd = every(a(Interruption, phase="adjusting", clock=last_clock(observe)), user=0)
    assert adjustment_cost(observe(CHEAP, odd)) == calm


def last_clock(observe):
    return observe(CHEAP).records.of(Interruption)[-1].clock


def test_no_ticks_no_cost(observe):
    assert undecided("cost.adjustment", observe(CHEAP, STILL)) == "no ticks were timed"
    assert undecided("cost.adjustment", observe(CHEAP), observe(CHEAP, STILL))
