# SPDX-License-Identifier: MIT
"""Retention: an event keeps its counter while the kernel adjusts its sampling period.

The kernel's side is perf_event_task_tick() and perf_adjust_period() in
kernel/events/core.c.
"""

import re

from harness.checks.adjustments import (
    PERF_HES_STOPPED,
    PERF_HES_UPTODATE,
    Adjustment,
    adjustments,
    completed,
)
from harness.checks.base import (
    Check,
    Observation,
    disagreement,
    inconclusive,
    milliseconds,
    verdict,
)
from harness.guest.records import Callback, Index, Phase
from harness.model import Verdict

RELEASE = "retention.release"
PAIRING = "retention.pairing"
COUNTER = "retention.counter"
ORDER = "retention.order"
RELOAD = "retention.reload"

# Functions that adjust a period outside the tick: on overflow, and for
# PERF_EVENT_IOC_PERIOD.
_ADJUSTING = re.compile(r"perf_adjust|account_interrupt|event_overflow|event_period")

# The largest count that a 32-bit counter is programmed with: half its range,
# armpmu_event_set_period() in drivers/perf/arm_pmu.c.
_LARGEST_LEFT = (1 << 31) - 1


def _no_adjustment(check: str, expected: str) -> Verdict:
    return inconclusive(check, "no event was adjusted", expected)


def _name(names: dict[int, str], event: int) -> str:
    return f"{names.get(event, 'event')} (id {event})"


def judge_release(observation: Observation, _: Observation | None) -> Verdict:
    """No add and no del while a period is adjusted, in the tick or outside it."""
    expected = "no add, no del during an adjustment"
    records = observation.records
    found = adjustments(records)
    if not found:
        return _no_adjustment(RELEASE, expected)
    names = records.names()
    faults = []
    for adjustment in found:
        for call in adjustment.calls:
            if call.call == "del":
                faults.append(_released(adjustment, call, names))
    outside = [
        call
        for call in records.of(Callback)
        if call.call == "del" and not call.tick and _ADJUSTING.search(call.caller)
    ]
    faults += [
        f"{_name(names, call.id)} on CPU {call.cpu} gave up counter {call.idx[0]} at "
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
        f"{_name(names, call.id)} on CPU {call.cpu} gave up counter {call.idx[0]} with del and "
        f"{got}, in the tick at {milliseconds(adjustment.tick.time)} ({call.caller})"
    )


def judge_pairing(observation: Observation, _: Observation | None) -> Verdict:
    """One stop and one start for each tick and event."""
    expected = "one stop, one start for each tick"
    found = adjustments(observation.records)
    if not found:
        return _no_adjustment(PAIRING, expected)
    names = observation.records.names()
    faults = []
    for adjustment in found:
        calls = [call.call for call in adjustment.calls if call.call in ("stop", "start")]
        if calls != ["stop", "start"]:
            made = ", ".join(call.call for call in adjustment.calls) or "no call"
            faults.append(
                f"{_name(names, adjustment.event)}: {made} in the tick at "
                f"{milliseconds(adjustment.tick.time)}"
            )
    return verdict(
        PAIRING,
        faults,
        measured=f"{len(found) - len(faults)} of {len(found)} ticks with one of each",
        expected=expected,
        metrics={"adjustments": len(found), "odd": len(faults)},
    )


def _moves_in_log(found: list[Adjustment]) -> list[tuple[Adjustment, int, int]]:
    """Adjustments over which an event's hw.idx changed: (adjustment, before, after)."""
    moves = []
    for adjustment in found:
        if adjustment.calls:
            before, after = adjustment.calls[0].idx[0], adjustment.calls[-1].idx[1]
            if before != after:
                moves.append((adjustment, before, after))
    return moves


def _moves_on_page(observation: Observation) -> list[Index]:
    """Changes of the mmap page's index that no context switch explains."""
    seen = observation.records.of(Index)
    return [index for index in seen if index.switches == 0 and index.old and index.new]


def _in_user_phase(observation: Observation, time: int) -> bool:
    """True if a probe was looking at the page at this time."""
    phases = [phase for phase in observation.records.of(Phase) if phase.time <= time]
    return bool(phases) and phases[-1].name == "user"


