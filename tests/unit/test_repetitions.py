# SPDX-License-Identifier: MIT
"""From repetitions to one verdict: every rule, with every outcome that it has."""

import re
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pytest

from harness.checks import CHECKS
from harness.checks.base import (
    ANY,
    Check,
    Equivalence,
    NoMore,
    Property,
    Recurrence,
)
from harness.guest.callback_records import Callback
from harness.guest.records import Read, Records, Sample, Work
from harness.guest.tool_records import Command, Period, Totals
from harness.model import NOT_MEASURED, GuestEnd, Noise, NoiseLimit, Regime, Status, Verdict
from harness.verdict.repetitions import Said, combine, combine_health, excess, judge_one
from tests.unit.changes import a, every, without

PASS, SKIP, INCONCLUSIVE, ERROR, FAIL = Status
NOISE = ("steal 0.5, more than 0.02",)


def a_check(test):
    return Check("a.check", "?", lambda mine, theirs: None, test)


PROPERTY = a_check(Property("chances"))
RECURRENCE = a_check(Recurrence())
EQUIVALENCE = a_check(Equivalence(lambda mine: {}))
COST = a_check(NoMore(lambda mine: {}, "cycles"))
ALL = (PROPERTY, RECURRENCE, EQUIVALENCE, COST)


def one(status, noisy=(), measured="m", evidence=(), **metrics):
    """What a repetition says, without its number."""
    verdict = Verdict(
        check="a.check",
        status=status,
        measured=measured,
        expected="e",
        evidence=evidence,
        metrics=metrics,
    )
    return verdict, noisy


def said(*verdicts):
    return [Said(number, *verdict) for number, verdict in enumerate(verdicts, 1)]


def numbers(*values, noisy=(), name="target"):
    return [one(PASS, noisy, **{name: value}) for value in values]


def costs(*values, noisy=()):
    return said(*numbers(*values, noisy=noisy, name="cost"))


LOST = one(ERROR, measured=NOT_MEASURED + "QEMU ended")
TORN = one(ERROR, measured="the witnesses disagree", evidence=("log: a", "page: b"))
SKIPPED = one(SKIP, measured="refused")
UNDECIDED = one(INCONCLUSIVE, measured="no event was adjusted")


# --- what all rules have in common ------------------------------------------


@pytest.mark.parametrize("check", ALL, ids=lambda check: type(check.test).__name__)
def test_what_is_common(check):
    assert combine(check, said(*[SKIPPED] * 8)).status is SKIP
    assert combine(check, said(*[UNDECIDED] * 8)).status is INCONCLUSIVE
    assert combine(check, said(*[UNDECIDED] * 7, LOST)).status is ERROR
    assert combine(check, said(*[TORN] * 8)).status is ERROR
    assert combine(check, said(*[UNDECIDED] * 7, TORN)).status is INCONCLUSIVE


@pytest.mark.parametrize("check", [PROPERTY, RECURRENCE], ids=["property", "recurrence"])
def test_a_violation_has_the_faults_of_all_repetitions(check):
    def failed(**faults):
        verdict, noisy = one(FAIL, evidence=("e",))
        return verdict.model_copy(update={"faults": faults}), noisy

    verdict = combine(check, said(failed(a=2), failed(a=1, b=3), *[failed(a=1)] * 4))
    assert verdict.status is FAIL
    assert verdict.faults == {"a": 7, "b": 3}


@pytest.mark.parametrize("check", ALL, ids=lambda check: type(check.test).__name__)
def test_the_tests_name_is_said(check):
    verdict = combine(check, said(*[UNDECIDED] * 8))
    assert verdict.expected == f"e [{check.test.name}]"


def test_witnesses_that_noise_upset_are_cited():
    verdict = combine(PROPERTY, said(one(PASS, chances=500), TORN))
    assert verdict.status is INCONCLUSIVE
    assert verdict.measured == "the witnesses disagree: in 1 of 2 repetitions"
    assert verdict.evidence == ("repetition 2: log: a", "repetition 2: page: b")


# --- properties --------------------------------------------------------------


def test_a_property_that_holds_passes_with_its_bound():
    verdict = combine(PROPERTY, said(*[one(PASS, chances=20)] * 3))
    assert verdict.status is PASS
    assert verdict.metrics["chances"] == 60
    assert verdict.metrics["bound"] == pytest.approx(1 - 0.05 ** (1 / 60))
    assert verdict.measured == (
        "0 violations in 60 chances of 3 repetitions: a rate of at most 4.87% at 95%"
    )


