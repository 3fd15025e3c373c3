# SPDX-License-Identifier: MIT
"""Neighbours: events that ran while work was done have counted it, and alike."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise

from harness.checks.adjustments import event_names
from harness.checks.base import (
    ANY,
    Check,
    Observation,
    Property,
    inconclusive,
    milliseconds,
    named,
    verdict,
)
from harness.checks.points import (
    MainStep,
    events,
    exact,
    main_steps,
    read_windows,
    reset_events,
)
from harness.checks.stays import NEVER, event_calls, stays
from harness.guest.records import Event, Read, Throttle
from harness.model import Verdict

NEIGHBOURS = "counting.neighbours"

_HARDWARE, _SOFTWARE = 0, 1
_CYCLES, _INSTRUCTIONS = 0, 1
# cpu-clock and task-clock: they count the time between two moments of the kernel's own.
_CLOCKS = (0, 1)
# hw.interrupts of a throttled event: MAX_INTERRUPTS in kernel/events/core.c.
_MAX_INTERRUPTS = 2**64 - 1

# From the reading of a count to the time that stands beside it, with a tick in between.
_READ_NS = 50_000
# From a clock's own time to that of its event, each time that it goes on or off.
_SWITCH_NS = 20_000
_ORDERS = (
    *("enable", "disable", "enable-group", "disable-group"),
    *("refresh", "reset", "reset-group", "compete"),
)
# So long must an event have run, and a neighbour have counted so much, to be compared.
_LONG_NS = 2_000_000
_MANY = 100_000
# Work of which user space is the most: what a step of work has at the least.
_SHARE = 0.5


@dataclass(frozen=True)
class Interval:
    """What two reads of a group that follow each other say of one event; times in ns."""

    event: Event
    begin: int
    end: int
    enabled: int
    running: int
    counted: int

    @property
    def whole(self) -> bool:
        """True if it was on a counter whenever it was enabled, and was at all."""
        return 0 < self.running == self.enabled

    def gap(self, other: "Interval") -> int:
        """For how long at the most one counted and the other did not: they are read in turn."""
        if self.event.leader == other.event.leader:
            return 0
        apart = abs(self.begin - other.begin) + abs(self.end - other.end)
        return apart + 2 * _READ_NS


def _intervals(observation: Observation) -> Iterator[list[Interval]]:
    """The intervals of all events from one round of reads to the next, in which all were read."""
    known = events(observation)
    rounds: dict[int, dict[int, Read]] = {}
    for number, read in _rounds(observation):
        rounds.setdefault(number, {})[read.id] = read
    for before, after in pairwise(rounds.values()):
        found = []
        for leader in before.keys() & after.keys():
            first, second = before[leader], after[leader]
            was, now = dict(first.counts), dict(second.counts)
            found += [
                Interval(
                    known[event],
                    first.time,
                    second.time,
                    second.enabled - first.enabled,
                    second.running - first.running,
                    now[event] - was[event],
                )
                for event in was.keys() & now.keys() & known.keys()
            ]
        yield sorted(found, key=lambda interval: interval.event.id)


def _rounds(observation: Observation) -> Iterator[tuple[int, Read]]:
    """(round, read): main reads all groups in turn, each once in a round."""
    number, seen = 0, set[int]()
    for _, read in read_windows(observation):
        if read.id in seen:
            number, seen = number + 1, set()
        seen.add(read.id)
        yield number, read


def _orders(observation: Observation) -> list[tuple[int, set[int]]]:
    """(begin, events) of each step that turns events on or off, or resets them.

    It does so before the reads at its end.
    """
    found = []
    for step in main_steps(observation):
        if step.words[0] in _ORDERS:
            named_here = {e for e in events(observation).values() if e.name == step.words[1]}
            leaders = {event.leader for event in named_here}
            members = {e.id for e in events(observation).values() if e.leader in leaders}
            found.append((step.begin, members))
    return found


def _throttled(observation: Observation) -> dict[int, list[tuple[int, int]]]:
    """When each event did not count because it was throttled, by its ring and by the log.

    Of a group, all members: since 6.16 it is throttled as one.
    """
    own: dict[int, list[tuple[int, int]]] = {}
    since: dict[int, int] = {}
    for record in observation.records.of(Throttle):
        if record.kind == "throttle":
            since[record.id] = record.time
        else:
            own.setdefault(record.id, []).append((since.pop(record.id, 0), record.time))
    for event, time in since.items():
        own.setdefault(event, []).append((time, NEVER))
    for event, calls in event_calls(observation).items():
        marked = [call.time for call in calls if _MAX_INTERRUPTS in call.interrupts]
        if marked:
            own.setdefault(event, []).append((0, NEVER))
    known = events(observation)
    found: dict[int, list[tuple[int, int]]] = {}
    for event, spans in own.items():
        leader = known[event].leader if event in known else event
        found.setdefault(leader, []).extend(spans)
    return found


def _switched_alone(observation: Observation) -> set[int]:
    """Leaders of groups with a member that is off while its leader counts.

    A group is read with the leader's times, which say nothing of such a member.
    """
    switched = {
        step.words[1]
        for step in main_steps(observation)
        if step.words[0] in ("enable", "disable", "refresh", "enable-group")
    }
    specs = observation.scenario.specs
    return {
        event.leader
        for event in events(observation).values()
        if event.leader != event.id
        and (event.name in switched or (event.name in specs and specs[event.name].disabled))
    }


def _scope(event: Event) -> tuple[str, int, str, bool]:
    return (event.task, event.cpu, event.cgroup, event.inherit)


def _comparable(observation: Observation) -> Iterator[list[Interval]]:
    """The intervals without those of events that stood still in them, or were ordered about."""
    throttled, orders = _throttled(observation), _orders(observation)
    alone = _switched_alone(observation)
    for found in _intervals(observation):
        yield [
            one
            for one in found
            if one.whole
            and one.event.leader not in alone
            and not any(
                begin <= one.end and one.begin <= end
                for begin, end in throttled.get(one.event.leader, [])
            )
            and not any(
                one.event.id in members and one.begin <= begin < one.end
                for begin, members in orders
            )
        ]


def _apart(observation: Observation, one: Interval, other: Interval) -> bool:
    """True if two events of one kind and place counted differently while both ran.

    In user space nothing stops one of them alone; of the kernel's own counts, adjusting a
    neighbour takes a part that is not known, and a host what it likes.  Where CPUs share
    counters, no more is known than that each counts.
    """
    event = one.event
    if event.counts != other.event.counts or _scope(event) != _scope(other.event):
        return False
    if event.type == _SOFTWARE and event.config in _CLOCKS:
        return False
    gap = one.gap(other)
    if abs(one.running - other.running) > gap + _READ_NS:
        return False
    difference = abs(one.counted - other.counted)
    most = gap * observation.machine.cycles_per_ns
    if exact(observation) and event.exclude_kernel:
        return difference > most
    less, larger = sorted((one.counted, other.counted))
    if observation.scenario.cpus > 1:
        return less == 0 and larger >= _MANY
    return larger >= _MANY and difference > most + larger // 2


def _silent(one: Interval, other: Interval) -> bool:
    """True if one counted nothing of what its neighbour, which counts another thing, has much."""
    kinds = {(_HARDWARE, _CYCLES), (_HARDWARE, _INSTRUCTIONS)}
    both = [(each.event.type, each.event.config) for each in (one, other)]
    return (
        set(both) == kinds
        and one.event.counts[2:] == other.event.counts[2:]
        and _scope(one.event) == _scope(other.event)
        and min(one.running, other.running) >= _LONG_NS
        and min(one.counted, other.counted) == 0
        and max(one.counted, other.counted) >= _MANY
    )


def _idle(observation: Observation, one: Interval, steps: list[MainStep]) -> bool:
    """True if an event has far less than what main did in user space while it ran.

    On an instruction clock, where user space is the most of a step `user`.
    """
    event = one.event
    if "steady-cycles" not in observation.machine.offers or not exact(observation):
        return False
    if (event.type, event.config) not in ((_HARDWARE, _CYCLES), (_HARDWARE, _INSTRUCTIONS)):
        return False
    if event.exclude_user or event.exclude_host or event.cgroup or event.task not in ("", "self"):
        return False
    if observation.scenario.cpus > 1 or one.running < _LONG_NS:
        return False
    spinning = any(
        step.words[0] == "user" and step.begin <= one.begin and one.end <= step.end
        for step in steps
    )
    return spinning and one.counted < one.running * observation.machine.cycles_per_ns * _SHARE


def _stopped_clocks(observation: Observation) -> Iterator[tuple[int, str]]:
    """(reads looked at, faults) of each clock: what it counts is the time for which it ran.

    Both are taken some microseconds from each other, each time that it is put on or off.
    """
    if not exact(observation) or observation.scenario.cpus > 1:
        return
    names = event_names(observation.records)
    present, throttled = stays(observation), _throttled(observation)
    left_out = reset_events(observation) | throttled.keys()
    for event in events(observation).values():
        is_clock = event.type == _SOFTWARE and event.config in _CLOCKS
        alone = event.leader == event.id and not event.inherit
        if not is_clock or not alone or event.id in left_out or event.id not in present:
            continue
        reads = [read for read in observation.records.of(Read) if read.id == event.id]
        for read in reads:
            times = sum(stay.begin < read.time for stay in present[event.id])
            counted = dict(read.counts)[event.id]
            fault = ""
            if abs(counted - read.running) > _SWITCH_NS * (1 + times):
                fault = (
                    f"{named(names, event.id)} counted {counted} ns by {milliseconds(read.time)}, "
                    f"and ran for {read.running} ns"
                )
            yield 1, fault


def judge_neighbours(observation: Observation, _: Observation | None) -> Verdict:
    """What was on a counter while its tasks worked has counted, as its neighbours have.

    Two events of one kind and place differ by what was counted between the reading of the one
    and of the other; members of one group are read together.  A clock counts its running time.
    """
    expected = "alike with its neighbours; not nothing where they count"
    names = event_names(observation.records)
    faults, judged, steps = [], 0, main_steps(observation)
    for found in _comparable(observation):
        for one in found:
            judged += 1
            if _idle(observation, one, steps):
                faults.append(
                    f"{named(names, one.event.id)} counted {one.counted} in {one.running} ns of "
                    f"work in user space, by {milliseconds(one.end)}"
                )
        for one, other in combinations(found, 2):
            if _apart(observation, one, other) or _silent(one, other):
                faults.append(
                    f"{named(names, one.event.id)} counted {one.counted}, and "
                    f"{named(names, other.event.id)} {other.counted} beside it, by "
                    f"{milliseconds(one.end)}"
                )
    for number, fault in _stopped_clocks(observation):
        judged += number
        faults += [fault] if fault else []
    if not events(observation):
        return inconclusive(NEIGHBOURS, "no event was opened", expected)
    return verdict(
        NEIGHBOURS,
        faults,
        measured=f"{judged} counts of {len(events(observation))} events, {len(faults)} unlike",
        expected=expected,
        metrics={"counts": judged, "unlike": len(faults)},
    )


CHECKS = (
    Check(
        NEIGHBOURS,
        "Did what ran beside working tasks count, as its neighbours did?",
        judge_neighbours,
        Property("counts", most=ANY),
    ),
)
