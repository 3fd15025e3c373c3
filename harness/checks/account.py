# SPDX-License-Identifier: MIT
"""Account: at a fixed period, the samples and those that were lost are the count's periods."""

from harness.checks.adjustments import event_names
from harness.checks.base import (
    ANY,
    Check,
    Observation,
    Property,
    inconclusive,
    named,
    verdict,
)
from harness.checks.points import events, exact, lateness, points, reset_events, written_backward
from harness.guest.records import Event, Lost, Phase, Read, Sample
from harness.model import Verdict

ACCOUNT = "sampling.account"

_HARDWARE_TYPES = (0, 4)
_CLOCK = (1, (0, 1))
# Of these, samples are written to no ring.
_NOWHERE = ("output", ["none"])


def _changed(observation: Observation) -> set[str]:
    """Names of events whose period a step sets, or whose ring is gone before the end."""
    steps = (phase.name.split() for phase in observation.records.of(Phase))
    return {
        words[1]
        for words in steps
        if words[0] in ("period", "close") or (words[0], words[2:]) == _NOWHERE
    }


def _small(observation: Observation) -> set[int]:
    """Events with a small ring that do not say how many found no room: LOST comes with the next
    record that finds some, and is of any records."""
    told = {event for read in observation.records.of(Read) for event, _ in read.lost}
    specs = observation.scenario.specs
    known = events(observation).values()
    return {e.id for e in known if e.name in specs and specs[e.name].ring} - told


def _is_complete(observation: Observation, event: Event) -> bool:
    """True if each period of an event gives a sample, and none may be passed over.

    A stop while an overflow is pending begins the next period without a sample
    (armpmu_event_set_period()); in user space none is, on an instruction clock.
    """
    one_cpu = observation.scenario.cpus == 1
    if event.type in _HARDWARE_TYPES:
        in_time = event.exclude_kernel and lateness(observation, event) == 0
        return exact(observation) and one_cpu and in_time
    # A clock's timer is late by what the kernel takes (perf_swevent_hrtimer()).
    return one_cpu and not (event.type == _CLOCK[0] and event.config in _CLOCK[1])


def _lost(observation: Observation) -> dict[int, int]:
    """How many samples of each event found no room: by its last read, where that tells, or by
    what its ring says."""
    found: dict[int, int] = {}
    for record in observation.records.of(Lost):
        found[record.id] = found.get(record.id, 0) + record.lost
    for read in observation.records.of(Read):
        found |= dict(read.lost)
    return found


def judge_account(observation: Observation, _: Observation | None) -> Verdict:
    """At a fixed period P, samples + lost == count / P, and never more; and each tells P.

    By the last count that was read, as the rings are emptied after it.  Lost records may be
    other ones than samples, and are told of where the next one finds room.
    """
    expected = "samples + lost == count / period"
    names = event_names(observation.records)
    left_out = reset_events(observation) | written_backward(observation)
    changed, small = _changed(observation), _small(observation)
    lost = _lost(observation)
    taken: dict[int, list[Sample]] = {}
    for sample in observation.records.of(Sample):
        taken.setdefault(sample.id, []).append(sample)
    faults, judged = [], 0
    for event in events(observation).values():
        if not event.period or event.id in left_out or event.name in changed:
            continue
        reads = [point for point in points(observation, event.leader) if not point.sampled]
        if not reads:
            continue
        last = max(reads, key=lambda point: point.time)
        count, until = last.counts.get(event.id, 0), last.time
        by_then = [
            sample
            for sample in taken.get(event.id, [])
            if dict(sample.counts).get(event.id, 0) <= count and sample.time <= until
        ]
        wrong = [s for s in taken.get(event.id, []) if s.period != event.period]
        if wrong and event.type in _HARDWARE_TYPES:
            faults.append(
                f"{named(names, event.id)}: {len(wrong)} samples tell a period of "
                f"{wrong[0].period}, not of {event.period}"
            )
        owed, number = count // event.period, len(by_then)
        judged += owed
        missing = owed - number - lost.get(event.id, 0)
        # What overflowed before there was a ring, the first read has counted.
        first = min(reads, key=lambda point: point.time).counts.get(event.id, 0)
        unseen = -(-first // event.period)
        complete = event.id not in small and _is_complete(observation, event)
        if (
            number > owed
            or (complete and missing > unseen)
            or (event.id not in small and missing < 0)
        ):
            faults.append(
                f"{named(names, event.id)} counted {count}, {owed} periods of {event.period}: "
                f"{number} samples, {lost.get(event.id, 0)} lost"
            )
    if not events(observation):
        return inconclusive(ACCOUNT, "no event was opened", expected)
    return verdict(
        ACCOUNT,
        faults,
        measured=f"{judged} periods, {len(faults)} events with another number",
        expected=expected,
        metrics={"periods": judged, "events": len(faults)},
    )


CHECKS = (
    Check(
        ACCOUNT,
        "Do samples and lost ones account for the count?",
        judge_account,
        Property("periods", most=ANY),
    ),
)
