# SPDX-License-Identifier: MIT
"""What an adjustment costs: the checks of harness/checks/cost.py."""

import pytest

from harness.checks.cost import adjustment_accesses, adjustment_cost
from harness.guest.records import Interruption
from harness.guest.trace_records import Access
from harness.model import Status
from tests.unit.changes import a, every, fault, judge, undecided, without

CHEAP, DEAR = "6.12/cost-cycles", "6.12+pre-callbacks/cost-cycles"
STILL = without(a(Interruption))
AMD, INTEL = "6.12@x86_64-tcg/cost-registers-cycles", "6.12@x86_64-tcg-intel/cost-registers-cycles"
INTEL_BEFORE = "6.12+pre-callbacks@x86_64-tcg-intel/cost-registers-cycles"


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


def written_again(role, share=1):
    """Each write to registers of a kind is followed by another, or every so many are."""
    wanted = a(Access, access="write", role=role)

    def change(records):
        number, found = 0, []
        for record in records:
            found.append(record)
            number += wanted(record)
            if wanted(record) and number % share == 0:
                found.append(record)
        return found

    return change


@pytest.mark.parametrize(
    ("capture", "writes", "reads"),
    [
        (AMD, {"select": 5, "counter": 1}, {"select": 2, "counter": 3}),
        (INTEL, {"control": 2, "select": 2, "counter": 1}, {}),
        (INTEL_BEFORE, {"control": 2, "select": 2, "counter": 1}, {}),
    ],
)
def test_the_registers_of_an_adjustment_are_what_our_guests_showed(observe, capture, writes, reads):
    assert {k: n for k, n in adjustment_accesses(observe(capture), "write").items() if n} == writes
    assert {k: n for k, n in adjustment_accesses(observe(capture), "read").items() if n} == reads


def test_the_registers_are_said_by_their_kinds(observe):
    alone = judge("cost.registers", observe(AMD))
    assert alone.status is Status.PASS
    assert alone.measured == "6 writes: 5 select, 1 counter"
    assert alone.metrics == {"writes": 6, "reads": 5}
    beside = judge("cost.registers", observe(INTEL), observe(INTEL_BEFORE))
    assert beside.status is Status.PASS
    assert beside.measured == "5 writes: 2 control, 2 select, 1 counter (+0)"
    assert beside.metrics["change"] == 0


def test_one_write_more_fails(observe):
    more = observe(AMD, written_again("counter"))
    said = fault("cost.registers", more, observe(AMD))
    assert said == (
        "7 writes: 5 select, 2 counter; the reference's are 6 writes: 5 select, 1 counter"
    )
    fewer = judge("cost.registers", observe(AMD), more)
    assert (fewer.status, fewer.metrics["change"]) == (Status.PASS, -1)


def test_a_write_more_in_a_few_ticks_moves_no_median(observe):
    rarely = observe(AMD, written_again("select", 20))
    assert judge("cost.registers", rarely, observe(AMD)).metrics["change"] == 0


def test_no_trace_no_register_cost(observe):
    for gone in (STILL, without(a(Access))):
        assert (
            undecided("cost.registers", observe(AMD, gone)) == "no registers of ticks were traced"
        )
        assert undecided("cost.registers", observe(AMD), observe(AMD, gone))
