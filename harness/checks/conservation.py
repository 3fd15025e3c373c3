# SPDX-License-Identifier: MIT
"""Conservation: no count is lost, made up or hidden while a period is adjusted."""

from itertools import pairwise
from math import inf
from statistics import median

from harness.checks.adjustments import event_names
from harness.checks.base import (
    FEW,
    Check,
    Equivalence,
    Observation,
    Property,
    Recurrence,
    inconclusive,
    milliseconds,
    named,
    verdict,
)
from harness.checks.points import (
    GATHERING,
    Point,
    counted_in_order,
    events,
    groups,
    main_steps,
    points,
    resets,
    samples,
    slack_ns,
)
from harness.guest.callback_records import Callback
from harness.guest.records import Event, Read, Sample
from harness.model import Verdict

TWIN = "conservation.twin"
GROWTH = "conservation.growth"
TIMES = "conservation.times"
SUM = "conservation.sum"
CLOCK = "conservation.clock"


def _twins(observation: Observation) -> list[tuple[Event, Event]]:
    """(sampling event, counting event of its group that counts the same)."""
    return [
        (event, twin)
        for group in groups(observation).values()
        for event in group
        for twin in group
        if event.samples and not twin.samples and event.counts == twin.counts
    ]


def judge_twin(observation: Observation, _: Observation | None) -> Verdict:
    """A counting twin in the same group keeps a constant distance to the target."""
    expected = "a constant difference to the counting twin"
    names = event_names(observation.records)
    faults, differences, number = [], [], 0
    for event, twin in _twins(observation):
        seen = [
            (point, point.counts[event.id] - point.counts[twin.id])
            for point in points(observation, event.leader)
            if {event.id, twin.id} <= point.counts.keys()
        ]
        number += len(seen)
        differences += [difference for _, difference in seen]
        faults += [
            f"{named(names, event.id)} at {milliseconds(point.time)} counted "
            f"{point.counts[event.id]}, its twin {point.counts[twin.id]}: difference "
            f"{difference}, at first {seen[0][1]}"
            for point, difference in seen
            if difference != seen[0][1]
        ]
    if number < 2:
        return inconclusive(TWIN, f"{number} reads of twins", expected)
    return verdict(
        TWIN,
        faults,
        measured=f"difference {min(differences)} to {max(differences)} in {number} reads",
        expected=expected,
        metrics={"reads": number, "least": min(differences), "most": max(differences)},
    )


def twin_drift(observation: Observation) -> dict[str, float]:
    """By how much an event and its twin drifted apart at the most, as a share of the count."""
    found = {}
    for event, twin in _twins(observation):
        both = [
            (point.counts[event.id], point.counts[twin.id])
            for point in points(observation, event.leader)
            if {event.id, twin.id} <= point.counts.keys()
        ]
        if len(both) > 1 and both[-1][1]:
            start = both[0][0] - both[0][1]
            drifts = [mine - other - start for mine, other in both]
            found[event.name] = max(drifts, key=abs) / both[-1][1]
    return found


# perf_event_attr.type: PERF_TYPE_RAW, and the last one that is no PMU's own.
_SOFTWARE, _RAW, _LAST_TYPE = 1, 4, 5


def _most_per_ns(observation: Observation, event: Event) -> float:
    """How many an event counts in a nanosecond at the most.

    What CPUs share (a node's counters, which raw events are for) counts for all of them; work
    of a test PMU is done at once.
    """
    rate = observation.machine.cycles_per_ns
    if event.type > _LAST_TYPE:
        return inf
    return rate * observation.scenario.cpus if event.type == _RAW else rate


def _takes_back(spans: list[tuple[int, int, int]], event: Event, begin: int, end: int) -> bool:
    """True if a RESET of an event's group falls into a time."""
    return any(
        event.leader == leader and since <= end and begin <= until for leader, since, until in spans
    )


