# SPDX-License-Identifier: MIT
"""Groups: on their counters as a whole or not at all, read as a whole, and in their order.

group_sched_in(), group_can_go_on() and merge_sched_in() in kernel/events/core.c.
"""

from collections.abc import Sequence
from itertools import combinations, pairwise

from harness.checks.base import (
    FEW,
    Check,
    Observation,
    Property,
    inconclusive,
    milliseconds,
    named,
    verdict,
)
from harness.checks.points import groups
from harness.checks.presence import Presence, Window
from harness.guest.pmu_records import EndOfFile
from harness.guest.records import Event, Read, Sample
from harness.model import Verdict

GROUP = "contexts.group"
EXCLUSIVE = "contexts.exclusive"
PINNED = "contexts.pinned"

# By how much two clocks of a group may be apart for each time that they are switched on or
# off, one after the other, and for a read, which takes one after the other.
_APART_NS = 10_000
# What a task does that is read behind it: no two events of a group may differ.
_EXACT = ("work", "page-faults")


# --- all or nothing -----------------------------------------------------------


def _broken_groups(presence: Presence) -> tuple[int, list[str]]:
    """(groups looked at, faults): a part of a group on counters, between two bursts of calls."""
    judged, faults = 0, []
    for leader, members in groups(presence.observation).items():
        mine = [e for e in members if e.id in presence.events and presence.pmu(e.id)]
        if len(mine) < 2 or leader not in presence.events:
            continue
        for cpu in sorted({stay.cpu for event in mine for stay in presence.of(event.id)}):
            judged += 1
            faults += _first_break(presence, mine, leader, cpu)
    return judged, faults


def _first_break(presence: Presence, mine: Sequence[Event], leader: int, cpu: int) -> list[str]:
    """The first moment at which a part of a group was on counters of a CPU."""
    for moment in presence.quiet.get(cpu, []):
        now = Window(moment, moment)
        if presence.open(leader, now) is not True:
            continue
        enabled = [event for event in mine if presence.enabled(event.id, now)]
        there = presence.there(moment, cpu)
        on = [event for event in enabled if event.id in there]
        if on and len(on) < len(enabled):
            off = next(event for event in enabled if event.id not in there)
            return [
                f"{named(presence.names, on[0].id)} was on a counter of CPU {cpu} at "
                f"{milliseconds(moment)}, and {named(presence.names, off.id)} of its group on none"
            ]
    return []


# --- what a read gives --------------------------------------------------------


def _misread(presence: Presence, read: Read) -> str:
    """What is wrong with the members that a read gives; or nothing."""
    if read.id not in presence.events:
        return ""
    due = [event.id for event in presence.members(read.id, Window(read.time, read.time))]
    got = [event for event, _ in read.counts]
    if got == due:
        return ""
    return (
        f"a read of {named(presence.names, read.id)} at {milliseconds(read.time)} gave the events "
        f"{got}; open were {due}, in this order"
    )


def _missampled(presence: Presence, sample: Sample) -> str:
    """What is wrong with the members whose counts a sample has; or nothing."""
    event = presence.events.get(sample.id)
    got = [member for member, _ in sample.counts]
    if not event or not got:
        return ""
    order = [member.id for member in groups(presence.observation)[event.leader]]
    if got == [member for member in order if member in got]:
        return ""
    return (
        f"a sample of {named(presence.names, event.id)} at {milliseconds(sample.time)} has the "
        f"events {got}; opened were {order}, in this order"
    )


def _apart(presence: Presence, one: Event, other: Event) -> tuple[int, str]:
    """(reads, fault): two members that count the same, between two reads of their group."""
    both = {one.id, other.id}
    reads = [read for read in presence.reads(one.leader) if both <= dict(read.counts).keys()]
    exact = presence.specs[one.id].counts in _EXACT
    judged = 0
    for before, after in pairwise(reads):
        window = Window(before.time, after.time)
        alike = [presence.enabled(event, window) for event in both]
        if None in alike or alike[0] != alike[1] or presence.is_reset(window):
            continue
        judged += 1
        grown = [dict(after.counts)[e] - dict(before.counts)[e] for e in (one.id, other.id)]
        moves = sum(s.touches(window.begin, window.end) for s in presence.of(one.id))
        if abs(grown[0] - grown[1]) > (0 if exact else _APART_NS * (1 + moves)):
            return judged, (
                f"{named(presence.names, one.id)} grew by {grown[0]} and "
                f"{named(presence.names, other.id)} of its group by {grown[1]} from "
                f"{milliseconds(before.time)} to {milliseconds(after.time)}"
            )
    return judged, ""


