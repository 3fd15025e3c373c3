# SPDX-License-Identifier: MIT
"""The register trace beside the callback log: what the kernel says and what the machine saw."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass, field

from harness.checks.adjustments import SOFTWARE, event_names
from harness.checks.base import (
    Check,
    Observation,
    Property,
    disagreement,
    inconclusive,
    milliseconds,
    named,
    verdict,
)
from harness.checks.sightings import (
    SLACK_NS,
    Pair,
    Place,
    Sightings,
    counter_writes,
    leaves_running,
    programmings,
    reloads,
    sightings,
)
from harness.guest.callback_records import Callback
from harness.guest.records import Records
from harness.guest.trace_records import Access
from harness.model import Verdict

TRACE = "retention.trace"

# arch/x86/include/asm/perf_event.h and msr-index.h.
_SELECT_ENABLE = 1 << 22
_FIXED_CONTROL, _GLOBAL_CONTROL = 0x38D, 0x38F
_FIXED, _FIXED_BITS = 32, 4


@dataclass
class Tick:
    """A tick in which the log has calls on events of hardware PMUs.

    `start` and `end` are by the machine's clock, SLACK_NS before and behind; `running`
    are the counters that the log has running behind it.
    """

    begin: Callback
    start: int = 0
    end: int = 0
    running: set[int] = field(default_factory=set)
    calls: list[Callback] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)

    @property
    def assigned(self) -> set[int]:
        """The counters that were given to events."""
        return {call.idx[1] for call in self.calls if call.call in ("add", "assign")}

    @property
    def last_write(self) -> int:
        """When the last of its programmings was done."""
        return max((write.time for _, write in self.pairs), default=self.start)


class _Running:
    """The counters that the log has running: where each event is."""

    def __init__(self) -> None:
        self._places: dict[int, Place] = {}

    def call(self, call: Callback) -> None:
        """Take over what a call did."""
        self._places.pop(call.id, None)
        if leaves_running(call):
            self._places[call.id] = (call.cpu, call.idx[1])

    def of(self, cpu: int) -> set[int]:
        """Those of one CPU."""
        return {counter for where, counter in self._places.values() if where == cpu}


def ticks(records: Records, seen: Sightings) -> list[Tick]:
    """The ticks that have calls on events of hardware PMUs."""
    writes = {id(call): write for call, write in seen.pairs}
    running = _Running()
    current: dict[int, Tick] = {}
    found = []
    for call in records.of(Callback):
        if call.call == "tick":
            current[call.cpu] = Tick(call)
        elif call.call == "tick-end" and call.cpu in current:
            tick = current.pop(call.cpu)
            tick.start = seen.on_machine(tick.begin.time) - SLACK_NS
            tick.end = seen.on_machine(call.time) + SLACK_NS
            tick.running = running.of(call.cpu)
            found += [tick] if tick.calls else []
        elif (call.is_event or call.call == "assign") and call.pmu not in SOFTWARE:
            running.call(call)
            if call.tick and call.cpu in current:
                tick = current[call.cpu]
                tick.calls.append(call)
                tick.pairs += [(call, writes[id(call)])] if id(call) in writes else []
    return found


class _Selects:
    """Which counters count, by what was written to the control registers of one CPU.

    A general counter does if its select register says so, a fixed one if its bits of
    the fixed control register do; `joint`, both only if the global control register
    has them, too.
    """

    def __init__(self, *, joint: bool) -> None:
        self._selects: dict[int, int] = {}
        self._control: dict[int, int] = {}
        self._joint = joint

    def write(self, access: Access) -> int:
        """Take over what was written; which bits of a select register changed, but for enabling."""
        if access.role == "control":
            self._control[access.msr] = access.value
        if access.role != "select":
            return 0
        before = self._selects.get(access.counter, access.value)
        self._selects[access.counter] = access.value
        return (before ^ access.value) & ~_SELECT_ENABLE

    def counting(self) -> set[int]:
        """The counters that count, by the kernel's numbers."""
        fixed, mask = self._control.get(_FIXED_CONTROL, 0), (1 << _FIXED_BITS) - 1
        on = {counter for counter, value in self._selects.items() if value & _SELECT_ENABLE}
        on |= {_FIXED + place for place in range(16) if fixed >> _FIXED_BITS * place & mask}
        if not self._joint:
            return on
        allowed = self._control.get(_GLOBAL_CONTROL, 0)
        return {counter for counter in on if allowed >> counter & 1}


class _Witnessed:
    """What the machine saw written on one CPU: all of it, and what nothing explains."""

    def __init__(self) -> None:
        self.writes: list[Access] = []
        self.strays: list[Access] = []

    @staticmethod
    def within(writes: list[Access], tick: Tick) -> slice:
        """Where a tick's part of the writes is."""
        first = bisect_left(writes, tick.start, key=lambda write: write.time)
        return slice(first, bisect_right(writes, tick.end, key=lambda write: write.time))


def _witnessed(records: Records, seen: Sightings) -> dict[int, _Witnessed]:
    """By CPU."""
    explained = {id(write) for _, write in seen.pairs} | reloads(records)
    found: dict[int, _Witnessed] = defaultdict(_Witnessed)
    for access in records.of(Access):
        if access.access == "write":
            found[access.cpu].writes.append(access)
            stray = access.role == "counter" and id(access) not in explained
            found[access.cpu].strays += [access] if stray else []
    return found


