# SPDX-License-Identifier: MIT
"""Retention: an event keeps its counter while the kernel adjusts its sampling period.

The kernel's side is perf_event_task_tick() and perf_adjust_period() in
kernel/events/core.c.
"""

import re
from itertools import pairwise

from harness.checks.adjustments import (
    SOFTWARE,
    Adjustment,
    adjustments,
    event_names,
    frequency_events,
    on_hardware,
)
from harness.checks.base import (
    FEW,
    Check,
    Observation,
    Property,
    disagreement,
    inconclusive,
    milliseconds,
    named,
    verdict,
)
from harness.checks.points import main_phases
from harness.checks.witnesses import moves_in_log, moves_on_page, page_contradicts_log
from harness.guest.callback_records import Callback
from harness.guest.records import Event, Index
from harness.model import Verdict

RELEASE = "retention.release"
PAIRING = "retention.pairing"
COUNTER = "retention.counter"
RESIDENCE = "retention.residence"
ISOLATION = "retention.isolation"
BYSTANDER = "retention.bystander"

# Functions that adjust a period outside the tick: on overflow, and for
# PERF_EVENT_IOC_PERIOD.
_ADJUSTING = re.compile(r"perf_adjust|account_interrupt|event_overflow|event_period")


def _no_adjustment(check: str, expected: str) -> Verdict:
    return inconclusive(check, "no event was adjusted", expected)


def judge_release(observation: Observation, _: Observation | None) -> Verdict:
    """No add and no del while a period is adjusted, in the tick or outside it."""
    expected = "no add, no del during an adjustment"
    records = observation.records
    found = adjustments(records)
    if not found:
        return _no_adjustment(RELEASE, expected)
    names = event_names(records)
    faults = []
    for adjustment in found:
        for call in adjustment.calls:
            if call.call == "del":
                faults.append(_released(adjustment, call, names))
    outside = [
        call
        for call in records.calls
        if call.call == "del" and not call.tick and _ADJUSTING.search(call.caller)
    ]
    faults += [
        f"{named(names, call.id)} on CPU {call.cpu} gave up counter {call.idx[0]} at "
        f"{milliseconds(call.time)}, outside a tick (del from {call.caller})"
        for call in outside
    ]
    return verdict(
        RELEASE,
        faults,
        measured=f"{len(faults)} releases in {len(found)} adjustments",
        expected=expected,
        metrics={"adjustments": len(found), "releases": len(faults)},
    )


def _released(adjustment: Adjustment, call: Callback, names: dict[int, str]) -> str:
    back = [again for again in adjustment.calls if again.call == "add"]
    got = f"took counter {back[0].idx[1]} with add" if back else "took none back"
    if back and back[0].ret:
        got = f"was refused another one (add returned {back[0].ret})"
    return (
        f"{named(names, call.id)} on CPU {call.cpu} gave up counter {call.idx[0]} with del and "
        f"{got}, in the tick at {milliseconds(adjustment.tick.time)} ({call.caller})"
    )


def judge_pairing(observation: Observation, _: Observation | None) -> Verdict:
    """One stop and one start for each tick and event, and a start before if it was throttled."""
    expected = "one stop, one start for each tick"
    found = adjustments(observation.records)
    if not found:
        return _no_adjustment(PAIRING, expected)
    names = event_names(observation.records)
    faults = []
    for adjustment in found:
        calls = [call.call for call in adjustment.calls if call.call in ("stop", "start")]
        if calls != adjustment.expected:
            made = ", ".join(call.call for call in adjustment.calls) or "no call"
            faults.append(
                f"{named(names, adjustment.event)}: {made} in the tick at "
                f"{milliseconds(adjustment.tick.time)}"
            )
    return verdict(
        PAIRING,
        faults,
        measured=f"{len(found) - len(faults)} of {len(found)} ticks with one of each",
        expected=expected,
        metrics={"adjustments": len(found), "odd": len(faults)},
    )


