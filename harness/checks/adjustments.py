# SPDX-License-Identifier: MIT
"""The period adjustments in a callback log: which calls one tick made on one event."""

from dataclasses import dataclass, field
from functools import lru_cache

from harness.guest.callback_records import Callback
from harness.guest.records import Event, Records, Throttle

PERF_HES_STOPPED = 1
PERF_HES_UPTODATE = 2
# PERF_HES_ARCH (4) is the architecture's own business.
PERF_HES = PERF_HES_STOPPED | PERF_HES_UPTODATE

# The PMUs without hardware: variables in kernel/events/core.c and hw_breakpoint.c.
SOFTWARE = frozenset(
    {"perf_swevent", "perf_cpu_clock", "perf_task_clock", "perf_tracepoint", "perf_breakpoint"}
)


@dataclass
class Adjustment:
    """The calls that one tick made on one frequency-mode event that was on a counter.

    `unthrottled` is true where the ring says that the tick let the event go again.
    """

    tick: Callback
    event: int
    pmu: str
    unthrottled: bool = False
    calls: list[Callback] = field(default_factory=list)

    @property
    def pause(self) -> Callback | None:
        """The first call that took the event off counting."""
        return next((call for call in self.calls if call.call in ("stop", "del")), None)

    @property
    def resume(self) -> Callback | None:
        """The last call that set it counting again."""
        back = [call for call in self.calls if call.call in ("start", "add")]
        return back[-1] if back else None

    @property
    def expected(self) -> list[str]:
        """The calls that perf_adjust_freq_unthr_context() makes.

        A throttled event was disabled by the interrupt handler; 6.1 starts it
        before it adjusts it, newer kernels leave that to the adjustment
        (0259bf63f71e, perf/core: Optimize perf_adjust_freq_unthr_context()).
        """
        started = self.unthrottled and bool(self.calls) and self.calls[0].call == "start"
        return ["start", "stop", "start"] if started else ["stop", "start"]


def frequency_events(records: Records) -> set[int]:
    """Ids of the events that a probe opened in frequency mode."""
    return {event.id for event in records.of(Event) if event.frequency}


@lru_cache(maxsize=4)
def event_names(records: Records) -> dict[int, str]:
    """The events' names; one that was inherited is called after its parent.

    What no one opened with perf_event_open(2) is the kernel's own, such as KVM's.
    """
    names = records.names()
    for call in records.calls:
        if call.id and call.id not in names:
            parent = names.get(call.parent, call.parent)
            names[call.id] = f"child of {parent}" if call.parent else "the kernel's own"
    return names


def on_hardware(records: Records) -> list[Callback]:
    """The calls on events of hardware PMUs, in the order of the log."""
    return [call for call in records.calls if call.is_event and call.pmu not in SOFTWARE]


def adjustments(records: Records) -> list[Adjustment]:
    """One for each tick and each frequency-mode event that was active when it came.

    An event is active on a CPU from an add that succeeds to its del; the adds
    and dels that the tick itself makes do not end that.
    """
    wanted = frequency_events(records)
    unthrottles = [throttle for throttle in records.of(Throttle) if throttle.kind == "unthrottle"]
    active: dict[int, Callback] = {}
    current: dict[tuple[int, int], Adjustment] = {}
    found = []
    for call in records.calls:
        if call.call == "tick":
            for event, added in active.items():
                if added.cpu == call.cpu:
                    current[call.cpu, event] = Adjustment(call, event, added.pmu)
                    found.append(current[call.cpu, event])
        elif call.call == "tick-end":
            _end_tick(call, current, unthrottles)
        elif not call.is_event or not {call.id, call.parent} & wanted:
            continue
        elif call.tick:
            if (call.cpu, call.id) in current:
                current[call.cpu, call.id].calls.append(call)
        elif call.call == "add" and call.ret == 0:
            active[call.id] = call
        elif call.call == "del":
            active.pop(call.id, None)
    return found


def _end_tick(
    end: Callback, current: dict[tuple[int, int], Adjustment], unthrottles: list[Throttle]
) -> None:
    """Note which events the ring says were unthrottled in the tick that ends."""
    for cpu, event in [place for place in current if place[0] == end.cpu]:
        adjustment = current.pop((cpu, event))
        adjustment.unthrottled = any(
            throttle.stream == event and adjustment.tick.time <= throttle.time <= end.time
            for throttle in unthrottles
        )


def completed(records: Records) -> list[tuple[Adjustment, Callback, Callback]]:
    """(adjustment, its pause, its resume) of those on hardware that have both."""
    return [
        (adjustment, adjustment.pause, adjustment.resume)
        for adjustment in adjustments(records)
        if adjustment.pause is not None
        and adjustment.resume is not None
        and adjustment.pmu not in SOFTWARE
    ]