def _leaps(observation: Observation, event: Event, seen: list[Point], name: str) -> list[str]:
    """Pairs of points between which a count fell, or grew faster than a CPU counts."""
    rate, spans = _most_per_ns(observation, event), resets(observation)
    specs = observation.scenario.specs
    gathered = event.name in specs and specs[event.name].sample
    faults = []
    for before, after in pairwise(point for point in seen if event.id in point.counts):
        if _takes_back(spans, event, before.time, after.time):
            continue
        grown = after.counts[event.id] - before.counts[event.id]
        # A sample's counts are read where its interrupt begins, its times where it is written;
        # a read takes the times first (__perf_event_read()), and so does who disables an event
        # (__perf_event_disable()), on another path, which the kernel's own cycles count.
        apart = before.sampled or not (event.exclude_kernel or after.sampled)
        skew = observation.machine.skew_ns if apart else 0
        # A clock's count is another time than the group's: another CPU may have its turn meanwhile,
        # and an overflow may stop it, which is logged before the sample is written (7.3).
        skew = 2 * slack_ns(observation) if event.type == _SOFTWARE and apart else skew
        skew *= GATHERING if gathered else 1
        most = (after.enabled - before.enabled + observation.machine.clock_step_ns + skew) * rate
        if not 0 <= grown <= most:
            faults.append(
                f"{name} went from {before.counts[event.id]} to {after.counts[event.id]} in "
                f"{after.enabled - before.enabled} ns, by {milliseconds(after.time)}"
            )
    return faults


def _sequences(observation: Observation, leader: int) -> list[list[Point]]:
    """Points that can be compared with the one before them.

    With one CPU that is all of them.  A read from another CPU than the event's
    gets the times from an interrupt there and the count a little later
    (perf_event_read() in kernel/events/core.c), so then samples only.  So it is where
    an overflow may interrupt a read, which is not chance on an instruction clock.
    """
    if _reads_are_of_a_moment(observation):
        return [counted_in_order(points(observation, leader))]
    members = [event.id for event in groups(observation)[leader]]
    return [
        [Point.of(sample) for sample in samples(observation, member) if sample.counts]
        for member in members
    ]


def _reads_are_of_a_moment(observation: Observation) -> bool:
    """True if a read's times and counts belong together."""
    return observation.scenario.cpus == 1 and "instruction-clock" in observation.machine.offers


def _remote_leaps(observation: Observation, event: Event, name: str) -> list[str]:
    """Reads, such as from another CPU, between which a count fell, or grew faster than the clock.

    A read's count is of some moment between the end of the read before it and
    its own end.
    """
    if _reads_are_of_a_moment(observation):
        return []
    reads = [
        read
        for read in observation.records.of(Read)
        if read.id == event.leader and event.id in dict(read.counts)
    ]
    rate, spans = _most_per_ns(observation, event), resets(observation)
    faults = []
    for earlier, before, after in zip(reads, reads[1:], reads[2:], strict=False):
        if _takes_back(spans, event, earlier.time, after.time):
            continue
        grown = dict(after.counts)[event.id] - dict(before.counts)[event.id]
        most = (after.time - earlier.time) * rate
        if not 0 <= grown <= most:
            faults.append(
                f"{name} grew by {grown} from {milliseconds(earlier.time)} to "
                f"{milliseconds(after.time)}"
            )
    return faults


def judge_growth(observation: Observation, _: Observation | None) -> Verdict:
    """Counts grow, no faster than the CPU; but for a RESET, which takes them back."""
    expected = "counts grow, at most one for each cycle"
    names = event_names(observation.records)
    faults, number = [], 0
    for event in events(observation).values():
        number += len(points(observation, event.leader))
        faults += [
            fault
            for sequence in _sequences(observation, event.leader)
            for fault in _leaps(observation, event, sequence, named(names, event.id))
        ]
        faults += _remote_leaps(observation, event, named(names, event.id))
    if not events(observation):
        return inconclusive(GROWTH, "no event was opened", expected)
    return verdict(
        GROWTH,
        faults,
        measured=f"{len(faults)} leaps in {number} reads",
        expected=expected,
        metrics={"reads": number, "leaps": len(faults)},
    )


def judge_times(observation: Observation, _: Observation | None) -> Verdict:
    """Enabled equals running: counters suffice, so each event was always on one."""
    expected = "time_running == time_enabled"
    names = event_names(observation.records)
    seen = {leader: points(observation, leader) for leader in groups(observation)}
    faults = [
        f"{named(names, leader)} at {milliseconds(point.time)}: enabled {point.enabled} ns, "
        f"running {point.running} ns"
        for leader, found in seen.items()
        for point in found
        if point.enabled != point.running
    ]
    latest = [found[-1] for found in seen.values() if found]
    if not any(point.enabled for point in latest):
        return inconclusive(TIMES, "no event was enabled", expected)
    enabled = sum(point.enabled for point in latest)
    running = sum(point.running for point in latest)
    return verdict(
        TIMES,
        faults,
        measured=f"running {running} of {enabled} ns, {len(latest)} groups",
        expected=expected,
        metrics={
            "enabled_ns": enabled,
            "running_ns": running,
            "reads": sum(map(len, seen.values())),
        },
    )


