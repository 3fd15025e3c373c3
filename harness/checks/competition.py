# SPDX-License-Identifier: MIT
"""Competition: no other CPU takes the counter of an event that is being adjusted.

Some counters are one another's neighbours across CPUs: AMD's NorthBridge events share
four of a node's, which amd_get_event_constraints() in arch/x86/events/amd/core.c gives
to one CPU at a time.  del() gives such a counter back to all, stop() does not.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

from harness.checks.adjustments import event_names, frequency_events, on_hardware
from harness.checks.base import (
    Check,
    Observation,
    Property,
    disagreement,
    inconclusive,
    milliseconds,
    named,
    verdict,
)
from harness.checks.points import events
from harness.guest.callback_records import Callback
from harness.guest.records import Read
from harness.model import Verdict

COMPETITION = "retention.competition"

# Every event is read at the least so often; a count that stands still for twice that
# is not counted.
_STILL_NS = 10_000_000


@dataclass(frozen=True)
class Loss:
    """An event that a tick took off its counter and that got none back, and who had it."""

    event: int
    cpu: int
    counter: int
    begin: int
    end: int | None
    taker: Callback | None


def losses(calls: list[Callback]) -> list[Loss]:
    """Each loss in a callback log, in order; `end` is None for one that lasted.

    The log has a call where it began: the add of who took a counter may stand before
    the del of who lost it, on another CPU, or behind its add that was refused.
    """
    holders: dict[int, Callback] = {}
    left: dict[int, Callback] = {}
    open_losses: dict[int, Loss] = {}
    found: list[Loss] = []
    for call in calls:
        if call.call == "del":
            if call.idx[0] in holders and holders[call.idx[0]].id == call.id:
                del holders[call.idx[0]]
            if call.tick:
                left[call.id] = call
        elif call.call == "add" and call.idx[1] >= 0:
            holders[call.idx[1]] = call
            left.pop(call.id, None)
            if call.id in open_losses:
                found.append(replace(open_losses.pop(call.id), end=call.time))
            open_losses = {event: _taken(loss, call) for event, loss in open_losses.items()}
        elif call.call == "add" and call.tick and call.id in left:
            gone = left[call.id]
            taker = holders.get(gone.idx[0])
            loss = Loss(call.id, gone.cpu, gone.idx[0], gone.time, None, taker)
            open_losses.setdefault(call.id, loss)
    return found + list(open_losses.values())


def _taken(loss: Loss, add: Callback) -> Loss:
    """A loss, with who took the counter if that is told only now."""
    return replace(loss, taker=add) if not loss.taker and loss.counter == add.idx[1] else loss


def _standstill(observation: Observation, event: int) -> int:
    """The longest time between two reads in which an event's count did not grow, in ns."""
    reads = [read for read in observation.records.of(Read) if read.id == event and read.enabled]
    longest, since = 0, 0
    for before, after in pairwise(reads):
        grown = dict(after.counts)[event] > dict(before.counts)[event]
        since = 0 if grown else since + after.time - before.time
        longest = max(longest, since)
    return longest


def _told(loss: Loss, names: dict[int, str], still: int) -> str:
    taker = "no one is seen to have it"
    if loss.taker:
        taker = (
            f"{named(names, loss.taker.id)} on CPU {loss.taker.cpu} took it with the add of "
            f"{milliseconds(loss.taker.time)}"
        )
    until = f"until {milliseconds(loss.end)}" if loss.end else "to the end"
    return (
        f"{named(names, loss.event)} on CPU {loss.cpu} gave up counter {loss.counter} in the tick "
        f"at {milliseconds(loss.begin)}; {taker}; it had none {until}, and its count stood "
        f"still for {milliseconds(still)}"
    )


def judge_competition(observation: Observation, _: Observation | None) -> Verdict:
    """An adjusted event keeps its counter, whoever else asks for one.

    Two witnesses: the callback log (an add in the tick that was refused) and the
    counts (one that stands still though its event is enabled).
    """
    expected = "every adjusted event keeps its counter; its count never stands still"
    records = observation.records
    names = event_names(records)
    mine = frequency_events(records) & set(events(observation))
    calls = on_hardware(records)
    asked = sum(call.call == "add" and call.id not in mine for call in calls)
    if not mine or not asked:
        return inconclusive(COMPETITION, "no one competed with an adjusted event", expected)
    found = [loss for loss in losses(calls) if loss.event in mine]
    still = {event: _standstill(observation, event) for event in sorted(mine)}
    lost = {loss.event for loss in found}
    contradictions = [
        f"the log shows no loss of {named(names, event)}, whose count stood still for "
        f"{milliseconds(ns)}"
        for event, ns in still.items()
        if ns > _STILL_NS and event not in lost
    ]
    if contradictions:
        return disagreement(COMPETITION, contradictions, expected)
    return verdict(
        COMPETITION,
        [_told(loss, names, still[loss.event]) for loss in found],
        measured=f"{len(found)} counters lost, {asked} times asked for by others",
        expected=expected,
        metrics={"lost": len(found), "asked": asked, "still_ns": max(still.values())},
    )


CHECKS = (
    Check(
        COMPETITION,
        "Does an adjusted event keep a counter that other CPUs want?",
        judge_competition,
        Property("asked"),
    ),
)
