# SPDX-License-Identifier: MIT
"""The counts of an observation in the order of time, whoever read them."""

from bisect import bisect_left
from dataclasses import dataclass, replace
from functools import lru_cache

from harness.checks.base import Observation
from harness.guest.records import Event, Phase, Read, Records, Sample
from harness.model import Regime


@dataclass(frozen=True)
class Point:
    """All counts of a group at one moment, in a sample or not; times in ns."""

    time: int
    enabled: int
    running: int
    counts: dict[int, int]
    sampled: bool = False

    def is_behind(self, other: "Point") -> bool:
        """True if it ended later than the other, and counted further."""
        further = any(
            count > other.counts.get(event, count) for event, count in self.counts.items()
        )
        return self.time > other.time and further

    @classmethod
    def of(cls, record: Read | Sample) -> "Point":
        """What a read or a sample says of its group."""
        return cls(
            time=record.time,
            enabled=record.enabled,
            running=record.running,
            counts=dict(record.counts),
            sampled=isinstance(record, Sample),
        )


def events(observation: Observation) -> dict[int, Event]:
    """The events by id."""
    return {event.id: event for event in observation.records.of(Event)}


# perf_event_attr.type and .config, include/uapi/linux/perf_event.h.
_KINDS = {(0, 0): "cycles", (0, 1): "instructions"}


def lateness(observation: Observation, event: Event) -> int:
    """By how many counts an overflow of an event may be noticed late.

    Where the kernel is counted as well, by less than a period: its handler runs
    until it stops the PMU, and reloads the counter with what is left then.  What
    the emulator adds is data of the machine; a cycles event of the same period
    in the group makes it look in time (docs/errata.md, qemu-late-overflow).
    """
    kernel = event.period - 1 if event.period and not event.exclude_kernel else 0
    kind = _KINDS.get((event.type, event.config), "")
    paced = event.period and any(
        other.period == event.period and _KINDS.get((other.type, other.config)) == "cycles"
        for other in groups(observation)[event.leader]
    )
    return kernel if paced else max(kernel, _noticed_late(observation, kind))


def _noticed_late(observation: Observation, kind: str) -> int:
    """By how many counts at most the machine notices the overflow of a kind of event late."""
    machine = observation.machine
    late = machine.late_overflow.get(kind, 0)
    return observation.tick_ns * machine.cycles_per_ns if late == "tick" else late


def groups(observation: Observation) -> dict[int, list[Event]]:
    """The events of each group, the leader first, by the leader's id."""
    found: dict[int, list[Event]] = {}
    for event in observation.records.of(Event):
        found.setdefault(event.leader, []).append(event)
    return found


# By how much the times of a group's events may differ, from the first being opened to the last:
# 50 us for three tracepoints of 5.10 on an instruction clock.
_OPENED_NS = 100_000


def _on_one_scale(sample: Sample, leader: int, reads: list[Read]) -> bool:
    """True if a sample's times may stand beside the leader's.

    They are those of the event that overflowed, which may have been opened later.
    """
    if sample.id == leader or not reads:
        return True
    place = bisect_left(reads, sample.time, key=lambda read: read.time)
    before, after = reads[max(0, place - 1)], reads[min(place, len(reads) - 1)]
    begin, end = before.time - before.enabled, after.time - after.enabled
    return begin - _OPENED_NS <= sample.time - sample.enabled <= end + _OPENED_NS


# How far apart a time and a group's times may be taken, of which two samples' are compared.
_TAKEN_NS = 5_000


def _on_leaders_clock(
    sample: Sample, leader: int, own: list[Sample], read_at: list[int]
) -> Sample | None:
    """A sample of another member, enabled for as long as its leader was by the samples of that.

    None where that is so near to a read that nobody knows which of them came first; `read_at` are
    the reads' enabled times, in order.
    """
    if sample.id == leader or not own:
        return sample
    place = bisect_left(own, sample.time, key=lambda other: other.time)
    before, after = own[max(0, place - 1)], own[min(place, len(own) - 1)]
    enabled = sample.time - (after.time - after.enabled)
    # Its task may have been off the CPU between the two.
    if before.time <= sample.time <= after.time:
        enabled = min(max(enabled, before.enabled), after.enabled)
    more = enabled - sample.enabled
    if abs(more) > _OPENED_NS:
        return sample
    times = {"enabled": sample.enabled + more, "running": sample.running + more}
    place = bisect_left(read_at, times["enabled"] - _TAKEN_NS)
    near_read = read_at[place : place + 1]
    if near_read and near_read[0] <= times["enabled"] + _TAKEN_NS:
        return None
    return sample.model_copy(update=times)


def points(observation: Observation, leader: int) -> list[Point]:
    """All reads of a group, its samples' included, in the order of its own time."""
    members = {event.id for event in groups(observation).get(leader, [])}
    found = [Point.of(read) for read in observation.records.of(Read) if read.id == leader]
    reads = [read for read in observation.records.of(Read) if read.id == leader]
    own = samples(observation, leader)
    read_at = sorted(read.enabled for read in reads)
    shifted = [
        _on_leaders_clock(sample, leader, own, read_at)
        for sample in observation.records.of(Sample)
        if sample.id in members and sample.counts and _on_one_scale(sample, leader, reads)
    ]
    found += [Point.of(sample) for sample in shifted if sample is not None]
    return sorted(found, key=lambda point: (point.enabled, point.time))