def test_too_few_opportunities_decide_nothing():
    assert combine(PROPERTY, said(one(PASS, chances=58))).status is INCONCLUSIVE
    assert (
        combine(a_check(Property("chances", most=0.1)), said(one(PASS, chances=58))).status is PASS
    )


def test_no_opportunity_decides_nothing():
    assert combine(PROPERTY, said(one(PASS, chances=0))).status is INCONCLUSIVE


def test_what_every_scenario_is_asked_needs_no_opportunity():
    asked = a_check(Property("chances", most=ANY))
    assert combine(asked, said(one(PASS, chances=0))).status is PASS
    assert combine(asked, said(one(PASS, chances=1), UNDECIDED)).status is PASS
    assert combine(asked, said(UNDECIDED)).status is INCONCLUSIVE
    assert combine(asked, said(one(PASS, chances=0), one(FAIL, chances=1))).status is FAIL


def test_repetitions_that_decide_nothing_or_skip_add_no_opportunities():
    verdict = combine(PROPERTY, said(one(PASS, chances=60), UNDECIDED, SKIPPED))
    assert (verdict.status, verdict.metrics["chances"]) == (PASS, 60)


def test_one_violation_fails_in_any_noise_and_beside_any_error():
    bad = one(FAIL, NOISE, "3 releases", ("seen", "again"), chances=9)
    verdict = combine(PROPERTY, said(*[one(PASS, chances=1000)] * 6, bad, LOST, TORN))
    assert verdict.status is FAIL
    assert verdict.measured == "violated in 1 of 9 repetitions; 7: 3 releases"
    assert verdict.evidence == ("repetition 7: seen", "repetition 7: again")
    assert verdict.metrics["violated"] == 1


# --- properties that noise can upset -----------------------------------------

GOOD, BAD = one(PASS, n=1), one(FAIL, evidence=("seen",), n=1)
NOISY_BAD = one(FAIL, NOISE, evidence=("seen",), n=1)


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        ([GOOD] * 6, PASS),
        ([BAD] * 6, FAIL),
        ([GOOD] * 7 + [BAD], INCONCLUSIVE),
        ([GOOD] + [BAD] * 7, INCONCLUSIVE),
        # Two-sided, five of five is p = 0.0625.
        ([GOOD] * 5, INCONCLUSIVE),
        ([BAD] * 5, INCONCLUSIVE),
        ([BAD] * 5 + [UNDECIDED], INCONCLUSIVE),
        ([BAD] * 6 + [UNDECIDED], FAIL),
        ([BAD] * 6 + [SKIPPED], FAIL),
        ([BAD] * 5 + [NOISY_BAD], INCONCLUSIVE),
        ([BAD] * 6 + [NOISY_BAD], FAIL),
        ([BAD] * 6 + [LOST], ERROR),
    ],
)
def test_a_recurrence(verdicts, status):
    assert combine(RECURRENCE, said(*verdicts)).status is status


def test_a_recurrence_says_its_rate_and_p():
    verdict = combine(RECURRENCE, said(*[BAD] * 8))
    assert verdict.measured == "violated in 8 of 8 repetitions, rate 63% to 100%, p 0.0078; 1: m"
    assert verdict.evidence == ("repetition 1: seen",)
    noisy = combine(RECURRENCE, said(*[NOISY_BAD] * 8))
    assert noisy.measured.endswith("; noise in 8 of 8 (steal)")


# --- measurements against a tolerance ----------------------------------------

NEAR = (0.01, -0.02, 0.03, 0.0, 0.02, -0.01, 0.015, 0.005)
FAR = tuple(value + 0.5 for value in NEAR)
ACROSS = tuple(value + 0.1 for value in NEAR)


@pytest.mark.parametrize(
    ("values", "status"),
    [
        (NEAR, PASS),
        (FAR, FAIL),
        ([-value for value in FAR], FAIL),
        (ACROSS, INCONCLUSIVE),
        # One repetition that is far off, of eight, is no middle.
        ((*NEAR[:7], 9.0), INCONCLUSIVE),
        (NEAR[:5], INCONCLUSIVE),
        (FAR[:5], INCONCLUSIVE),
        ([0.0] * 8, PASS),
        ([0.1] * 8, PASS),
        ([0.11] * 8, FAIL),
        ([0.02, 0.02, 0.03, 0.03, -0.02, -0.02, 0.0, 0.0], PASS),
    ],
)
def test_an_equivalence(values, status):
    verdict = combine(EQUIVALENCE, said(*numbers(*values)), tolerance=0.1)
    assert verdict.status is status