def _page_contradicts_log(
    observation: Observation, moves: list[tuple[Adjustment, int, int]]
) -> list[str]:
    """What one witness of a counter's identity saw and the other did not.

    The page and the driver number counters differently, and kernels differ in
    how; so it is the moves that must match, and one number must always stand
    for the same other one.
    """
    pages = observation.records.of(Index)
    watched = {page.id for page in pages}
    faults: list[str] = []
    matched: list[Index] = []
    numbers: dict[int, int] = {}
    for adjustment, before, after in moves:
        time, event = adjustment.tick.time, adjustment.event
        if event not in watched or not _in_user_phase(observation, time):
            continue
        page = next((page for page in pages if page.id == event and page.time > time), None)
        if page is None or page.switches:
            faults.append(
                f"log: event {event} moved from counter {before} to {after} at "
                f"{milliseconds(time)}; its page showed no change then"
            )
            continue
        matched.append(page)
        for counter, index in ((before, page.old), (after, page.new)):
            if numbers.setdefault(counter, index) != index:
                faults.append(
                    f"counter {counter} of the log is index {index} on the page of event {event} "
                    f"at {milliseconds(page.time)}, and was {numbers[counter]} before"
                )
    faults += [
        f"page: event {page.id} went from index {page.old} to {page.new} by "
        f"{milliseconds(page.time)}; the log shows no move then"
        for page in _moves_on_page(observation)
        if page not in matched
    ]
    return faults


def _shared_counters(records_calls: list[Callback], names: dict[int, str]) -> list[str]:
    """Adds that got a counter which another event of the CPU was on."""
    held: dict[tuple[int, int], int] = {}
    faults = []
    for call in records_calls:
        if call.call == "del":
            held.pop((call.cpu, call.idx[0]), None)
        elif call.call == "add" and call.ret == 0:
            place = (call.cpu, call.idx[1])
            if place in held and held[place] != call.id:
                faults.append(
                    f"{_name(names, call.id)} was put on counter {place[1]} of CPU {place[0]} at "
                    f"{milliseconds(call.time)} while {_name(names, held[place])} was on it"
                )
            held[place] = call.id
    return faults