def _twins(presence: Presence) -> list[tuple[Event, Event]]:
    """Pairs of a group that count the same, where what they count is known."""
    found = []
    for members in groups(presence.observation).values():
        known = [event for event in members if event.id in presence.events]
        mine = [e for e in known if presence.specs[e.id].counts in (*_EXACT, "clock")]
        found += [(a, b) for a, b in combinations(mine, 2) if a.counts == b.counts]
    return found


def judge_group(observation: Observation, _: Observation | None) -> Verdict:
    """All enabled events of a group are on counters or none is; a read gives all, of one moment.

    group_sched_in() takes off what it has put on when one member finds no place.
    """
    expected = "a group on counters as a whole; read in the order of opening, of one moment"
    presence = Presence(observation)
    judged, faults = _broken_groups(presence)
    reads = presence.records.of(Read)
    said = [_misread(presence, read) for read in reads]
    said += [_missampled(presence, sample) for sample in presence.records.of(Sample)]
    faults += [fault for fault in said if fault]
    for one, other in _twins(presence):
        number, fault = _apart(presence, one, other)
        judged += number
        faults += [fault] if fault else []
    judged += len(reads)
    if not any(len(members) > 1 for members in groups(observation).values()):
        return inconclusive(GROUP, "no group", expected)
    return verdict(
        GROUP,
        faults,
        measured=f"{judged} looks at groups, {len(faults)} faults",
        expected=expected,
        metrics={"looks": judged, "wrong": len(faults)},
    )


# --- exclusive ----------------------------------------------------------------


def _context(event: Event) -> tuple[str, bool]:
    """What shares a list of active groups in the kernel: a context's pinned or flexible ones."""
    return event.task, event.pinned


def _companions(presence: Presence, moment: int, cpu: int) -> str:
    """Two groups on one PMU of which one is exclusive; or nothing."""
    now = Window(moment, moment)
    there = sorted(presence.there(moment, cpu) & presence.events.keys())
    leaders = {event: presence.leader(event, now) for event in there}
    known = list({leader.id: leader for leader in leaders.values()}.values())
    hardware = {leaders[event].id: presence.pmu(event) for event in there}
    for one, other in combinations(known, 2):
        if hardware[one.id] != hardware[other.id] or not (one.exclusive or other.exclusive):
            continue
        if (one.exclusive and other.exclusive) or _context(one) == _context(other):
            which = " and ".join(named(presence.names, event.id) for event in (one, other))
            return (
                f"{which} were on counters of {hardware[one.id]} on CPU {cpu} together at "
                f"{milliseconds(moment)}"
            )
    return ""


def judge_exclusive(observation: Observation, _: Observation | None) -> Verdict:
    """An exclusive group has its PMU for itself.

    group_can_go_on(): nothing joins one that is on, and it does not join a group that its own
    context has on.  A CPU's group and a task's exclusive one may be on together, if that is
    put on last: the kernel looks at the task's list only.
    """
    expected = "no group beside an exclusive one on its PMU"
    presence = Presence(observation)
    exclusive = [e for e in presence.events.values() if e.exclusive and presence.of(e.id)]
    faults, looks = [], 0
    for cpu, moments in sorted(presence.quiet.items()):
        looks += len(moments)
        said = (_companions(presence, moment, cpu) for moment in moments)
        faults += [fault for fault in said if fault]
    if not exclusive or not looks:
        return inconclusive(EXCLUSIVE, "no exclusive event was on a counter", expected)
    return verdict(
        EXCLUSIVE,
        faults,
        measured=f"{len(exclusive)} exclusive groups, {len(faults)} of {looks} times not alone",
        expected=expected,
        metrics={"looks": looks, "wrong": len(faults)},
    )


# --- pinned -------------------------------------------------------------------


def _attempts(presence: Presence, leader: Event) -> list[tuple[int, bool]]:
    """(time, found a place) of each time that a group's events were put on counters."""
    members = {event.id for event in groups(presence.observation)[leader.id]}
    found = []
    for call in presence.records.calls:
        if call.call == "add" and call.id in members:
            found.append((call.time, call.ret == 0))
    taken_back = {
        stay.begin
        for stay in presence.taken_back
        if stay.event in members and stay.end is not None and stay.end - stay.begin < _APART_NS
    }
    return [(time, placed and time not in taken_back) for time, placed in found]


def _errors_due(presence: Presence, leader: Event) -> list[tuple[int, bool]]:
    """(time, whether in ERROR from then on) of a pinned group, as the log has it."""
    enables = [
        when.begin
        for words, when in presence.orders
        if words[0] in ("enable", "refresh") and words[1] == leader.name
    ]
    changes = [(time, True) for time, placed in _attempts(presence, leader) if not placed]
    return sorted([*changes, *((time, False) for time in enables)])


