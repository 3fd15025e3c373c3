# SPDX-License-Identifier: MIT
"""Throttling: an event that samples too often stands still until the next tick, no longer."""

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from harness.checks.adjustments import event_names
from harness.checks.base import (
    Check,
    Observation,
    Recurrence,
    inconclusive,
    milliseconds,
    named,
    verdict,
)
from harness.checks.points import events, groups, main_steps, number_in, samples
from harness.checks.releases import GROUPS_ARE_THROTTLED
from harness.guest.callback_records import Callback
from harness.guest.records import Event, Throttle
from harness.model import Verdict

THROTTLE = "sampling.throttle"

# hw.interrupts of a throttled event: MAX_INTERRUPTS in kernel/events/core.c.
_MAX_INTERRUPTS = 2**64 - 1
# kernel.perf_event_max_sample_rate of a kernel that nobody told otherwise.
_SAMPLE_RATE = 100_000
_SAID = {"throttle": "throttled", "unthrottle": "let go"}


@dataclass(frozen=True)
class Turn:
    """An event was throttled, or let go again."""

    kind: Literal["throttle", "unthrottle"]
    time: int


def _in_ring(observation: Observation, event: Event) -> list[Turn]:
    """What an event's ring says of it."""
    return [
        Turn(throttle.kind, throttle.time)
        for throttle in observation.records.of(Throttle)
        if throttle.stream == event.id
    ]


def _in_log(calls: Sequence[Callback], event: Event) -> list[Turn]:
    """What the callback log says of an event, whose hw.interrupts mark it while it is throttled."""
    found, throttled = [], False
    for call in calls:
        if call.id != event.id or not call.is_event:
            continue
        marked = call.interrupts[0] == _MAX_INTERRUPTS
        if marked != throttled:
            found.append(Turn("throttle" if marked else "unthrottle", call.time))
        throttled = marked
    return found


def _alternation_faults(turns: list[Turn], ticks: list[int], name: str, end: int) -> list[str]:
    """Turns of one event that do not alternate, or come too late.

    What is late is told by the ticks that came: a host may hold back a tick.
    """
    faults = []
    if turns[0].kind != "throttle":
        faults.append(f"{name}: UNTHROTTLE first, at {milliseconds(turns[0].time)}")
    for before, after in pairwise(turns):
        if before.kind == after.kind:
            faults.append(f"{name}: {after.kind.upper()} twice, at {milliseconds(after.time)}")
        elif before.kind == "throttle" and _ticks_in(ticks, before.time, after.time) > 2:
            faults.append(
                f"{name}: throttled at {milliseconds(before.time)}, let go at "
                f"{milliseconds(after.time)}, two ticks later"
            )
    last = turns[-1]
    if last.kind == "throttle" and _ticks_in(ticks, last.time, end) > 2:
        faults.append(
            f"{name}: throttled at {milliseconds(last.time)} and never let go, though it was "
            f"enabled until {milliseconds(end)}"
        )
    return faults


def _ticks_in(ticks: list[int], begin: int, end: int) -> int:
    """How many ticks came in a time."""
    return sum(begin < time <= end for time in ticks)


def _crowded_ticks(
    observation: Observation, ticks: list[int], event: Event, name: str
) -> list[str]:
    """Ticks in which an event took more samples than perf_event_max_sample_rate allows."""
    taken, allowed = samples(observation, event.id), _allowed(observation)
    return [
        f"{name}: {number} samples in the tick from {milliseconds(begin)}"
        for begin, end in pairwise(ticks)
        if (number := number_in(taken, begin, end)) > allowed
    ]


def _allowed(observation: Observation) -> int:
    """Samples that a tick may take: max_samples_per_tick, the sample rate over HZ, rounded up."""
    rate = observation.scenario.sysctl.get("kernel.perf_event_max_sample_rate", _SAMPLE_RATE)
    return -(-rate * observation.tick_ns // 1_000_000_000)


def _event_faults(
    observation: Observation, event: Event, turns: list[Turn], ticks: list[int]
) -> list[str]:
    """What is wrong with one event: too many samples, or its turns; or it does not go on."""
    name = named(event_names(observation.records), event.id)
    faults = _crowded_ticks(observation, ticks, event, name)
    if not turns:
        return faults
    steps = main_steps(observation)
    end = next((step.begin for step in steps if step.words[0] == "disable"), steps[-1].end)
    faults += _alternation_faults(turns, ticks, name, end)
    released = [turn.time for turn in turns if turn.kind == "unthrottle"]
    went_on = released and number_in(samples(observation, event.id), released[0], end)
    if event.samples and released and not went_on:
        faults.append(f"{name}: no sample after {milliseconds(released[0])}: it never went on")
    return faults


def _apart(turns: dict[int, list[Turn]], ticks: list[int], names: dict[int, str]) -> list[str]:
    """Turns that not all members of a group took, from one tick to the next."""
    taken = {
        event: {(turn.kind, bisect(ticks, turn.time)): turn for turn in found}
        for event, found in turns.items()
    }
    together = {place: turn for found in taken.values() for place, turn in found.items()}
    return [
        f"{named(names, event)}: its group was {_SAID[together[place].kind]} at "
        f"{milliseconds(together[place].time)}, and it was not"
        for event, found in taken.items()
        for place in sorted(together.keys() - found.keys(), key=lambda place: place[1])
    ]


def _group_faults(
    observation: Observation, leader: int, turns: dict[int, list[Turn]], ticks: list[int]
) -> list[str]:
    """What is wrong with a group that was throttled together.

    A leader that samples writes what the log shows.
    """
    names = event_names(observation.records)
    faults = _apart(turns, ticks, names)
    first = events(observation)[leader]
    said, seen = _in_ring(observation, first), turns[leader]
    if first.samples and [turn.kind for turn in said] != [turn.kind for turn in seen]:
        faults.append(
            f"{named(names, leader)}: its ring has {len(said)} THROTTLE and UNTHROTTLE, the "
            f"callback log {len(seen)}"
        )
    return faults


def judge_throttle(observation: Observation, _: Observation | None) -> Verdict:
    """A tick takes no more samples than allowed, and the next one lets the event go on.

    Where a group is throttled as one, so do all of its members; what the leader's ring says
    of it, the log shows of each.
    """
    expected = "THROTTLE and UNTHROTTLE by turns; samples a tick <= allowed; it goes on"
    records = observation.records
    ticks = [call.time for call in records.calls if call.call == "tick"]
    together = observation.version in GROUPS_ARE_THROTTLED
    faults, number = [], 0
    for leader, group in groups(observation).items():
        turns = {
            event.id: _in_log(records.calls, event) if together else _in_ring(observation, event)
            for event in group
        }
        for event in group:
            faults += _event_faults(observation, event, turns[event.id], ticks)
        times = [sum(turn.kind == "throttle" for turn in found) for found in turns.values()]
        number += max(times) if together else sum(times)
        faults += _group_faults(observation, leader, turns, ticks) if together else []
    if not number and not faults:
        return inconclusive(THROTTLE, "no event was throttled", expected)
    return verdict(
        THROTTLE,
        faults,
        measured=f"throttled {number} times, {len(faults)} faults",
        expected=expected,
        metrics={"throttled": number, "allowed": _allowed(observation)},
    )


CHECKS = (
    Check(
        THROTTLE,
        "Is a throttled event let go again, and none too early?",
        judge_throttle,
        # An NMI may come where the tick has begun and its samples are not yet counted anew.
        Recurrence(),
    ),
)
