# SPDX-License-Identifier: MIT
"""The period adjustments in a callback log: which calls one tick made on one event."""

from dataclasses import dataclass, field

from harness.guest.records import Callback, Event, Records

PERF_HES_STOPPED = 1
PERF_HES_UPTODATE = 2


@dataclass
class Adjustment:
    """The calls that one tick made on one frequency-mode event that was on a counter."""

    tick: Callback
    event: int
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


def frequency_events(records: Records) -> set[int]:
    """Ids of the events that a probe opened in frequency mode."""
    return {event.id for event in records.of(Event) if event.frequency}


def adjustments(records: Records) -> list[Adjustment]:
    """One for each tick and each frequency-mode event that was active when it came.

    An event is active on a CPU from an add that succeeds to its del; the adds
    and dels that the tick itself makes do not end that.
    """
    wanted = frequency_events(records)
    active: dict[int, int] = {}
    current: dict[tuple[int, int], Adjustment] = {}
    found = []
    for call in records.of(Callback):
        if call.call == "tick":
            for event, cpu in active.items():
                if cpu == call.cpu:
                    current[cpu, event] = Adjustment(call, event)
                    found.append(current[cpu, event])
        elif call.id in wanted and call.tick:
            if (call.cpu, call.id) in current:
                current[call.cpu, call.id].calls.append(call)
        elif call.id in wanted and call.call == "add" and call.ret == 0:
            active[call.id] = call.cpu
        elif call.id in wanted and call.call == "del":
            active.pop(call.id, None)
    return found


def completed(records: Records) -> list[tuple[Adjustment, Callback, Callback]]:
    """(adjustment, its pause, its resume) of those that have both."""
    return [
        (adjustment, adjustment.pause, adjustment.resume)
        for adjustment in adjustments(records)
        if adjustment.pause is not None and adjustment.resume is not None
    ]