def counted_in_order(seen: list[Point]) -> list[Point]:
    """Points of one CPU in the order of their counts.

    A read takes its times first and its counts then (__perf_event_read() in
    kernel/events/core.c); one that an overflow interrupts in between has counts from
    behind the sample, and stands there, with the sample's times.
    """
    ordered: list[Point] = []
    for point in seen:
        last = ordered[-1] if ordered else None
        if last and point.sampled and not last.sampled and last.is_behind(point):
            later = replace(last, enabled=point.enabled, running=point.running)
            ordered[-1:] = [point, later]
        else:
            ordered.append(point)
    return ordered


def samples(observation: Observation, event: int) -> list[Sample]:
    """An event's samples, in the order of time."""
    mine = [sample for sample in observation.records.of(Sample) if sample.id == event]
    return sorted(mine, key=lambda sample: sample.time)


def number_in(taken: list[Sample], begin: int, end: int) -> int:
    """How many samples fall into a time: from `begin`, before `end`."""
    return sum(begin <= sample.time < end for sample in taken)


@dataclass(frozen=True)
class MainStep:
    """A step of main: its words, when it began and ended, and each event's count around it."""

    words: tuple[str, ...]
    begin: int
    end: int
    before: dict[int, int]
    after: dict[int, int]


def main_phases(observation: Observation) -> list[Phase]:
    """The beginnings of main's steps, in order."""
    return [phase for phase in observation.records.of(Phase) if phase.task == "main"]


def main_steps(observation: Observation) -> list[MainStep]:
    """The steps of main; every event is read at the end of each (and before the first).

    What all who ask share.
    """
    return _main_steps(observation.records)


@lru_cache(maxsize=4)
def _main_steps(records: Records) -> list[MainStep]:
    phases = [phase for phase in records.of(Phase) if phase.task == "main"]
    reads = records.of(Read)
    found = []
    for position, phase in enumerate(phases):
        last = position + 1 == len(phases)
        end = reads[-1].time if last and reads else phase.time
        if not last:
            end = phases[position + 1].time
        found.append(
            MainStep(
                words=tuple(phase.name.split()),
                begin=phase.time,
                end=end,
                before=_counts_at(reads, phase.time),
                after=_counts_at(reads, end),
            )
        )
    return found


def _counts_at(reads: list[Read], time: int) -> dict[int, int]:
    """The last count of each event that was read by a time."""
    counts: dict[int, int] = {}
    for read in reads:
        if read.time <= time:
            counts |= dict(read.counts)
    return counts


def exact(observation: Observation) -> bool:
    """True if nothing but the guest itself takes time on its machine."""
    return observation.machine.regime is Regime.EXACT


# A chain of calls and a stack are gathered between the count and the times of a sample, which
# takes so many times as long: 4927 and 6326 ns were seen on x86_64.
GATHERING = 4


def gathers(observation: Observation) -> bool:
    """True if a sample of the scenario's holds more than counts and times."""
    return any(spec.sample for spec in observation.scenario.specs.values())


def delay_ns(observation: Observation) -> int:
    """By how much longer a test PMU's add may take than it would: the longest of each delay.

    The step `set PMU delay_add US` and its like (guest-images/modules/pmu_test.c).
    """
    longest: dict[str, int] = {}
    for step in observation.scenario.steps:
        words = step.split()
        if words[0] == "set" and words[2].startswith("delay_") and words[3].isdigit():
            longest[words[2]] = max(longest.get(words[2], 0), int(words[3]))
    return 1000 * sum(longest.values())


def slack_ns(observation: Observation) -> int:
    """From what a record says to the time that stands beside it, at the most.

    Of several emulated CPUs one executes at a time: another one may have had its turn in between.
    """
    machine = observation.machine
    turn = observation.tick_ns if observation.scenario.cpus > 1 else 0
    return machine.skew_ns + machine.pause_ns + turn


def read_windows(observation: Observation) -> list[tuple[int, Read]]:
    """(when it cannot have begun yet, read) of all reads: what main recorded before it, in ns."""
    found: list[tuple[int, Read]] = []
    before = 0
    for record in observation.records.all:
        if isinstance(record, Phase) and record.task == "main":
            before = record.time
        elif isinstance(record, Read):
            found.append((before, record))
            before = record.time
    return found


def resets(observation: Observation) -> list[tuple[int, int, int]]:
    """(leader, begin, end) of each step that takes counts of a group back to 0, in ns."""
    leaders = {event.name: event.leader for event in events(observation).values()}
    return [
        (leaders[step.words[1]], step.begin, step.end)
        for step in main_steps(observation)
        if step.words[0] in ("reset", "reset-group") and step.words[1] in leaders
    ]


def written_backward(observation: Observation) -> set[int]:
    """Events whose ring is written backward: what is read of it begins with the newest."""
    specs = observation.scenario.specs
    known = events(observation).values()
    return {e.id for e in known if e.name in specs and specs[e.name].backward}


def reset_events(observation: Observation) -> set[int]:
    """Events whose count a step takes back to 0, with those of their groups."""
    leaders = {leader for leader, _, _ in resets(observation)}
    return {event.id for event in events(observation).values() if event.leader in leaders}