def _stamps(observation: Observation) -> list[tuple[Event, list[Sample]]]:
    """The CPU-wide events, each with its samples from the first step on: two or more."""
    begin = min((step.begin for step in main_steps(observation)), default=0)
    found = [
        (event, [s for s in samples(observation, event.id) if s.enabled and s.time >= begin])
        for event in events(observation).values()
        if not event.task and not event.cgroup
    ]
    return [(event, stamps) for event, stamps in found if len(stamps) > 1]


def clock_drift(observation: Observation) -> dict[str, float]:
    """What enabled times lost of the clock's, as a share of the time between the samples' halves.

    Each half stands as the median of it: that of a sample and the enabled time are some
    moments apart, in which a host may do something else.
    """
    found = {}
    for event, stamps in _stamps(observation):
        half = len(stamps) // 2
        early, late = stamps[:half], stamps[half:]
        time = median(stamp.time for stamp in late) - median(stamp.time for stamp in early)
        lost = median(s.time - s.enabled for s in late) - median(s.time - s.enabled for s in early)
        if time:
            found[event.name] = lost / time
    return found


def judge_clock(observation: Observation, _: Observation | None) -> Verdict:
    """The time for which a CPU-wide event was enabled runs with the clock.

    A sample's time and its group's time_enabled are taken in one interrupt, so
    that their distance is constant but for the rounding of each to the clock's
    steps, and on a nested machine for an exit between the two.  That begins with the
    first step: to open an event, 6.1 stops the time
    of those that are there for some microseconds (ctx_resched()).
    """
    expected = "time of the sample - time_enabled is constant"
    names = event_names(observation.records)
    faults, judged = [], 0
    most = 2 * observation.machine.clock_step_ns + observation.machine.pause_ns
    for event, stamps in _stamps(observation):
        judged += len(stamps)
        first = stamps[0].time - stamps[0].enabled
        faults += [
            f"{named(names, event.id)} at {milliseconds(stamp.time)}: enabled for "
            f"{stamp.enabled} ns, {stamp.time - stamp.enabled - first:+d} ns off the clock"
            for stamp in stamps
            if abs(stamp.time - stamp.enabled - first) > most
        ]
    if not judged:
        return inconclusive(CLOCK, "no CPU-wide event sampled", expected)
    return verdict(
        CLOCK,
        faults,
        measured=f"{judged - len(faults)} of {judged} samples with the clock",
        expected=expected,
        metrics={"samples": judged, "wrong": len(faults)},
    )


def judge_sum(observation: Observation, _: Observation | None) -> Verdict:
    """What an inherited event reads in the end is what its instances counted in the log.

    The kernel adds a child's count to its parent's when the child exits
    (sync_child_event() in kernel/events/core.c); the log has each one's count
    as it left its counter for the last time.
    """
    expected = "the count read at the end == what the event and its children counted"
    records = observation.records
    names = event_names(records)
    last: dict[int, Callback] = {}
    for call in records.calls:
        if call.is_event:
            last[call.id] = call
    ends: dict[int, Read] = {read.id: read for read in records.of(Read)}
    faults, judged, children = [], 0, 0
    for event in records.of(Event):
        family = [c for c in last.values() if event.id in (c.id, c.parent)]
        ended = all(call.call == "del" for call in family)
        if not event.inherit or not family or not ended or event.leader not in ends:
            continue
        judged += 1
        children += sum(call.parent == event.id for call in family)
        counted = sum(call.count[1] for call in family)
        read = dict(ends[event.leader].counts)[event.id]
        if read != counted:
            faults.append(
                f"{named(names, event.id)} reads {read}; it and its {len(family) - 1} children "
                f"counted {counted}: {read - counted:+d}"
            )
    if not children:
        return inconclusive(SUM, "no inherited event whose tasks have all ended", expected)
    return verdict(
        SUM,
        faults,
        measured=f"{judged - len(faults)} of {judged} events with {children} children agree",
        expected=expected,
        metrics={"events": judged, "children": children},
    )


CHECKS = (
    Check(
        TWIN,
        "Does the event count what a twin counts that is not adjusted?",
        judge_twin,
        Equivalence(twin_drift),
    ),
    # A host can do something else between the reading of a count and that of the time.
    Check(GROWTH, "Do counts only grow, and never leap?", judge_growth, Recurrence()),
    Check(TIMES, "Was the event on a counter all the time?", judge_times, Property("reads")),
    Check(
        CLOCK,
        "Does the enabled time of a CPU-wide event run with the clock?",
        judge_clock,
        Equivalence(clock_drift),
    ),
    Check(
        SUM,
        "Are the counts of inherited events added up?",
        judge_sum,
        Property("children", most=FEW),
    ),
)