def _shared_counters(records_calls: list[Callback], names: dict[int, str]) -> list[str]:
    """Adds that got a counter which another event of the CPU was on."""
    held: dict[tuple[int, int], int] = {}
    faults = []
    for call in records_calls:
        if call.call == "del":
            held.pop((call.cpu, call.idx[0]), None)
        # Without a counter it was taken back before it got one (x86_pmu_cancel_txn()).
        elif call.call == "add" and call.ret == 0 and call.idx[1] >= 0:
            place = (call.cpu, call.idx[1])
            if place in held and held[place] != call.id:
                faults.append(
                    f"{named(names, call.id)} was put on counter {place[1]} of CPU {place[0]} at "
                    f"{milliseconds(call.time)} while {named(names, held[place])} was on it"
                )
            held[place] = call.id
    return faults


def _silent_moves(calls: list[Callback], names: dict[int, str]) -> list[str]:
    """Changes of hw.idx between two calls, or in a stop or start: no add, no del."""
    last: dict[int, int] = {}
    faults = []
    for call in calls:
        known = last.get(call.id)
        moved = call.idx[0] if known is not None and known != call.idx[0] else None
        if moved is None and call.call in ("stop", "start") and call.idx[0] != call.idx[1]:
            known, moved = call.idx
        if moved is not None:
            faults.append(
                f"{named(names, call.id)} on CPU {call.cpu} moved from counter {known} to "
                f"{moved} by {milliseconds(call.time)} without add or del"
            )
        last[call.id] = call.idx[1]
    return faults


def judge_counter(observation: Observation, _: Observation | None) -> Verdict:
    """hw.idx is constant while adjusted, and no two events share a counter."""
    expected = "the same counter after each adjustment, one event on it"
    records = observation.records
    found = adjustments(records)
    if not found:
        return _no_adjustment(COUNTER, expected)
    names = event_names(records)
    moves = moves_in_log(found)
    contradictions = page_contradicts_log(observation, moves)
    if contradictions:
        return disagreement(COUNTER, contradictions, expected)
    faults = [
        f"log: {named(names, adjustment.event)} on CPU {adjustment.tick.cpu} was moved from "
        f"counter {before} to {after} by the tick at {milliseconds(adjustment.tick.time)}"
        for adjustment, before, after in moves
    ]
    faults += [
        f"page: {named(names, page.id)} found itself on index {page.new} instead of {page.old} "
        f"at {milliseconds(page.time)}, with no context switch in between"
        for page in moves_on_page(observation)
    ]
    calls = on_hardware(records)
    faults += _shared_counters(calls, names) + _silent_moves(calls, names)
    witnesses = 2 if records.of(Index) else 1
    return verdict(
        COUNTER,
        faults,
        measured=f"{len(moves)} moves in {len(found)} adjustments "
        f"({'callback log and mmap page' if witnesses == 2 else 'callback log'})",
        expected=expected,
        metrics={"adjustments": len(found), "moves": len(moves), "witnesses": witnesses},
    )


def judge_residence(observation: Observation, _: Observation | None) -> Verdict:
    """A CPU-wide event stays on its counter through every step that only works.

    Counters suffice, so rotation has nothing to do; a CPU-wide event is not
    moved by context switches either.
    """
    expected = "no add, no del of a CPU-wide event while tasks only work"
    records = observation.records
    names = event_names(records)
    resident = {event.id for event in records.of(Event) if not event.task and not event.cgroup}
    windows = _working_windows(observation)
    calls = [call for call in on_hardware(records) if call.id in resident]
    if not calls or not windows:
        return inconclusive(RESIDENCE, "no CPU-wide event, or no step that works", expected)
    faults = [
        f"{named(names, call.id)} on CPU {call.cpu}: {call.call} at {milliseconds(call.time)} "
        f"from {call.caller}, counter {call.idx[0]} to {call.idx[1]}"
        for call in calls
        if call.call in ("add", "del") and any(begin < call.time < end for begin, end in windows)
    ]
    return verdict(
        RESIDENCE,
        faults,
        measured=f"{len(faults)} adds and dels in {len(windows)} steps of work",
        expected=expected,
        metrics={"moves": len(faults), "steps": len(windows)},
    )