def test_an_equivalence_says_its_interval_p_and_n():
    verdict = combine(EQUIVALENCE, said(*numbers(*NEAR)), tolerance=0.1)
    assert verdict.measured == "target +0.62% [-1.00%, +2.00%], p 0.0039, n 8"
    assert verdict.metrics["target"] == pytest.approx(0.00625)
    assert not verdict.evidence
    failed = combine(EQUIVALENCE, said(*numbers(*FAR)), tolerance=0.1)
    assert failed.evidence[0].startswith("target in each repetition: +51.00%, +48.00%, ")


def test_the_worst_quantity_counts():
    both = [one(PASS, good=good, bad=bad) for good, bad in zip(NEAR, FAR, strict=True)]
    verdict = combine(EQUIVALENCE, said(*both), tolerance=0.1)
    assert verdict.status is FAIL
    assert [line.split()[0] for line in verdict.evidence] == ["bad"]


def test_what_fails_in_noise_is_not_decided():
    """It fails where the quiet repetitions alone are enough to say so."""

    def judged(quiet, loud):
        values = numbers(*FAR[:quiet]) + numbers(*FAR[quiet : quiet + loud], noisy=NOISE)
        return combine(EQUIVALENCE, said(*values), tolerance=0.1)

    assert judged(6, 2).status is FAIL
    assert judged(5, 3).status is INCONCLUSIVE
    assert judged(0, 8).measured.endswith("n 8; noise in 8 of 8 (steal)")


def test_what_passes_in_noise_passes():
    assert combine(EQUIVALENCE, said(*numbers(*NEAR, noisy=NOISE)), tolerance=0.1).status is PASS


# --- costs -------------------------------------------------------------------

THEIRS = (100, 101, 102, 103, 104, 105)
LESS = tuple(value - 30 for value in THEIRS)
MORE = tuple(value + 30 for value in THEIRS)


@pytest.mark.parametrize(
    ("mine", "theirs", "status"),
    [
        (LESS, THEIRS, PASS),
        (THEIRS, THEIRS, PASS),
        (MORE, THEIRS, FAIL),
        ([value + 10 for value in THEIRS], THEIRS, INCONCLUSIVE),
        (MORE[:2], THEIRS[:2], INCONCLUSIVE),
        ([100] * 6, [100] * 6, PASS),
        ([200] * 6, [100] * 6, FAIL),
    ],
)
def test_a_cost(mine, theirs, status):
    assert combine(COST, costs(*mine), costs(*theirs), tolerance=0.1).status is status


def test_a_cost_says_what_it_is_against():
    verdict = combine(COST, costs(*MORE), costs(*THEIRS), tolerance=0.1)
    assert verdict.measured == "132 cycles (+30 [+27, +33], p 1, n 6 and 6)"
    assert verdict.expected.startswith("at most 113 cycles [Mann-Whitney")
    assert verdict.evidence[1] == "reference, each repetition: 100, 101, 102, 103, 104, 105"
    assert verdict.metrics["change"] == 30


def test_a_cost_without_a_reference_is_told():
    verdict = combine(COST, costs(*MORE))
    assert (verdict.status, verdict.measured) == (PASS, "132 e")


def test_a_cost_that_fails_in_noise_is_not_decided():
    loud = costs(*MORE, noisy=NOISE)
    assert combine(COST, loud, costs(*THEIRS), tolerance=0.1).status is INCONCLUSIVE
    assert combine(COST, costs(*MORE), costs(*THEIRS, noisy=NOISE)).status is INCONCLUSIVE


# --- the guests --------------------------------------------------------------

DONE, ENDED = one(PASS, measured="done"), one(FAIL, measured="panic", evidence=("Oops",))
GONE = one(ERROR, measured="QEMU ended")


@pytest.mark.parametrize(
    ("verdicts", "ends", "status"),
    [
        ([DONE] * 3, [GuestEnd.DONE] * 3, PASS),
        ([DONE, ENDED], [GuestEnd.DONE, GuestEnd.PANIC], FAIL),
        ([DONE, ENDED], [GuestEnd.DONE, GuestEnd.HANG], INCONCLUSIVE),
        ([DONE, ENDED], [GuestEnd.DONE, GuestEnd.STALL], INCONCLUSIVE),
        ([ENDED, ENDED], [GuestEnd.HANG, GuestEnd.STALL], FAIL),
        ([DONE, GONE], [GuestEnd.DONE, GuestEnd.QEMU_FAILED], ERROR),
        ([GONE, ENDED], [GuestEnd.QEMU_FAILED, GuestEnd.PANIC], FAIL),
        ([GONE, ENDED], [GuestEnd.QEMU_FAILED, GuestEnd.HANG], ERROR),
    ],
)
def test_the_health_of_all(verdicts, ends, status):
    assert combine_health(said(*verdicts), ends).status is status