def _stray_faults(tick: Tick, strays: list[Access]) -> list[str]:
    """Writes in a tick to counters that no call in it programmed, and no interrupt."""
    own = sorted({call.idx[1] for call, _ in tick.pairs})
    log = f"log: the tick programmed {', '.join(f'counter {counter}' for counter in own) or 'none'}"
    return [
        f"{log}; trace: {write.value:#x} was written to counter {write.counter}" for write in strays
    ]


def _select_faults(tick: Tick, writes: list[Access], state: _Selects) -> list[str]:
    """What a tick did to select and control registers that it should not have.

    To disable and enable their PMU, AMD's drivers write the select registers of all
    counters (x86_pmu_disable_all(), amd_pmu_enable_all()) and Intel's the global control
    register.  Either way, what counted before counts again, and what a counter counts
    is changed only where it is given to an event.
    """
    wanted = tick.running & (state.counting() | {call.idx[1] for call, _ in tick.pairs})
    enabled: set[int] = set()
    faults = []
    for write in writes:
        changed = state.write(write)
        if changed and write.counter not in tick.assigned:
            faults.append(
                f"log: counter {write.counter} was given to no event; "
                f"trace: bits {changed:#x} of its select register changed"
            )
        if write.time >= tick.last_write:
            enabled |= state.counting()
    return faults + [
        f"log: counter {counter} runs; trace: it was not enabled again"
        for counter in sorted(wanted - enabled)
    ]


def _tick_faults(found: list[Tick], witnessed: _Witnessed) -> list[str]:
    """What is wrong in the ticks of one CPU."""
    joint = any(write.msr == _GLOBAL_CONTROL for write in witnessed.writes)
    state, done = _Selects(joint=joint), 0
    faults = []
    for tick in found:
        mine = witnessed.within(witnessed.writes, tick)
        for write in witnessed.writes[done : mine.start]:
            state.write(write)
        wrong = _stray_faults(tick, witnessed.strays[witnessed.within(witnessed.strays, tick)])
        wrong += _select_faults(tick, witnessed.writes[mine], state)
        done = mine.stop
        place = f"in the tick of CPU {tick.begin.cpu} at {milliseconds(tick.begin.time)}"
        faults += [f"{place}: {fault}" for fault in wrong]
    return faults


def _programming_faults(seen: Sightings, names: dict[int, str], modulus: int) -> list[str]:
    """Programmings that the machine saw otherwise, or not at all."""
    found = [
        (call, f"{write.value % modulus:#x} was written")
        for call, write in seen.pairs
        if (write.value - call.prev[1]) % modulus
    ]
    found += [(call, "nothing was written to it") for call in seen.unseen]
    return [
        f"{named(names, call.id)} on CPU {call.cpu} at {milliseconds(call.time)}: "
        f"log: {call.call} programmed counter {call.idx[1]} to {call.prev[1] % modulus:#x}; "
        f"trace: {saw}"
        for call, saw in sorted(found, key=lambda pair: pair[0].time)
    ]


def judge_trace(observation: Observation, _: Observation | None) -> Verdict:
    """What the log says was programmed is what the machine saw written, and nothing else.

    Neither witness interprets: the log reads hw.idx and hw.prev_count, by which the
    kernel tells later what was counted, and the trace has the operands of WRMSR.  Where
    they meet in time and differ in a counter, a value or the enabling, the kernel's
    books do not fit what it did: its own fault.  Where they do not meet in time they
    are not about the same run, or no counter was ever written, which looks like a
    trace that does not work: an error.
    """
    expected = "each programming seen by the machine, with its value, and no other write"
    records = observation.records
    calls = programmings(records)
    if not calls:
        return inconclusive(TRACE, "no programming was logged", expected)
    modulus = 2 * (observation.machine.largest_left + 1)
    seen = sightings(records, modulus)
    if seen is None:
        return disagreement(TRACE, _both(calls, records), expected)
    found = ticks(records, seen)
    faults = _programming_faults(seen, event_names(records), modulus)
    for cpu, witnessed in _witnessed(records, seen).items():
        faults += _tick_faults([tick for tick in found if tick.begin.cpu == cpu], witnessed)
    return verdict(
        TRACE,
        faults,
        measured=f"{len(calls)} programmings, {len(found)} ticks, {len(faults)} faults",
        expected=expected,
        metrics={
            "programmings": len(calls),
            "unseen": len(seen.unseen),
            "ticks": len(found),
            "faults": len(faults),
        },
    )


def _both(calls: list[Callback], records: Records) -> list[str]:
    """What each witness says, where they do not meet in time."""
    writes = [write for some in counter_writes(records).values() for write in some]
    first = calls[0]
    log = f"log: {len(calls)} programmings, first of counter {first.idx[1]} on CPU {first.cpu}"
    if not writes:
        return [log, "trace: no counter was written"]
    early = min(writes, key=lambda write: write.time)
    place = f"counter {early.counter} on CPU {early.cpu}"
    return [log, f"trace: {len(writes)} writes of counters' values, first of {place}"]


CHECKS = (
    Check(
        TRACE,
        "Did the machine see what the callbacks are said to have programmed?",
        judge_trace,
        Property("programmings"),
    ),
)
