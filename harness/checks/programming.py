# SPDX-License-Identifier: MIT
"""Programming: the callbacks come in order and leave the counter as they should.

The kernel's side is struct pmu's start() and stop(), in drivers/perf/arm_pmu.c
and arch/x86/events/core.c.
"""

from dataclasses import dataclass

from harness.checks.adjustments import (
    PERF_HES,
    PERF_HES_STOPPED,
    Adjustment,
    completed,
    event_names,
    on_hardware,
)
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
from harness.guest.callback_records import Callback, Registers
from harness.guest.records import Event, Records, Throttle
from harness.model import Machine, Verdict

ORDER = "retention.order"
RELOAD = "retention.reload"
REGISTERS = "retention.registers"

_PERF_EF_START, _PERF_EF_RELOAD, _PERF_EF_UPDATE = 1, 2, 4
# Of an event of 64 bits, as KVM's on arm64 are (PERF_ATTR_CFG1_COUNTER_64BIT):
# armpmu_event_max_period() in drivers/perf/arm_pmu.c.
_WIDE_LEFT = 2**63 - 1


def _order_fault(call: Callback, place: str, released: bool) -> str:
    """What is wrong with a call, the event being `out`, `running` or `stopped`; or nothing.

    `released` is true where the call starts a throttled event again, which the
    interrupt handler disabled without a callback.  A stop need not read the counter
    without PERF_EF_UPDATE, with which x86_pmu_stop() does; what was not read is lost to a
    start with PERF_EF_RELOAD.
    """
    before, after = (state & PERF_HES for state in call.state)
    due = PERF_HES if call.flags & _PERF_EF_UPDATE else PERF_HES_STOPPED
    if call.call == "add" and place != "out":
        return "added while on a counter"
    if call.call in ("stop", "start") and place == "out":
        return f"{call.call} of an event without a counter"
    if call.call == "start" and not before & PERF_HES_STOPPED and not released:
        return "start of a running event"
    if call.call == "start" and before == PERF_HES_STOPPED and call.flags & _PERF_EF_RELOAD:
        return "start reloads a counter that was not read"
    if call.call == "start" and after:
        return f"hw.state is {after} after start"
    if call.call == "stop" and before == PERF_HES and call.count[0] != call.count[1]:
        return "stop of a stopped event changed its count"
    if call.call == "stop" and after & due != due:
        return f"hw.state is {after} after stop"
    return ""


def _unthrottling(observation: Observation) -> set[int]:
    """Positions, in the calls on hardware, of the starts that let a throttled event go again."""
    records = observation.records
    throttles = sorted(records.of(Throttle), key=lambda throttle: throttle.time)
    found = set()
    for position, call in enumerate(on_hardware(records)):
        before = [t for t in throttles if t.stream == call.id and t.time <= call.time]
        if call.call != "start" or not before or before[-1].kind != "unthrottle":
            continue
        # The record comes first, and this start behind it with no other call between.
        between = (c for c in on_hardware(records) if before[-1].time <= c.time < call.time)
        if not any(other.id == call.id for other in between):
            found.add(position)
    return found