# --- noise -------------------------------------------------------------------


def test_noise_beyond_a_limit_is_said():
    limits = [
        NoiseLimit(name="steal", most=0.02, why="w"),
        NoiseLimit(name="load", most=1, why="w"),
    ]
    assert excess(Noise(seconds=1, steal=0.03, load=1), limits) == ("steal 0.03, more than 0.02",)
    assert excess(Noise(seconds=1, steal=0.02, load=2), limits) == ("load 2, more than 1",)
    assert excess(Noise(seconds=1), limits) == ()
    assert excess(None, limits) == ()


# --- the checks --------------------------------------------------------------


def test_each_measurement_has_a_tolerance_on_each_statistical_machine(catalog):
    wanted = {n for n, c in CHECKS.items() if isinstance(c.test, Equivalence)} | {"cost.adjustment"}
    for machine in catalog.machines.values():
        if machine.regime is Regime.STATISTICAL:
            assert machine.tolerances.keys() == wanted, machine.name
            assert machine.repetitions >= 6


PLAYED = [
    ("6.12/cycles-cpu", "conservation.twin"),
    ("6.12/cycles-cpu", "conservation.clock"),
    ("6.12/cycles-cpu", "sampling.rate"),
    ("6.12/exact-user", "counting.exact"),
    ("6.12/exact-levels", "counting.levels"),
    ("6.12/overflow-cycles", "sampling.overflow"),
    ("6.12/period-ioctl", "sampling.reprogram"),
]


@pytest.fixture
def noisy(observe, catalog):
    """An observation as one of the noisy machine."""

    def make(name, *changes):
        seen = observe(name, *changes)
        machine = catalog.machines["aarch64-tcg-noisy"]
        return replace(seen, machine=machine)

    return make


@pytest.mark.parametrize(("name", "check"), PLAYED)
def test_what_is_exact_lies_within_any_tolerance(noisy, name, check):
    verdict = judge_one(CHECKS[check], noisy(name), None)
    assert verdict.status is PASS, verdict
    assert verdict.metrics


HALF = cycle((True, False))


def more(event, share):
    """Counts of an event that are too high by a share of them."""
    return lambda record: tuple(
        (number, int(count * (1 + share)) if number == event else count)
        for number, count in record.counts
    )