def _working_windows(observation: Observation) -> list[tuple[int, int]]:
    """(begin, end) of main's steps that open, enable and disable nothing."""
    return [
        (phase.time, after.time)
        for phase, after in pairwise(main_phases(observation))
        if phase.name.startswith(("user ", "kernel ", "vm "))
    ]


def judge_isolation(observation: Observation, _: Observation | None) -> Verdict:
    """A tick that adjusts an event of one PMU stops no other PMU."""
    expected = "the tick stops only PMUs that have an event to adjust"
    records = observation.records
    busy: dict[str, set[int]] = {}
    for call in records.calls:
        if call.is_event and {call.id, call.parent} & frequency_events(records):
            busy.setdefault(call.pmu, set()).add(call.id)
    watched = {call.pmu for call in records.calls if call.is_event}
    idle = watched - set(busy)
    ticks = sum(call.call == "tick" for call in records.calls)
    if not idle or not ticks:
        return inconclusive(ISOLATION, "no PMU without an event to adjust", expected)
    faults = [
        f"the tick at {milliseconds(call.time)} on CPU {call.cpu} stopped {call.pmu}, "
        "which has no event in frequency mode"
        for call in records.calls
        if call.call == "disable" and call.pmu in idle
    ]
    return verdict(
        ISOLATION,
        faults,
        measured=f"{', '.join(sorted(idle))} stopped {len(faults)} times in {ticks} ticks",
        expected=expected,
        metrics={"ticks": ticks, "stopped": len(faults)},
    )


def judge_bystander(observation: Observation, _: Observation | None) -> Verdict:
    """A tick touches the events in frequency mode, and no other one on a counter.

    Such as KVM's, which have a fixed period.  The tick lets a throttled one go again
    (perf_adjust_freq_unthr_events()), which is a start.
    """
    expected = "no add, no del, no stop and no other counter in a tick that does not adjust it"
    records = observation.records
    adjusted = frequency_events(records)
    names = event_names(records)
    present: dict[int, int] = {}
    judged, faults = 0, []
    for call in records.calls:
        if call.call == "tick":
            judged += sum(cpu == call.cpu for cpu in present.values())
        if not call.id or call.pmu in SOFTWARE or {call.id, call.parent} & adjusted:
            continue
        if call.tick and call.call in ("add", "del", "stop", "assign"):
            faults.append(
                f"{named(names, call.id)} on CPU {call.cpu}: {call.call} in a tick at "
                f"{milliseconds(call.time)} ({call.caller}), counter {call.idx[0]} to {call.idx[1]}"
            )
        if call.call == "add" and call.idx[1] >= 0:
            present[call.id] = call.cpu
        elif call.call == "del":
            present.pop(call.id, None)
    if not judged:
        return inconclusive(BYSTANDER, "no tick came while another event counted", expected)
    return verdict(
        BYSTANDER,
        faults,
        measured=f"{len(faults)} calls on events that are not adjusted, on a counter in "
        f"{judged} ticks",
        expected=expected,
        metrics={"ticks": judged, "calls": len(faults)},
    )


CHECKS = (
    Check(
        RELEASE,
        "Is the counter released while the period is adjusted?",
        judge_release,
        Property("adjustments"),
    ),
    Check(
        PAIRING,
        "Is each event stopped once and started once in each tick?",
        judge_pairing,
        Property("adjustments"),
    ),
    Check(COUNTER, "Does each event stay on its counter?", judge_counter, Property("adjustments")),
    Check(
        RESIDENCE,
        "Does a CPU-wide event stay while nothing asks for its place?",
        judge_residence,
        Property("steps", most=FEW),
    ),
    Check(
        ISOLATION,
        "Does an event of one PMU leave the other PMUs alone?",
        judge_isolation,
        Property("ticks"),
    ),
    Check(
        BYSTANDER,
        "Does a tick leave alone what it does not adjust?",
        judge_bystander,
        Property("ticks"),
    ),
)
