# SPDX-License-Identifier: MIT
"""Buffer: which samples a ring keeps that is written over, and when its reader is woken."""

from itertools import zip_longest

from harness.checks.adjustments import event_names
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
from harness.checks.points import events, groups, main_steps
from harness.guest.records import Event, Polled, Read, Sample
from harness.model import EventSpec, Verdict

NEWEST = "buffer.newest"
WAKEUP = "buffer.wakeup"

_PAGE = 4096
# PERF_TYPE_SOFTWARE, PERF_TYPE_TRACEPOINT, PERF_TYPE_BREAKPOINT.
_SOFTWARE_TYPES = (1, 2, 5)
_POLLIN, _POLLHUP = 1, 16


def _special(observation: Observation, kind: str) -> list[tuple[Event, EventSpec]]:
    """The events whose scenario sets a word such as `backward`, with what it says of them."""
    specs = observation.scenario.specs
    return [
        (event, specs[event.name])
        for event in events(observation).values()
        if event.name in specs and getattr(specs[event.name], kind)
    ]


def _size(observation: Observation, event: Event) -> int:
    """Bytes of a sample of set_sampling() in guest-images/probes/perf.c, with its group's values.

    Header, identifier, pid and tid, time, stream, CPU; the period, but of software events with
    one of more than 1; number and times of the group, a count and an id of each member.
    """
    told = event.period == 1 or event.type not in _SOFTWARE_TYPES
    return 8 + (5 + told) * 8 + 3 * 8 + 16 * len(groups(observation)[event.leader])


def judge_newest(observation: Observation, _: Observation | None) -> Verdict:
    """A ring that is written backward keeps the newest samples, as many as it has room for.

    They are read from the newest one on; at a period of P each has P less than the one before.
    """
    expected = "as many of the newest samples as there is room for, none left out"
    names = event_names(observation.records)
    faults, judged = [], 0
    for event, spec in _special(observation, "backward"):
        taken = [s for s in observation.records.of(Sample) if s.id == event.id]
        reads = [read for read in observation.records.of(Read) if read.id == event.leader]
        if not reads:
            continue
        judged += len(taken)
        counts = [dict(sample.counts)[event.id] for sample in taken]
        # The probe itself may be counted between its last read and the emptying of the ring.
        last = dict(reads[-1].counts)[event.id] // event.period * event.period
        last = max(last, *counts[:1])
        room = (spec.ring or 1) * _PAGE // _size(observation, event)
        wanted = [last - number * event.period for number in range(min(room, last // event.period))]
        if counts != wanted:
            pairs = zip_longest(counts, wanted)
            place, (found, due) = next(
                (i, pair) for i, pair in enumerate(pairs, 1) if len({*pair}) > 1
            )
            faults.append(
                f"{named(names, event.id)}: {len(counts)} samples where {len(wanted)} were due; "
                f"that before {place - 1} newer ones is at {found}, not at {due}"
            )
    if not judged and not faults:
        return inconclusive(NEWEST, "no ring was written backward", expected)
    return verdict(
        NEWEST,
        faults,
        measured=f"{judged} samples, {len(faults)} rings with others",
        expected=expected,
        metrics={"samples": judged, "rings": len(faults)},
    )


def _hang_ups(observation: Observation, names: dict[int, str]) -> tuple[int, list[str]]:
    """(answers looked at, faults): POLLHUP once the event's task has ended, and not before.

    Of an event with a ring; is_event_hup() in kernel/events/core.c.
    """
    waited = {step.words[1]: step for step in main_steps(observation) if step.words[0] == "wait"}
    judged, faults = 0, []
    known = events(observation)
    for polled in observation.records.of(Polled):
        event = known[polled.id]
        if event.task in ("", "self") or event.inherit or event.task not in waited:
            continue
        step = waited[event.task]
        ended = polled.time >= step.end
        if not ended and polled.time > step.begin:
            continue
        judged += 1
        if bool(polled.revents & _POLLHUP) != ended:
            faults.append(
                f"{named(names, event.id)}: poll at {milliseconds(polled.time)} says "
                f"{polled.revents:#x}; {event.task} had {'' if ended else 'not '}ended"
            )
    return judged, faults


def judge_wakeup(observation: Observation, _: Observation | None) -> Verdict:
    """With wakeup_events N, poll(2) says POLLIN once for each N samples, until it was asked.

    perf_output_sample() counts to N and perf_output_wakeup() marks the ring, in
    kernel/events/; perf_poll() takes the mark back.  Once its task has ended it says POLLHUP.
    """
    expected = "POLLIN where N samples came since it was said last; POLLHUP when its task has ended"
    names = event_names(observation.records)
    judged, faults = _hang_ups(observation, names)
    for event, spec in _special(observation, "wakeup"):
        times = [s.time for s in observation.records.of(Sample) if s.id == event.id]
        number, told = spec.wakeup or 1, 0
        for polled in (p for p in observation.records.of(Polled) if p.id == event.id):
            judged += 1
            due = sum(time <= polled.time for time in times) // number
            if bool(polled.revents & _POLLIN) != (due > told):
                faults.append(
                    f"{named(names, event.id)}: poll at {milliseconds(polled.time)} says "
                    f"{polled.revents:#x}; {due - told} times {number} samples had come since"
                )
            told = due
    if not judged:
        return inconclusive(WAKEUP, "no event was polled", expected)
    return verdict(
        WAKEUP,
        faults,
        measured=f"{judged - len(faults)} of {judged} answers right",
        expected=expected,
        metrics={"answers": judged, "wrong": len(faults)},
    )


CHECKS = (
    Check(
        NEWEST,
        "Does a ring that is written over keep what is newest?",
        judge_newest,
        Property("samples", most=FEW),
    ),
    Check(
        WAKEUP,
        "Is the reader of a ring woken when it asked to be?",
        judge_wakeup,
        Property("answers", most=FEW),
    ),
)
