# SPDX-License-Identifier: MIT
"""Agreement: what reads and samples say is what the callback log lets them say."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

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
    GATHERING,
    delay_ns,
    events,
    exact,
    gathers,
    read_windows,
    reset_events,
    slack_ns,
)
from harness.checks.releases import ENABLING_STOPS_TIME
from harness.checks.stays import event_calls, stays
from harness.guest.callback_records import Callback
from harness.guest.records import Sample
from harness.model import Verdict

COUNTS = "agreement.counts"
TIMES = "agreement.times"

# From a read to the time that stands beside it, where there is nothing but the guest.
_READ_NS = 50_000


@dataclass(frozen=True)
class Value:
    """What one record says of one event, at a moment from `begin` to `end`; times in ns.

    Those are the times of the `owner`: the event that was read, or that overflowed, and may be
    `late` by so much.
    """

    event: int
    owner: int
    begin: int
    end: int
    count: int
    enabled: int
    running: int
    sampled: bool
    late: int = 0


def _values(observation: Observation) -> dict[int, list[Value]]:
    """What all reads and samples say of each event, in the order of time.

    The times in a sample are those of the event that overflowed (perf_output_read() in
    kernel/events/core.c), in a read those of the one that was read.
    """
    scenario, skew = observation.scenario, slack_ns(observation)
    # Another task may have its turn between a read and the record of it, or a PMU that is slow.
    alone = exact(observation) and scenario.cpus == 1 and not scenario.tasks
    alone = alone and not delay_ns(observation)
    skew *= GATHERING if gathers(observation) else 1
    pause = observation.machine.pause_ns
    found: dict[int, list[Value]] = {}
    for begin, read in read_windows(observation):
        # Nothing but a tick, or a rotation, comes between a read and the record of it.
        between = max(_READ_NS, observation.machine.call_ns) + pause
        first = max(begin, read.time - between) if alone else begin
        for event, count in read.counts:
            value = Value(
                *(event, read.id, first, read.time, count),
                *(read.enabled, read.running, False),
            )
            found.setdefault(event, []).append(value)
    ticks = [call.time for call in observation.records.of(Callback) if call.call == "tick"]
    for sample in observation.records.of(Sample):
        begin, end = sample.time - 2 * skew, sample.time + 2 * skew
        # A tracepoint's is written with interrupts on: a tick may come before the event's times.
        place = bisect_left(ticks, sample.time)
        ticked = ticks[place : place + 1] and ticks[place] <= end
        late = observation.machine.call_ns if ticked else 0
        for event, count in sample.counts:
            value = Value(
                *(event, sample.id, begin, end, count),
                *(sample.enabled, sample.running, True, late),
            )
            found.setdefault(event, []).append(value)
    return {event: sorted(values, key=lambda value: value.end) for event, values in found.items()}


def _least(calls: Sequence[Callback], until: int, call_ns: int) -> int:
    """What an event had counted at the least by a time, as the calls that had begun by then say.

    The last one may have gone on beyond it, for so long.
    """
    last = bisect_right(calls, until, key=lambda call: call.time)
    if not last:
        return 0
    if calls[last - 1].time + call_ns <= until:
        return calls[last - 1].count[1]
    ended = calls[last - 2].count[1] if last > 1 else 0
    return max(calls[last - 1].count[0], ended)


def _most(calls: Sequence[Callback], since: int) -> int | None:
    """What an event can have counted at the most by a time; None where it may go on counting.

    A stop and a del bring the count up to date (armpmu_stop(), x86_pmu_stop()).
    """
    first = bisect_left(calls, since, key=lambda call: call.time)
    for call in calls[first:]:
        if call.call in ("stop", "del") and call.count[1] >= call.count[0]:
            return call.count[1]
    last = calls[first - 1] if first else None
    return last.count[1] if last is not None and last.call == "del" else None


def judge_counts(observation: Observation, _: Observation | None) -> Verdict:
    """No read and no sample has less than the log had by then, nor more than it has afterwards.

    Events that are reset or inherited are left out: RESET takes a count back, and a read has
    what the children counted (conservation.sum).
    """
    expected = "each count between those of the calls around it"
    known = events(observation)
    names = event_names(observation.records)
    left_out = reset_events(observation) | {e.id for e in known.values() if e.inherit}
    log = event_calls(observation)
    faults, judged = [], 0
    for event, values in _values(observation).items():
        calls = log.get(event)
        if not calls or event in left_out:
            continue
        for value in values:
            judged += 1
            least = _least(calls, value.begin, observation.machine.call_ns)
            most = _most(calls, value.end)
            if value.count < least or (most is not None and value.count > most):
                bounds = f"{least} to {most}" if most is not None else f"{least} and more"
                faults.append(
                    f"{named(names, event)} at {milliseconds(value.end)} has {value.count} in a "
                    f"{'sample' if value.sampled else 'read'}, the log {bounds}"
                )
    if not known:
        return inconclusive(COUNTS, "no event was opened", expected)
    return verdict(
        COUNTS,
        faults,
        measured=f"{judged - len(faults)} of {judged} counts as the log has them",
        expected=expected,
        metrics={"counts": judged, "wrong": len(faults)},
    )


def _follow(values: Sequence[Value]) -> list[tuple[Value, Value]]:
    """Records of a kind that follow each other: of a read and a sample it is not told which was
    the first, as a read is of any moment since the record before it."""
    kinds = ([value for value in values if value.sampled is sampled] for sampled in (False, True))
    return [pair for found in kinds for pair in pairwise(found)]


def _turned_back(values: Sequence[Value], name: str) -> list[str]:
    """Times of one group that are impossible, by themselves or after those before them."""
    faults = [
        f"{name} at {milliseconds(value.end)}: running {value.running} ns, enabled "
        f"{value.enabled} ns"
        for value in values
        if value.running > value.enabled
    ]
    for before, after in _follow(values):
        for kind in ("enabled", "running"):
            fell = getattr(before, kind) - getattr(after, kind)
            if fell > 0:
                faults.append(
                    f"{name}: {kind} went back by {fell} ns from {milliseconds(before.end)} to "
                    f"{milliseconds(after.end)}"
                )
    return faults


def _beyond_clock(observation: Observation, values: Sequence[Value], name: str) -> list[str]:
    """Between two records of a group, more time than the clock's.

    A guest may stand still in each of them between the event's times and the record's.
    """
    slack = observation.machine.clock_step_ns + 2 * observation.machine.pause_ns
    return [
        f"{name}: enabled for {after.enabled - before.enabled} ns from "
        f"{milliseconds(before.end)} to {milliseconds(after.end)}"
        for before, after in _follow(values)
        if after.enabled - before.enabled > after.end + after.late - before.begin + slack
    ]


def _off_log(observation: Observation, values: Sequence[Value], name: str) -> list[str]:
    """Running times of one group that are not those between its leader's adds and dels.

    Each time that it is put on a counter or taken off, perf takes its own time some
    microseconds from the call; and so it does where another event is enabled (ENABLING_STOPS_TIME).
    """
    present = stays(observation).get(values[0].event, []) if values else []
    begins = [stay.begin for stay in present]
    before = [0, *accumulate(stay.end - stay.begin for stay in present)]

    def by(time: int) -> tuple[int, int]:
        """(how often it was put on a counter, for how long it was on one) by a time."""
        number = bisect_left(begins, time)
        if not number:
            return 0, 0
        last = present[number - 1]
        return number, before[number - 1] + min(last.end, time) - last.begin

    stops = observation.version in ENABLING_STOPS_TIME
    enabled = [call.time for call in observation.records.calls if stops and call.call == "add"]
    faults = []
    for value in values:
        (_, least), (number, most) = by(value.begin), by(value.end)
        number += bisect_left(enabled, value.end)
        call = observation.machine.call_ns + observation.machine.pause_ns
        slack = (call + delay_ns(observation)) * (1 + number)
        if not least - slack <= value.running <= most + slack:
            faults.append(
                f"{name} at {milliseconds(value.end)}: running {value.running} ns; the log has it "
                f"on a counter for {least} to {most} ns"
            )
    return faults


def judge_times(observation: Observation, _: Observation | None) -> Verdict:
    """Times run forward, running within enabled, enabled within the clock; running as the log.

    An inherited event has its children's times as well, and so no bound by the clock.
    """
    expected = "0 <= running <= enabled <= the clock; running == the time on a counter"
    known = events(observation)
    names = event_names(observation.records)
    watched = event_calls(observation)
    faults, judged = [], 0
    for event, seen in _values(observation).items():
        values = [value for value in seen if value.owner == event]
        # Samples of inherited events have no values.
        if event not in known:
            continue
        judged += len(values)
        name = named(names, event)
        faults += _turned_back(values, name)
        if known[event].inherit:
            continue
        faults += _beyond_clock(observation, values, name)
        if event in watched and exact(observation):
            faults += _off_log(observation, values, name)
    if not known:
        return inconclusive(TIMES, "no event was opened", expected)
    return verdict(
        TIMES,
        faults,
        measured=f"{judged} times, {len(faults)} faults",
        expected=expected,
        metrics={"times": judged, "wrong": len(faults)},
    )


CHECKS = (
    Check(
        COUNTS,
        "Do reads and samples have the counts that the callback log has?",
        judge_counts,
        Property("counts", most=ANY),
    ),
    Check(
        TIMES,
        "Do times run forward, within the clock's and as the callback log?",
        judge_times,
        Property("times", most=ANY),
    ),
)