@pytest.mark.parametrize(
    ("name", "check", "changes", "quantity", "off"),
    [
        (
            "6.12/cycles-cpu",
            "conservation.twin",
            [every(a(Read), counts=more(2, 0.05)), every(a(Sample, id=2), counts=more(2, 0.05))],
            "target",
            0.05,
        ),
        (
            "6.12/cycles-cpu",
            "conservation.clock",
            [every(a(Sample), enabled=lambda sample: sample.enabled * 9 // 10)],
            "target",
            0.1,
        ),
        (
            "6.12/cycles-cpu",
            "sampling.rate",
            [without(a(Sample, period=lambda _: next(HALF)))],
            "target",
            -0.5,
        ),
        (
            "6.12/overflow-cycles",
            "sampling.overflow",
            [without(a(Sample, period=lambda _: next(HALF)))],
            "target",
            -0.5,
        ),
        (
            "6.12/exact-user",
            "counting.exact",
            [every(a(Work), after=lambda work: tuple((n, c * 11 // 10) for n, c in work.after))],
            "instructions",
            0.1,
        ),
        (
            "6.12/exact-levels",
            "counting.levels",
            [every(a(Read), counts=more(2, 1.0))],
            "both",
            -0.5,
        ),
        ("6.12/period-ioctl", "sampling.reprogram", [without(a(Sample))], "fixed 50000", 1.0),
    ],
)
def test_each_measure_sees_what_is_off(noisy, name, check, changes, quantity, off):
    verdict = judge_one(CHECKS[check], noisy(name, *changes), None)
    assert verdict.status is FAIL
    assert verdict.metrics[quantity] == pytest.approx(off, abs=0.06)
    assert any(line.startswith(f"{quantity}: ") for line in verdict.evidence)


@pytest.mark.parametrize("check", [name for _, name in PLAYED])
def test_a_measure_of_nothing_decides_nothing(noisy, check):
    name = next(name for name, played in PLAYED if played == check)
    nothing = noisy(name, lambda records: [])
    assert judge_one(CHECKS[check], nothing, None).status is INCONCLUSIVE


@pytest.mark.parametrize(
    ("step", "failed", "lost", "status"),
    [
        (1_000_000, 0, 0, PASS),
        (2_000_000, 0, 0, FAIL),
        (1_000_000, 1, 0, FAIL),
        (1_000_000, 0, 400, FAIL),
    ],
)
def test_perf_record_is_measured(catalog, observe, step, failed, lost, status):
    records = [
        Command(kind="command", argv=("perf", "record"), status=failed, seconds=1),
        *(
            Period(kind="period", event="cycles:u", time=step * number, period=1000)
            for number in range(1000)
        ),
        Totals(kind="totals", samples=200, lost=lost),
    ]
    seen = observe(Records(records), scenario="perf-record")
    machine = catalog.machines["aarch64-tcg-noisy"]
    verdict = judge_one(CHECKS["tool.record"], replace(seen, machine=machine), None)
    assert verdict.status is status


def test_a_cost_is_measured(noisy):
    verdict = judge_one(CHECKS["cost.adjustment"], noisy("6.12/cost-cycles"), None)
    assert verdict.status is PASS
    assert verdict.measured == f"{verdict.metrics['cost']:.0f} cycles per adjustment"
    exact = CHECKS["cost.adjustment"].judge(noisy("6.12/cost-cycles"), None)
    assert verdict.metrics["cost"] == pytest.approx(exact.metrics["instructions"], rel=0.05)


def test_a_machine_without_a_tolerance_decides_nothing(noisy):
    seen = noisy("6.12/cycles-cpu")
    bare = seen.machine.model_copy(update={"tolerances": {}})
    verdict = judge_one(CHECKS["sampling.rate"], replace(seen, machine=bare), None)
    assert verdict.status is INCONCLUSIVE
    assert verdict.measured == "aarch64-tcg-noisy has no tolerance for it"


def test_a_branch_that_is_taken_by_chance_is_asked_of_many_drops_only(noisy, observe, catalog):
    """The capture without its second half, where the branch is taken."""
    early = without(lambda record: getattr(record, "time", 0) > 200_000_000)
    judge = CHECKS["retention.reload"].judge
    assert judge(observe("6.12/cycles-cpu", early), None).status is INCONCLUSIVE
    seen = noisy("6.12/cycles-cpu", early)
    assert judge(seen, None).status is PASS
    many = replace(seen, scenario=catalog.scenarios["drops"])
    assert judge(many, None).status is INCONCLUSIVE


def test_what_the_narrowest_counter_cannot_hold_is_not_judged_where_widths_vary(catalog, observe):
    """A host's counters of 64 bits, programmed as the kernel does to those."""
    wide = every(
        a(Callback, call="add", id=3),
        left=lambda one: (one.left[0], 2**62),
        prev=lambda one: (one.prev[0], 2**64 - 2**62),
    )
    judge = CHECKS["retention.reload"].judge
    assert judge(observe("6.12/cycles-cpu", wide), None).status is FAIL
    seen = observe("6.12/cycles-cpu", wide)
    on_hardware = replace(seen, machine=catalog.machines["aarch64-kvm"])
    assert judge(on_hardware, None).status is PASS


def test_a_skid_leaves_a_rate_to_be_judged(catalog, observe):
    seen = observe("6.12/cycles-cpu")
    on_hardware = replace(seen, machine=catalog.machines["x86_64-kvm"])
    assert CHECKS["sampling.rate"].test.measure(on_hardware)["target"] == pytest.approx(0, abs=0.02)


def test_the_documentation_says_which_test_each_check_has():
    text = (Path(__file__).parents[2] / "docs/architecture.md").read_text()
    table = text.split("| check | is |")[1].split("\n\n")[0]
    told = {
        "a property |": Property,
        "a property that noise can upset |": Recurrence,
        "a measurement |": Equivalence,
        "a cost |": NoMore,
    }
    found = {}
    for line in table.splitlines():
        kind = next((kind for end, kind in told.items() if line.endswith(end)), None)
        for name in re.findall(r"`([^`]+)`", line) if kind else ():
            prefix = name.removesuffix("*")
            names = [n for n in CHECKS if n == name or (prefix != name and n.startswith(prefix))]
            assert names, name
            found |= dict.fromkeys(names, kind)
    assert found == {name: type(check.test) for name, check in CHECKS.items()}