def judge_order(observation: Observation, _: Observation | None) -> Verdict:
    """add -> start -> (stop -> start)* -> stop -> del, the HES flags in step."""
    expected = "add, start, (stop, start)*, stop, del; HES flags in step"
    records = observation.records
    names = event_names(records)
    released = _unthrottling(observation)
    place: dict[int, str] = {}
    faults = []
    calls = on_hardware(records)
    for position, call in enumerate(calls):
        here = place.get(call.id, "out" if call.idx[0] < 0 else "stopped")
        fault = _order_fault(call, here, position in released)
        if fault:
            faults.append(
                f"{named(names, call.id)} on CPU {call.cpu} at {milliseconds(call.time)}: "
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
    new period; *_set_period() then takes a new period where nothing is left, from
    now on where more than that is overdue.
    """
    left, period, handed = pause.left[1], resume.period[0], resume.left[0]
    due = counted and left > 8 * period
    if due and handed != 0:
        return f"period_left {left} is more than 8 x {period} and was kept"
    if not due and handed != left:
        return f"period_left {left} became {handed}, not being more than 8 x {period}"
    programmed = resume.left[1]
    anew = period if handed <= -period else handed + period
    if programmed != (handed if handed > 0 else anew):
        return f"period_left {handed} was reloaded as {programmed} (period {period})"
    return ""


def _programming_fault(start: Callback, machine: Machine, *, own: bool) -> str:
    """What is wrong with the counter's value after a start; or nothing.

    It is -period_left, and no further than `largest_left` from its wrap: a counter
    that could pass its own start between two interrupts would lose counts
    (armpmu_event_set_period() in drivers/perf/arm_pmu.c).  Nor is it nearer than
    `least_left` (x86_perf_event_set_period() in arch/x86/events/core.c).  Where nobody
    knows how wide the counters are, what the narrowest cannot hold is not judged.  The
    kernel's `own` events may ask for more bits than a probe's do, and for periods of 64.
    """
    if machine.widths_vary and start.left[1] > machine.largest_left:
        return ""
    left = max(start.left[1] % 2**64 if own else start.left[1], machine.least_left)
    widest = (machine.largest_left, _WIDE_LEFT) if own else (machine.largest_left,)
    # Modulo the counter's width: what was counted since is in both.
    if any((start.prev[1] + min(left, most)) % (2 * (most + 1)) == 0 for most in widest):
        return ""
    left = min(left, machine.largest_left)
    return f"the counter was programmed to {start.prev[1]:#x}, not to -{left}"


def _not_reloaded(records: Records) -> list[Callback]:
    """Starts without PERF_EF_RELOAD behind which the core had set period_left to 0.

    A driver that heeds the flag, as x86_pmu_start() does, goes on with the old period then; one
    that does not, as armpmu_start(), begins a new one all the same.
    """
    found, left = [], dict[int, int]()
    for call in on_hardware(records):
        if (
            call.call == "start"
            and left.get(call.id)
            and call.left[0] == 0
            and not call.flags & _PERF_EF_RELOAD
        ):
            found.append(call)
        left[call.id] = call.left[1]
    return found


def _starts(records: Records) -> list[Callback]:
    """The calls that start an event on its counter.

    An add without a counter was taken back before it got one (x86_pmu_cancel_txn()).
    """
    return [
        call
        for call in on_hardware(records)
        if call.call == "start"
        or (call.call == "add" and call.flags & _PERF_EF_START and call.idx[1] >= 0)
    ]


def _must_take_the_branch(observation: Observation) -> bool:
    """True if a scenario without the `> 8*sample_period` branch has not asked its question.

    Whether a drop of the rate leads there depends on how much is left of the period then.
    Where that is chance, only a scenario with many drops can be asked for it.
    """
    expect = observation.scenario.expect
    chosen = "instruction-clock" in observation.machine.offers or expect.get("any_phase")
    return bool(expect.get("reload_branch") and chosen)


def judge_reload(observation: Observation, _: Observation | None) -> Verdict:
    """period_left is reset by the `> 8*sample_period` branch and by nothing else."""
    expected = "period_left reset only if > 8*sample_period; counter = -period_left"
    records = observation.records
    names = event_names(records)
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
            faults.append(f"{named(names, adjustment.event)} in the tick at {when}: {fault}")
    starts = _starts(records)
    opened = {event.id for event in records.of(Event)}
    for start in starts:
        own = not {start.id, start.parent} & opened
        fault = _programming_fault(start, observation.machine, own=own)
        if fault:
            faults.append(f"{named(names, start.id)} at {milliseconds(start.time)}: {fault}")
    faults += [
        f"{named(names, call.id)} at {milliseconds(call.time)}: period_left was set to 0, and "
        f"start from {call.caller} has not PERF_EF_RELOAD"
        for call in _not_reloaded(records)
    ]
    if not starts:
        return inconclusive(RELOAD, "no event was started", expected)
    measured = f"branch taken in {taken} of {judged} adjustments, {len(starts)} starts, "
    measured += f"{len(faults)} wrong"
    if _must_take_the_branch(observation) and not taken and not faults:
        return inconclusive(RELOAD, "the > 8*sample_period branch was never taken", expected)
    return verdict(
        RELOAD,
        faults,
        measured=measured,
        expected=expected,
        metrics={
            "adjustments": judged,
            "branch_taken": taken,
            "starts": len(starts),
            "wrong": len(faults),
        },
    )


def _changed(before: Registers, after: Registers) -> set[int]:
    """Places of the counters whose value, type or enable bits differ."""
    return {
        place
        for place in range(len(before.counters))
        if before.counters[place] != after.counters[place]
        or before.types[place] != after.types[place]
        or (before.enabled ^ after.enabled) >> before.bit(place) & 1
        or (before.interrupts ^ after.interrupts) >> before.bit(place) & 1
    }


def _is_on(registers: Registers, place: int) -> bool:
    """True if a counter counts and its overflow interrupts."""
    bit = registers.bit(place)
    return bool(registers.enabled >> bit & 1 and registers.interrupts >> bit & 1)


@dataclass(frozen=True)
class _Rewrite:
    """The registers over one adjustment; `enabled` where the PMU was let go behind it."""

    index: int
    stopped: Registers
    between: Registers
    restarted: Registers
    enabled: Registers | None
    value: int


def _rewrites(observation: Observation) -> list[tuple[Adjustment, _Rewrite]]:
    """Each adjustment whose registers were logged."""
    enables = [call for call in observation.records.calls if call.call == "enable" and call.after]
    found = []
    for adjustment, pause, resume in completed(observation.records):
        if pause.before is None or resume.before is None or resume.after is None:
            continue
        after = (e.after for e in enables if e.cpu == resume.cpu and e.time >= resume.time)
        rewrite = _Rewrite(
            pause.idx[0],
            pause.before,
            resume.before,
            resume.after,
            next(after, None),
            resume.prev[1],
        )
        found.append((adjustment, rewrite))
    return found


def _place_fault(rewrite: _Rewrite, places: dict[int, int], machine: Machine) -> str:
    """Learns where a counter's registers are, or says why it cannot.

    Where hw.idx is no number of the hardware's, the one counter that changes tells.
    """
    if rewrite.index in places:
        return ""
    if machine.index_is_bit:
        bits = rewrite.stopped.bits
        if rewrite.index not in bits:
            return f"counter {rewrite.index} has no registers"
        places[rewrite.index] = bits.index(rewrite.index)
        return ""
    changed = _touched(rewrite)
    if len(changed) != 1:
        return f"registers of counters {sorted(changed)} changed, and not one of one counter"
    (places[rewrite.index],) = changed
    return ""


def _touched(rewrite: _Rewrite) -> set[int]:
    """Places of the counters that an adjustment wrote: in a tick the PMU stands still."""
    return _changed(rewrite.stopped, rewrite.restarted) | _changed(rewrite.stopped, rewrite.between)


def _register_fault(rewrite: _Rewrite, place: int, machine: Machine) -> str:
    """What is wrong with the hardware's registers over one adjustment; or nothing.

    Where the PMU is stopped by all counters' enable bits (x86_pmu_disable_all() on AMD)
    or a fixed counter's are written with it, only `enabled` shows them on again.
    """
    others = _touched(rewrite) - {place}
    if others:
        return f"registers of counters {sorted(others)} changed, not only those of {place}"
    if _is_on(rewrite.between, place):
        return f"counter {place} was still enabled after stop"
    on = _is_on(rewrite.restarted, place)
    if not on and not (rewrite.enabled and _is_on(rewrite.enabled, place)):
        return f"counter {place} or its interrupt was not enabled after start"
    width = 2 * (machine.largest_left + 1)
    held, wanted = rewrite.restarted.counters[place] % width, rewrite.value % width
    if held != wanted:
        return f"counter {place} holds {held:#x} after start, not {wanted:#x}"
    return ""


def judge_registers(observation: Observation, _: Observation | None) -> Verdict:
    """The same register is re-programmed, and no sibling's is written."""
    expected = "one counter written; off after stop; -period_left and on after start"
    names = event_names(observation.records)
    machine = observation.machine
    places: dict[int, int] = {}
    rewrites = _rewrites(observation)
    if not rewrites:
        return inconclusive(REGISTERS, "no adjustment with registers was logged", expected)
    faults = []
    for adjustment, rewrite in rewrites:
        fault = _place_fault(rewrite, places, machine)
        fault = fault or _register_fault(rewrite, places[rewrite.index], machine)
        if fault:
            when = milliseconds(adjustment.tick.time)
            faults.append(f"{named(names, adjustment.event)} in the tick at {when}: {fault}")
    return verdict(
        REGISTERS,
        faults,
        measured=f"{len(faults)} of {len(rewrites)} adjustments wrote what they should not",
        expected=expected,
        metrics={"adjustments": len(rewrites), "wrong": len(faults)},
    )


CHECKS = (
    Check(
        ORDER,
        "Are the callbacks called in a legal order?",
        judge_order,
        Property("calls", most=FEW),
    ),
    Check(
        RELOAD,
        "Is the counter reloaded with what was left of the period?",
        judge_reload,
        Property("starts", most=FEW),
    ),
    Check(
        REGISTERS,
        "Is the event's own register written, and no other?",
        judge_registers,
        Property("adjustments"),
    ),
)