def _pinned_faults(presence: Presence, leader: Event) -> tuple[int, list[str]]:
    """(reads, faults) of one event: the end of the file while it is in ERROR, and only then."""
    ends = {record.time for record in presence.records.of(EndOfFile) if record.id == leader.id}
    times = sorted(
        [(read.time, False) for read in presence.reads(leader.id)] + [(time, True) for time in ends]
    )
    due = _errors_due(presence, leader) if leader.pinned else []
    faults = []
    for time, ended in times:
        failed = next((state for when, state in reversed(due) if when < time), False)
        if ended == failed:
            continue
        said = "gave nothing" if ended else "gave counts"
        why = "its group found no place" if failed else "its group never was without a place"
        faults.append(
            f"a read of {named(presence.names, leader.id)} at {milliseconds(time)} {said}, "
            f"and {why}"
        )
    return len(times), faults


def _crowded(presence: Presence) -> list[str]:
    """Pinned groups without a place where there is one, or with one where there is none."""
    faults = []
    for _, step in presence.steps:
        for cpu in range(presence.observation.scenario.cpus):
            faults += _crowded_at(presence, Window(step.end, step.end), cpu)
    return list(dict.fromkeys(faults))


def _crowded_at(presence: Presence, window: Window, cpu: int) -> list[str]:
    """At one moment, of the pinned groups of a CPU's own events."""
    if any(words[0] == "set" and words[2].startswith("fail_") for words, _ in presence.orders):
        return []
    wanting: dict[str, list[tuple[Event, int]]] = {}
    for leader in presence.events.values():
        if not leader.pinned or leader.task or leader.cgroup or leader.cpu != cpu:
            continue
        if presence.enabled(leader.id, window) and presence.leads(leader.id, window):
            members = presence.members(leader.id, window)
            size = sum(bool(presence.pmu(event.id)) for event in members)
            wanting.setdefault(presence.pmu(leader.id), []).append((leader, size))
    faults = []
    for pmu, found in wanting.items():
        places = presence.counters(pmu, {presence.specs[e.id].counts for e, _ in found})
        failed = [e for e, _ in found if _ended_by(presence, e.id, window.begin)]
        if sum(size for _, size in found) > places and not failed:
            faults.append(
                f"the pinned groups of {pmu} on CPU {cpu} want more than its {places} counters, "
                "and none is in ERROR"
            )
        if (
            pmu
            and sum(size for _, size in found) <= places
            and failed
            and not _was_crowded(presence, failed[0], window.begin)
        ):
            faults.append(
                f"{named(presence.names, failed[0].id)} is pinned and gives nothing, though "
                f"{pmu} has a counter for each that is pinned on CPU {cpu}"
            )
    return faults


def _ended_by(presence: Presence, event: int, time: int) -> bool:
    """True if the last read of an event by a time gave nothing."""
    ends = [t for t in presence.in_error.get(event, []) if t <= time]
    reads = [read.time for read in presence.reads(event) if read.time <= time]
    return bool(ends) and (not reads or ends[-1] > reads[-1])


def _was_crowded(presence: Presence, event: Event, time: int) -> bool:
    """True if others that are pinned were closed or disabled by then, which brings nobody back."""
    return any(
        words[0] in ("close", "disable")
        and when.begin < time
        and (other := presence.event(words[1])) is not None
        and other.pinned
        and other.id != event.id
        for words, when in presence.orders
    )


def judge_pinned(observation: Observation, _: Observation | None) -> Verdict:
    """A pinned group that finds no place is in ERROR: reads give nothing until it is enabled.

    merge_sched_in(), perf_read_hw() (returns 0), __perf_event_enable() in
    kernel/events/core.c.  No other event's read gives nothing.
    """
    expected = "the end of the file from a pinned event without a place, until ENABLE; else counts"
    presence = Presence(observation)
    judged, faults = 0, _crowded(presence)
    for event in presence.events.values():
        number, wrong = _pinned_faults(presence, event)
        judged += number
        faults += wrong
    if not any(event.pinned for event in presence.events.values()) or not judged:
        return inconclusive(PINNED, "no pinned event was read", expected)
    return verdict(
        PINNED,
        faults,
        measured=f"{judged} reads, {len(faults)} faults",
        expected=expected,
        metrics={"reads": judged, "wrong": len(faults)},
    )


CHECKS = (
    Check(
        GROUP,
        "Is each group on its counters, and read, as a whole?",
        judge_group,
        Property("looks"),
    ),
    Check(
        EXCLUSIVE,
        "Does an exclusive group have its PMU for itself?",
        judge_exclusive,
        Property("looks"),
    ),
    Check(
        PINNED,
        "Is a pinned event in ERROR where it finds no place, and only there?",
        judge_pinned,
        Property("reads", most=FEW),
    ),
)