def _silent_moves(calls: list[Callback], names: dict[int, str]) -> list[str]:
    """Changes of hw.idx between two calls, or in a stop or start: no add, no del."""
    last: dict[int, int] = {}
    faults = []
    for call in calls:
        if call.call == "tick":
            continue
        known = last.get(call.id)
        moved = call.idx[0] if known is not None and known != call.idx[0] else None
        if moved is None and call.call in ("stop", "start") and call.idx[0] != call.idx[1]:
            known, moved = call.idx
        if moved is not None:
            faults.append(
                f"{_name(names, call.id)} on CPU {call.cpu} moved from counter {known} to "
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
    names = records.names()
    moves = _moves_in_log(found)
    contradictions = _page_contradicts_log(observation, moves)
    if contradictions:
        return disagreement(COUNTER, contradictions, expected)
    faults = [
        f"log: {_name(names, adjustment.event)} on CPU {adjustment.tick.cpu} was moved from "
        f"counter {before} to {after} by the tick at {milliseconds(adjustment.tick.time)}"
        for adjustment, before, after in moves
    ]
    faults += [
        f"page: {_name(names, page.id)} found itself on index {page.new} instead of {page.old} "
        f"at {milliseconds(page.time)}, with no context switch in between"
        for page in _moves_on_page(observation)
    ]
    calls = records.of(Callback)
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


def _order_fault(call: Callback, place: str) -> str:
    """What is wrong with a call, the event being `out`, `running` or `stopped`; or nothing."""
    before, after = call.state
    if call.call == "add" and place != "out":
        return "added while on a counter"
    if call.call in ("stop", "start") and place == "out":
        return f"{call.call} of an event without a counter"
    if call.call == "start" and not before & PERF_HES_STOPPED:
        return "start of a running event"
    if call.call == "start" and after:
        return f"hw.state is {after} after start"
    if call.call == "stop" and before & PERF_HES_STOPPED and call.count[0] != call.count[1]:
        return "stop of a stopped event changed its count"
    if call.call == "stop" and after != PERF_HES_STOPPED | PERF_HES_UPTODATE:
        return f"hw.state is {after} after stop"
    return ""


def judge_order(observation: Observation, _: Observation | None) -> Verdict:
    """add -> start -> (stop -> start)* -> stop -> del, the HES flags in step."""
    expected = "add, start, (stop, start)*, stop, del; HES flags in step"
    records = observation.records
    names = records.names()
    place: dict[int, str] = {}
    faults = []
    calls = [call for call in records.of(Callback) if call.call != "tick"]
    for call in calls:
        here = place.get(call.id, "out" if call.idx[0] < 0 else "stopped")
        fault = _order_fault(call, here)
        if fault:
            faults.append(
                f"{_name(names, call.id)} on CPU {call.cpu} at {milliseconds(call.time)}: "
                f"{fault} ({call.call} from {call.caller})"
            )
        after = {"del": "out", "stop": "stopped", "start": "running", "add": "running"}[call.call]
        place[call.id] = "out" if call.idx[1] < 0 else after
    if not calls:
        return inconclusive(ORDER, "no call was logged", expected)
    return verdict(
        ORDER,
        faults,
        measured=f"{len(faults)} of {len(calls)} calls out of order",
        expected=expected,
        metrics={"calls": len(calls), "out_of_order": len(faults)},
    )


def _reload_fault(pause: Callback, resume: Callback, counted: bool) -> str:
    """What is wrong with what an adjustment did to period_left; or nothing.

    perf_adjust_period() resets it to 0 only where it is more than 8 times the
    new period; *_set_period() then programs the counter to -period_left.
    """
    left, period, handed = pause.left[1], resume.period[0], resume.left[0]
    due = counted and left > 8 * period
    if due and handed != 0:
        return f"period_left {left} is more than 8 x {period} and was kept"
    if not due and handed != left:
        return f"period_left {left} became {handed}, not being more than 8 x {period}"
    programmed = resume.left[1]
    if programmed != (handed if handed > 0 else handed + period):
        return f"period_left {handed} was reloaded as {programmed} (period {period})"
    if programmed <= _LARGEST_LEFT and resume.prev[1] != (1 << 64) - programmed:
        return f"the counter was programmed to {resume.prev[1]:#x}, not to -{programmed}"
    return ""


def judge_reload(observation: Observation, _: Observation | None) -> Verdict:
    """period_left is reset by the `> 8*sample_period` branch and by nothing else."""
    expected = "period_left reset only if > 8*sample_period; counter = -period_left"
    records = observation.records
    names = records.names()
    stamps: dict[int, int] = {}
    faults, taken, judged = [], 0, 0
    for adjustment, pause, resume in completed(records):
        counted = pause.count[1] > stamps.get(adjustment.event, 0)
        stamps[adjustment.event] = pause.count[1]
        judged += 1
        taken += pause.left[1] > 0 and resume.left[0] == 0
        fault = _reload_fault(pause, resume, counted)
        if fault:
            when = milliseconds(adjustment.tick.time)
            faults.append(f"{_name(names, adjustment.event)} in the tick at {when}: {fault}")
    if not judged:
        return _no_adjustment(RELOAD, expected)
    measured = f"branch taken in {taken} of {judged} adjustments, {len(faults)} wrong"
    if observation.scenario.expect.get("reload_branch") and not taken and not faults:
        return inconclusive(RELOAD, "the > 8*sample_period branch was never taken", expected)
    return verdict(
        RELOAD,
        faults,
        measured=measured,
        expected=expected,
        metrics={"adjustments": judged, "branch_taken": taken, "wrong": len(faults)},
    )


CHECKS = (
    Check(RELEASE, "Is the counter released while the period is adjusted?", judge_release),
    Check(PAIRING, "Is each event stopped once and started once in each tick?", judge_pairing),
    Check(COUNTER, "Does each event stay on its counter?", judge_counter),
    Check(ORDER, "Are the callbacks called in a legal order?", judge_order),
    Check(RELOAD, "Is the counter reloaded with what was left of the period?", judge_reload),
)
