# SPDX-License-Identifier: MIT
"""Which event was on which counter when, from a callback log, as bars to draw."""

from dataclasses import dataclass

from harness.guest.records import Callback, Records


@dataclass(frozen=True)
class Bar:
    """An event on a counter of a CPU, from `begin` to `end` (ns)."""

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


def timeline(records: Records) -> Timeline | None:
    """The timeline of a cell; None for one without a callback log.

    An event that comes back to its counter in the same tick keeps its bar.
    """
    calls = [call for call in records.calls if call.call in ("add", "del")]
    if not calls:
        return None
    names = records.names()
    open_bars: dict[tuple[int, int], tuple[str, int]] = {}
    bars, releases = [], []
    for position, call in enumerate(calls):
        if call.call == "add" and call.ret == 0:
            open_bars[call.cpu, call.idx[1]] = (names.get(call.id, str(call.id)), call.time)
        elif call.call == "del":
            if call.tick:
                releases.append(call.time)
            event, begin = open_bars.pop((call.cpu, call.idx[0]), ("", call.time))
            if _comes_back(call, calls[position + 1 : position + 2]):
                # The add that follows opens it again; let it begin where it began.
                calls[position + 1] = calls[position + 1].model_copy(update={"time": begin})
            elif event:
                bars.append(Bar(call.cpu, call.idx[0], event, begin, call.time))
    last = records.calls[-1].time
    for (cpu, counter), (event, begin) in open_bars.items():
        bars.append(Bar(cpu, counter, event, begin, last))
    first = min(bar.begin for bar in bars)
    return Timeline(tuple(bars), tuple(releases), first, max(bar.end for bar in bars))


def _comes_back(call: Callback, following: list[Callback]) -> bool:
    """True if the next call puts the same event on the same counter, in the same tick."""
    return any(
        after.call == "add" and after.id == call.id and after.idx[1] == call.idx[0] and after.tick
        for after in following
    )
