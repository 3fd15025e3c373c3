# SPDX-License-Identifier: MIT
"""When events were on counters, as the callback log has it, and when they were to be.

The log tells each event's stays on counters.  The scenario tells when an event was open
and enabled, which group it was in, and whose work it counts.  Neither is derived from the
other, so that checks can compare them.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from harness.checks.adjustments import SOFTWARE
from harness.checks.base import Observation
from harness.checks.points import delay_ns, groups, main_phases, read_windows
from harness.guest.callback_records import Callback
from harness.guest.pmu_records import Answered, EndOfFile, Page
from harness.guest.records import Event, Phase, Read
from harness.model import HARDWARE

# What perf has no counters for: it is always counted.
_UNCOUNTED = ("page-faults", "context-switches", "cpu-clock", "task-clock", "dummy", "breakpoint")
# Longer than from one call of a burst to the next, shorter than from one burst to another.
QUIET_NS = 20_000
_FOREVER = 1 << 62
# Orders to all events that main opened: perf_event_task_enable() and _disable().
_OF_ALL = {"enable-all": "enable", "disable-all": "disable"}
# Orders that open, close, enable or disable an event.
_CONTROLS = ("enable", "disable", "refresh", "close", "open", "loop")


@dataclass(frozen=True)
class Stay:
    """An event on a counter of a CPU, from its add to its del; `end` is None if it stayed."""

    event: int
    parent: int
    pmu: str
    cpu: int
    counter: int
    begin: int
    end: int | None

    def covers(self, begin: int, end: int) -> bool:
        """True if it was there all through a time."""
        return self.begin <= begin and (self.end is None or end <= self.end)

    def touches(self, begin: int, end: int) -> bool:
        """True if it was there at some moment of a time."""
        return self.begin <= end and (self.end is None or begin <= self.end)

    def lasted(self, begin: int, end: int) -> int:
        """How long it was there within a time, in ns."""
        return max(0, min(end, end if self.end is None else self.end) - max(begin, self.begin))


def stays(calls: Iterable[Callback]) -> list[Stay]:
    """Each stay on a counter of a PMU that has some, in the order in which they ended."""
    there: dict[int, Callback] = {}
    found = []
    for call in calls:
        if call.pmu in SOFTWARE:
            continue
        if call.call == "add" and call.ret == 0:
            there[call.id] = call
        elif call.call == "del" and call.id in there:
            found.append(_stay(there.pop(call.id), call.time))
    return found + [_stay(call, None) for call in there.values()]


def _stay(add: Callback, end: int | None) -> Stay:
    return Stay(add.id, add.parent, add.pmu, add.cpu, add.idx[1], add.time, end)


@dataclass(frozen=True)
class Window:
    """A time in ns, from `begin` to `end`."""

    begin: int
    end: int

    @property
    def ns(self) -> int:
        """How long it is."""
        return self.end - self.begin


class Presence:
    """The log's stays, and what the scenario says of its events, by their ids."""

    def __init__(self, observation: Observation) -> None:
        self.observation = observation
        self.records = observation.records
        self.names = self.records.names()
        specs = observation.scenario.specs
        self._late = observation.scenario.opened_late
        self.events = {e.id: e for e in self.records.of(Event) if e.name in specs}
        self.specs = {event.id: specs[event.name] for event in self.events.values()}
        self._ids = {event.name: event.id for event in self.events.values()}

    # --- what the log says ---------------------------------------------------

    @cached_property
    def stays(self) -> dict[int, list[Stay]]:
        """By the id of the event, or of the one that it was inherited from."""
        found: dict[int, list[Stay]] = {}
        for stay in stays(self.records.calls):
            found.setdefault(stay.parent or stay.event, []).append(stay)
        return found

    def of(self, event: int) -> list[Stay]:
        """The stays of an event and of those that inherited it."""
        return self.stays.get(event, [])

    def on(self, event: int, window: Window, cpu: int | None = None) -> bool | None:
        """True if an event was on a counter (of a CPU) all through, False if at no moment."""
        mine = [stay for stay in self.of(event) if cpu in (None, stay.cpu)]
        if any(stay.covers(window.begin, window.end) for stay in mine):
            return True
        return None if any(stay.touches(window.begin, window.end) for stay in mine) else False

    @cached_property
    def quiet(self) -> dict[int, list[int]]:
        """Moments, by CPU, at which perf was not in the middle of asking a PMU for something.

        From the first step on.
        """
        calls: dict[int, list[Callback]] = {}
        for call in self.records.calls:
            if call.call != "assign":
                calls.setdefault(call.cpu, []).append(call)
        return {
            cpu: [
                (before.time + after.time) // 2
                for before, after in pairwise(seen)
                if after.time - before.time > self._burst_ns(before, after)
                and before.time > self.begin
            ]
            for cpu, seen in calls.items()
        }

    def _burst_ns(self, before: Callback, after: Callback) -> int:
        """How far apart two calls of one burst may be.

        Of several emulated CPUs another one may have its turn between two dels, or two adds.
        """
        turns = self.observation.scenario.cpus > 1 and before.call == after.call
        turn = self.observation.tick_ns if turns else 0
        return QUIET_NS + delay_ns(self.observation) + turn

    def there(self, time: int, cpu: int) -> set[int]:
        """The events (not inherited ones) on counters of a CPU at a moment."""
        return self._there[cpu].at(time) if cpu in self._there else set()

    @cached_property
    def _there(self) -> dict[int, "_Timeline"]:
        changes: dict[int, list[tuple[int, int, bool]]] = {}
        for found in self.stays.values():
            for stay in found:
                if stay.parent:
                    continue
                mine = changes.setdefault(stay.cpu, [])
                mine.append((stay.begin, stay.event, True))
                if stay.end is not None:
                    mine.append((stay.end, stay.event, False))
        return {cpu: _Timeline(sorted(mine)) for cpu, mine in changes.items()}

    @cached_property
    def refused(self) -> list[Callback]:
        """The adds to PMUs with counters that found no place."""
        return [
            call
            for call in self.records.calls
            if call.call == "add" and call.ret and call.pmu not in SOFTWARE
        ]

    @cached_property
    def full(self) -> set[str]:
        """PMUs that did not have a counter for each event, or not for each at once."""
        short = {call.pmu for call in self.refused} | {stay.pmu for stay in self.taken_back}
        return short | self.exclusive

    @cached_property
    def exclusive(self) -> set[str]:
        """PMUs that had an exclusive group on."""
        found = [event.id for event in self.events.values() if event.exclusive]
        return {stay.pmu for event in found for stay in self.of(event)}

    @cached_property
    def taken_back(self) -> list[Stay]:
        """Stays that ended in the burst in which they began: the group did not fit.

        Of a CPU's events: a task may be switched out as soon.
        """
        return [
            stay
            for event in self.events.values()
            for stay in self.of(event.id)
            if stay.end is not None
            and stay.end - stay.begin < QUIET_NS
            and not (event.task or event.cgroup)
            and self.enabled(event.id, Window(stay.begin, stay.end)) is not None
        ]

    # --- what the scenario says ----------------------------------------------

    def event(self, name: str) -> Event | None:
        """The event that was opened under a name; None if it was refused."""
        return self.events.get(self._ids.get(name, -1))

    def pmu(self, event: int) -> str:
        """The PMU whose counters an event wants, as scenarios call it; or nothing."""
        spec = self.specs[event]
        if spec.pmu:
            return spec.pmu
        software = spec.counts in _UNCOUNTED or spec.counts.startswith("tracepoint:")
        return "" if software else HARDWARE

    def counters(self, pmu: str, kinds: Iterable[str]) -> int:
        """How many counters a PMU has for events of all these kinds."""
        test = self.observation.scenario.pmus.get(pmu)
        if test:
            return test.counters
        return min((self.observation.machine.counters.of(kind) for kind in kinds), default=0)

    @cached_property
    def _phases(self) -> list[tuple[Phase, Window]]:
        """Main's steps, each with its time."""
        phases = main_phases(self.observation)
        last = [read.time for read in self.records.of(Read)][-1:]
        ends = [phase.time for phase in phases[1:]] + (last or [phases[-1].time] if phases else [])
        return [
            (phase, Window(phase.time, max(end, phase.time)))
            for phase, end in zip(phases, ends, strict=True)
        ]

    @cached_property
    def steps(self) -> list[tuple[tuple[str, ...], Window]]:
        """The words of main's steps, each with its time."""
        return [(tuple(phase.name.split()), window) for phase, window in self._phases]

    @cached_property
    def orders(self) -> list[tuple[tuple[str, ...], Window]]:
        """The words of main's steps, each with the time from its beginning to what was read next.

        An order takes effect in that time: every event is read behind each step.
        """
        found: list[tuple[tuple[str, ...], Window]] = []
        waiting: list[Phase] = []
        for record in self.records.all:
            if isinstance(record, (Read, EndOfFile)):
                found += [(tuple(p.name.split()), Window(p.time, record.time)) for p in waiting]
                waiting = []
            elif isinstance(record, Phase) and record.task == "main":
                waiting.append(record)
        return found + [(tuple(p.name.split()), Window(p.time, _FOREVER)) for p in waiting]

    @cached_property
    def _switches(self) -> dict[int, list[tuple[Window, str]]]:
        """By event, the orders of main that opened, closed, enabled or disabled it."""
        found: dict[int, list[tuple[Window, str]]] = {}
        for words, window in self.orders:
            if words[0] in _CONTROLS and (event := self.event(words[1])):
                found.setdefault(event.id, []).append((window, words[0]))
            elif words[0] in _OF_ALL:
                for number in self.events:
                    found.setdefault(number, []).append((window, _OF_ALL[words[0]]))
        return found

    def _own_state(self, event: int, window: Window, *, openness: bool) -> bool | None:
        """Whether an event was open, or open and enabled, through a window; None if it changed."""
        spec = self.specs[event]
        state = self.events[event].name not in self._late and (openness or not spec.disabled)
        changed = False
        for when, order in self._switches.get(event, []):
            if when.begin >= window.end:
                break
            before = state
            if order == "open":
                state = openness or not spec.disabled
            elif order == "close":
                state = False
            elif order == "loop":
                # It is enabled for the loop, and disabled behind it.
                changed |= when.end > window.begin and not openness
            elif not openness:
                state = order in ("enable", "refresh")
            if order == "refresh" and not openness:
                changed = True
            changed |= when.end > window.begin and state != before
        if spec.enable_on_exec or self._controlled_by_others(event):
            return None
        return None if changed else state

    def _controlled_by_others(self, event: int) -> bool:
        """True if a task other than main orders something of an event."""
        name = self.events[event].name
        return any(
            step.split()[0] in (*_CONTROLS, "compete") and step.split()[1] == name
            for steps in self.observation.scenario.tasks.values()
            for step in steps
        )

    def controlled(self, event: int) -> bool:
        """True if a step opens, closes, enables or disables an event."""
        return event in self._switches or self._controlled_by_others(event)

    def open(self, event: int, window: Window) -> bool | None:
        """Whether an event was open all through, or not at all; None if that changed."""
        return self._own_state(event, window, openness=True)

    def enabled(self, event: int, window: Window) -> bool | None:
        """Whether an event and its leader were enabled all through, or not at all."""
        mine = self._own_state(event, window, openness=False)
        leader = self.events[event].leader
        if leader == event or leader not in self.events:
            return mine
        above = self.open(leader, window)
        if above is False:
            return mine
        states = (mine, self._own_state(leader, window, openness=False), above)
        if False in states[:2]:
            return False
        return None if None in states else True

    def leads(self, event: int, window: Window) -> bool:
        """True if an event is its own leader, or its leader is closed."""
        leader = self.events[event].leader
        return leader == event or leader not in self.events or self.open(leader, window) is False

    def leader(self, event: int, window: Window) -> Event:
        """The event that leads the group which an event is in."""
        return self.events[event if self.leads(event, window) else self.events[event].leader]

    def pinned(self, call: Callback) -> bool:
        """True if a call is on an event (or a child of one) whose group is pinned."""
        event = call.parent or call.id
        now = Window(call.time, call.time)
        return event in self.events and self.leader(event, now).pinned

    @cached_property
    def begin(self) -> int:
        """When main's first step began: by then all events are open but those opened late."""
        return self.steps[0][1].begin if self.steps else _FOREVER

    def members(self, leader: int, window: Window) -> list[Event]:
        """An open leader and its open siblings, in the order of opening."""
        if self.events[leader].leader != leader:
            return [self.events[leader]]
        found = groups(self.observation)[leader]
        return [event for event in found if self.open(event.id, window)]

    def is_reset(self, window: Window) -> bool:
        """True if a count was set back in a time."""
        return any(
            words[0].startswith("reset") and when.begin <= window.end and when.end >= window.begin
            for words, when in self.orders
        )

    @cached_property
    def in_error(self) -> dict[int, list[int]]:
        """When reads of an event gave nothing, by its id."""
        found: dict[int, list[int]] = {}
        for record in self.records.of(EndOfFile):
            found.setdefault(record.id, []).append(record.time)
        return found

    @cached_property
    def interval_orders(self) -> list[tuple[str, Window, int]]:
        """(PMU, when, ns) of the rotation intervals that were set, and not refused."""
        refused = {a.what for a in self.records.of(Answered) if a.errno}
        return [
            (words[1], window, int(words[3]) * 1_000_000)
            for words, window in self.orders
            if words[0] == "set"
            and words[2] == "perf_event_mux_interval_ms"
            and words[3].isdigit()
            and " ".join(words) not in refused
        ]

    def intervals(self, pmu: str, time: int) -> set[int]:
        """The rotation interval of a PMU in ns at a moment: two values while it is being set.

        PERF_CPU_HRTIMER in kernel/events/core.c is 1000 / HZ milliseconds.
        """
        hz = round(1e9 / self.observation.tick_ns)
        value = max(1, 1000 // hz) * 1_000_000
        for which, when, ns in self.interval_orders:
            if which != pmu or when.begin > time:
                continue
            if when.end > time:
                return {value, ns}
            value = ns
        return {value}

    def asked(self, read: Read) -> int:
        """When a read cannot have begun yet: what main recorded before it was over."""
        return self._asked[id(read)]

    @cached_property
    def _asked(self) -> dict[int, int]:
        return {id(read): begin for begin, read in read_windows(self.observation)}

    def reads(self, leader: int) -> list[Read]:
        """The reads of an event, in order."""
        return self._reads.get(leader, [])

    @cached_property
    def _reads(self) -> dict[int, list[Read]]:
        found: dict[int, list[Read]] = {}
        for read in self.records.of(Read):
            found.setdefault(read.id, []).append(read)
        return found

    @cached_property
    def pages(self) -> list[tuple[Page, Window]]:
        """The looks at pages, each with the time in which it took place."""
        found, before = [], 0
        for record in self.records.all:
            if isinstance(record, Page):
                found.append((record, Window(before, record.time)))
            if isinstance(record, (Page, Read, EndOfFile)):
                before = record.time
        return found


class _Timeline:
    """Which events are there, asked at growing moments or at any."""

    def __init__(self, changes: list[tuple[int, int, bool]]) -> None:
        self._times: list[int] = []
        self._sets: list[frozenset[int]] = []
        there: set[int] = set()
        for time, event, comes in changes:
            (there.add if comes else there.discard)(event)
            self._times.append(time)
            self._sets.append(frozenset(there))

    def at(self, time: int) -> set[int]:
        """Those that are there at a moment."""
        place = bisect_right(self._times, time)
        return set(self._sets[place - 1]) if place else set()
