# SPDX-License-Identifier: MIT
"""Does no other CPU take the counter of an adjusted event: harness/checks/competition.py."""

from harness.checks.competition import losses
from harness.guest.callback_records import Callback
from harness.guest.records import Read
from harness.model import Status
from harness.report.timeline import SHARED, timeline
from tests.unit.changes import a, every, fault, judge, undecided, without

KEPT, LOST = "6.12@x86_64-tcg/competition", "6.12+pre-callbacks@x86_64-tcg/competition"
CHECK = "retention.competition"


def test_a_counter_that_is_lost_to_another_cpu(observe):
    said = fault(CHECK, observe(LOST))
    assert said.startswith("target (id 2) on CPU 0 gave up counter 0 in the tick at TIME; ")
    assert "rival (id 6) on CPU 1 took it with the add of TIME; it had none to the end" in said
    assert "its count stood still for " in said


def test_where_it_is_kept_others_ask_in_vain(observe):
    verdict = judge(CHECK, observe(KEPT))
    assert verdict.status is Status.PASS
    assert verdict.metrics["lost"] == 0 and verdict.metrics["asked"] > 1000


def test_a_count_that_stands_still_without_a_loss_is_a_contradiction(observe):
    kept = every(a(Read, id=2), counts=((2, 5),))
    verdict = judge(CHECK, observe(KEPT, kept))
    assert verdict.status is Status.ERROR
    assert verdict.evidence[0].startswith("the log shows no loss of target (id 2), whose count")


def test_without_anyone_who_asks_nothing_is_decided(observe):
    others = [without(a(Callback, call="add", id=event)) for event in (5, 6)]
    assert undecided(CHECK, observe(KEPT, *others)).startswith("no one competed")


def called(call, time, cpu, event, idx, *, ret=0, tick=False):
    return Callback(
        kind="callback", call=call, time=time, cpu=cpu, id=event, idx=idx, ret=ret, tick=tick
    )


def test_a_loss_ends_where_the_event_gets_a_counter_again():
    (loss,) = losses(
        [
            called("add", 1, 0, 2, (-1, 3)),
            called("add", 4, 1, 6, (-1, 3)),  # began before the del below
            called("del", 5, 0, 2, (3, -1), tick=True),
            called("add", 6, 0, 2, (-1, -1), ret=-22, tick=True),
            called("add", 7, 0, 2, (-1, -1), ret=-22, tick=True),
            called("del", 8, 1, 6, (3, -1)),
            called("add", 9, 0, 2, (-1, 3), tick=True),
        ]
    )
    assert (loss.event, loss.cpu, loss.counter, loss.begin, loss.end) == (2, 0, 3, 5, 9)
    assert loss.taker is not None and loss.taker.id == 6


def test_who_took_the_counter_may_be_told_after_the_refusal():
    (loss,) = losses(
        [
            called("add", 1, 0, 2, (-1, 3)),
            called("del", 5, 0, 2, (3, -1), tick=True),
            called("add", 6, 0, 2, (-1, -1), ret=-22, tick=True),
            called("add", 7, 1, 5, (-1, 1)),
            called("add", 8, 1, 6, (-1, 3)),
        ]
    )
    assert loss.taker is not None and loss.taker.id == 6


def test_an_add_in_the_same_tick_is_no_loss():
    calls = [
        called("add", 1, 0, 2, (-1, 3)),
        called("del", 5, 0, 2, (3, -1), tick=True),
        called("add", 6, 0, 2, (-1, 3), tick=True),
    ]
    assert losses(calls) == []


def test_a_refusal_outside_a_tick_is_no_loss():
    assert losses([called("add", 1, 1, 6, (-1, -1), ret=-22)]) == []


def test_the_timeline_shows_who_held_the_nodes_counters(load):
    line = timeline(load(LOST), shared=True)
    assert {bar.cpu for bar in line.bars} == {SHARED}
    assert {counter for _, counter in line.counters} == {0, 1, 2, 3}
    holders = [bar.event for bar in sorted(line.bars, key=lambda bar: bar.begin) if not bar.counter]
    assert holders[0] == "target, CPU 0" and holders[-1] == "rival, CPU 1"
