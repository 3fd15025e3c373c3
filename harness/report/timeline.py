# SPDX-License-Identifier: MIT
"""Which event was on which counter when, from a callback log, as bars to draw."""

from dataclasses import dataclass

from harness.checks.adjustments import event_names
from harness.guest.callback_records import Callback
from harness.guest.records import Records

# The row of a counter that the CPUs of a node share stands for all of them.
SHARED = -1


@dataclass(frozen=True)
class Bar:
    """An event on a counter of a CPU (or SHARED), from `begin` to `end` (ns)."""

    cpu: int
    counter: int
    event: str
    begin: int
    end: int


@dataclass(frozen=True)
class Timeline:
    """All bars of a cell, and the times (ns) at which a tick released a counter."""

    bars: tuple[Bar, ...]
    releases: tuple[int, ...]
    begin: int
    end: int

    @property
    def counters(self) -> list[tuple[int, int]]:
        """(CPU, counter) of each row, in order."""
        return sorted({(bar.cpu, bar.counter) for bar in self.bars})

    @property
    def events(self) -> list[str]:
        """The events in the order in which they first got a counter."""
        return list(dict.fromkeys(bar.event for bar in self.bars))

    def share(self, time: int) -> float:
        """A time as a share of the whole, in per cent."""
        return 100 * (time - self.begin) / max(1, self.end - self.begin)


def timeline(records: Records, *, shared: bool = False) -> Timeline | None:
    """The timeline of a cell; None for one without a callback log.

    An event that comes back to its counter in the same tick keeps its bar.  Where
    counters are `shared`, a row is a counter of the node, and events say their CPU.
    """
    calls = [
        call
        for call in records.calls
        if (call.call == "add" and call.ret == 0 and call.idx[1] >= 0)
        or (call.call == "del" and call.idx[0] >= 0)
    ]
    if not calls:
        return None
    names = event_names(records)
    # By row and event: of two CPUs, one may have a counter before the other's del is done.
    held: dict[tuple[int, int, int], int] = {}
    labels: dict[tuple[int, int, int], str] = {}
    bars, releases = [], []
    for position, call in enumerate(calls):
        counter = call.idx[1] if call.call == "add" else call.idx[0]
        place = (SHARED if shared else call.cpu, counter, call.id)
        if call.call == "add":
            name = names[call.id]
            labels[place] = f"{name}, CPU {call.cpu}" if shared else name
            held[place] = call.time
            continue
        if call.tick:
            releases.append(call.time)
        begin = held.pop(place, None)
        if _comes_back(call, calls[position + 1 : position + 2]):
            # The add that follows opens it again; let it begin where it began.
            start = call.time if begin is None else begin
            calls[position + 1] = calls[position + 1].model_copy(update={"time": start})
        elif begin is not None:
            bars.append(Bar(place[0], place[1], labels[place], begin, call.time))
    last = records.calls[-1].time
    bars += [Bar(*place[:2], labels[place], begin, last) for place, begin in held.items()]
    first = min(bar.begin for bar in bars)
    return Timeline(tuple(bars), tuple(releases), first, max(bar.end for bar in bars))


def _comes_back(call: Callback, following: list[Callback]) -> bool:
    """True if the next call puts the same event on the same counter, in the same tick."""
    return any(
        after.call == "add" and after.id == call.id and after.idx[1] == call.idx[0] and after.tick
        for after in following
    )
