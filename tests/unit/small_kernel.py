# SPDX-License-Identifier: MIT
"""A kernel in small: what perf promises of a CPU's events on test PMUs, as records.

It performs a scenario as guest-images/probes/drive.c does, with the rules of
kernel/events/core.c and none of its code: pinned groups first, flexible ones by turns, a
timer for each PMU.  Methods that a test replaces make it a kernel that breaks a promise.
"""

from typing import Any

from harness.guest.callback_records import Callback
from harness.guest.pmu_records import Answered, Attribute, EndOfFile, Page, Timers
from harness.guest.records import Clock, Event, Phase, Read, Records, Sample
from harness.model import HARDWARE, EventSpec, Scenario, answer_for, copies

TICK_NS = 1_000_000
CALL_NS, READ_NS, OPEN_NS = 1_000, 3_000, 60_000


class SmallEvent:
    """One event, and all that is known of it."""

    def __init__(self, number: int, name: str, spec: EventSpec, leader: "SmallEvent | None"):
        self.id, self.name, self.spec = number, name, spec
        self.leader = leader or self
        self.siblings: list[SmallEvent] = []
        self.state = "off" if spec.disabled else "inactive"
        self.count = self.enabled = self.running = 0
        self.stamp = self.begun = 0
        self.counter = -1
        self.period = self.due = spec.period or 0

    @property
    def group(self) -> "list[SmallEvent]":
        return [self, *self.siblings]

    @property
    def pmu(self) -> str:
        hardware = self.spec.counts in ("instructions", "cycles")
        return self.spec.pmu or (HARDWARE if hardware else "")

    @property
    def counted(self) -> bool:
        return bool(self.pmu)


class SmallPmu:
    """A test PMU: its counters, its flexible groups in their order, its timer."""

    def __init__(self, name: str, counters: int):
        self.name = name
        self.counters: list[SmallEvent | None] = [None] * counters
        self.flexible: list[SmallEvent] = []
        self.pinned: list[SmallEvent] = []
        self.interval = TICK_NS
        self.due: int | None = None
        self.grid = 0
        self.needed = False
        self.work = 0


class SmallKernel:
    """Performs a scenario; `records` is what its guest would have written."""

    def __init__(self, scenario: Scenario, version: str = "6.12"):
        self.scenario, self.version = scenario, version
        self.now, self.phase, self.next_read = 100_000_000, 0, 0
        self.events: dict[str, SmallEvent] = {}
        self.pmus = {name: SmallPmu(name, pmu.counters) for name, pmu in scenario.pmus.items()}
        self.pmus[HARDWARE] = SmallPmu("armv8_pmuv3", 6)
        self.written: list[Any] = [Clock(kind="clock", tick_ns=TICK_NS)]
        self.calls: list[Callback] = []
        self.specs = {c: s for name, s in scenario.events.items() for c in copies(name, s)}
        for name in self.specs:
            if name not in scenario.opened_late:
                self.open(name)
        self.read_all()
        for step in scenario.steps:
            self.perform(step)

    @property
    def records(self) -> Records:
        return Records([*self.written, *self.calls])

    # --- the log --------------------------------------------------------------

    def log(self, call: str, pmu: SmallPmu, event: SmallEvent | None = None, **more: Any) -> None:
        row = {"kind": "callback", "call": call, "time": self.now, "cpu": 0, "pmu": pmu.name}
        if event:
            row |= {"id": event.id, "idx": (event.counter, more.pop("idx", event.counter))}
        self.calls.append(Callback.model_validate(row | more))
        self.now += CALL_NS

    # --- counting and times ---------------------------------------------------

    def value(self, event: SmallEvent) -> int:
        work = event.spec.counts == "work"
        return self.pmus[event.pmu].work if work else self.now

    def update(self, event: SmallEvent) -> None:
        gained = self.now - event.stamp
        event.stamp = self.now
        state = event.state if event.leader.state not in ("off", "error") else event.leader.state
        event.enabled += gained if state in ("inactive", "active") else 0
        event.running += gained if state == "active" else 0
        if event.state == "active" and event.counted:
            value = self.value(event)
            event.count, event.begun = event.count + value - event.begun, value

    def switch(self, event: SmallEvent, state: str) -> None:
        for one in event.group if event.leader is event else [event]:
            self.update(one)
        event.state = state

    # --- scheduling -----------------------------------------------------------

    def add(self, pmu: SmallPmu, event: SmallEvent) -> bool:
        free = pmu.counters.index(None) if None in pmu.counters else -1
        self.log("add", pmu, event, idx=free, ret=0 if free >= 0 else -11)
        if free < 0:
            return False
        self.switch(event, "active")
        event.begun, event.counter = self.value(event), free
        pmu.counters[free] = event
        return True

    def delete(self, pmu: SmallPmu, event: SmallEvent, state: str = "inactive") -> None:
        if event.state == "active" and event.counted:
            self.log("del", pmu, event, idx=-1)
            self.switch(event, state)
            pmu.counters[event.counter] = None
            event.counter = -1
        elif event.state == "active":
            self.switch(event, state)

    def group_off(self, pmu: SmallPmu, leader: SmallEvent) -> None:
        for event in leader.group:
            self.delete(pmu, event)

    def group_on(self, pmu: SmallPmu, leader: SmallEvent) -> bool:
        for event in leader.group:
            if event.state != "inactive":
                continue
            if not event.counted:
                self.switch(event, "active")
            elif not self.add(pmu, event):
                self.group_off(pmu, leader)
                return False
        return True

    def may_go_on(self, pmu: SmallPmu, leader: SmallEvent) -> bool:
        on = {event.leader for event in pmu.counters if event}
        if any(other.spec.exclusive for other in on):
            return False
        mine = {other for other in on if other.spec.pinned == leader.spec.pinned}
        return not (leader.spec.exclusive and mine)

    def sched_in(self, pmu: SmallPmu, groups: list[SmallEvent]) -> None:
        goes_on = True
        for leader in groups:
            if leader.state in ("off", "error") or leader.state == "active":
                continue
            if goes_on and self.may_go_on(pmu, leader) and self.group_on(pmu, leader):
                continue
            goes_on = False
            self.no_place(pmu, leader)

    def no_place(self, pmu: SmallPmu, leader: SmallEvent) -> None:
        if leader.spec.pinned:
            self.switch(leader, "error")
            return
        pmu.needed = True
        self.start_timer(pmu)

    def start_timer(self, pmu: SmallPmu) -> None:
        if pmu.due is None:
            pmu.due = self.next_due(pmu)

    def next_due(self, pmu: SmallPmu) -> int:
        while pmu.grid <= self.now:
            pmu.grid += max(pmu.interval, 1)
        return pmu.grid

    def resched(self, pmu: SmallPmu, *, pinned: bool) -> None:
        for leader in (*pmu.flexible, *(pmu.pinned if pinned else [])):
            self.group_off(pmu, leader)
        self.sched_in(pmu, pmu.pinned)
        self.sched_in(pmu, pmu.flexible)

    def rotate(self, pmu: SmallPmu) -> None:
        self.log("rotate", pmu)
        if not pmu.needed:
            self.log("rotate-end", pmu, ret=0)
            pmu.due = None
            return
        pmu.needed = False
        first = self.first(pmu)
        for leader in pmu.flexible:
            self.group_off(pmu, leader)
        if first:
            pmu.flexible.remove(first)
            pmu.flexible.append(first)
        self.sched_in(pmu, pmu.flexible)
        pmu.due = self.next_due(pmu)
        self.log("rotate-end", pmu, ret=1)

    def first(self, pmu: SmallPmu) -> SmallEvent | None:
        return next((e for e in pmu.flexible if e.state == "active"), (pmu.flexible or [None])[0])

    def until(self, time: int) -> None:
        """Let time go by, with the timers that end in it."""
        while True:
            ending = [pmu for pmu in self.pmus.values() if pmu.due is not None and pmu.due <= time]
            if not ending:
                break
            pmu = min(ending, key=lambda pmu: pmu.due or 0)
            self.now = max(self.now, pmu.due or 0)
            self.rotate(pmu)
        self.now = max(self.now, time)

    # --- what user space asks -------------------------------------------------

    def open(self, name: str) -> None:
        spec = self.specs[name]
        leader = self.events.get(spec.leader or "")
        event = SmallEvent(len(self.events) + 1, name, spec, leader)
        event.stamp = self.now
        self.events[name] = event
        if leader:
            leader.siblings.append(event)
        row = {
            "kind": "event",
            "name": name,
            "id": event.id,
            "leader": event.leader.id,
            "task": "",
            "cpu": 0,
            "cgroup": "",
            "type": 100 + int((spec.pmu or "test9")[-1]),
            "config": len(spec.counts),
            "period": event.period,
            "frequency": 0,
            "exclude_kernel": False,
            "exclude_user": False,
            "pinned": spec.pinned,
            "exclusive": spec.exclusive,
            "inherit": False,
        }
        self.written.append(Event.model_validate(row))
        pmu = self.pmu_of(event.leader)
        if not pmu:
            if event.state == "inactive":
                event.state = "active"
            return
        groups = pmu.pinned if event.leader.spec.pinned else pmu.flexible
        if event.leader not in groups:
            groups.append(event.leader)
        self.resched(pmu, pinned=event.leader.spec.pinned)
        self.now += OPEN_NS

    def pmu_of(self, leader: SmallEvent) -> SmallPmu | None:
        names = [event.pmu for event in leader.group if event.pmu]
        return self.pmus[names[0]] if names else None

    def enable(self, event: SmallEvent) -> None:
        if event.state in ("off", "error"):
            self.switch(event, "inactive")
        if pmu := self.pmu_of(event.leader):
            self.resched(pmu, pinned=event.leader.spec.pinned)
        else:
            event.state = "active"

    def disable(self, event: SmallEvent) -> None:
        if event.state in ("off", "error"):
            return
        pmu = self.pmu_of(event.leader)
        for one in event.group if event.leader is event else [event]:
            if pmu:
                self.delete(pmu, one)
        self.switch(event, "off")

    def close(self, event: SmallEvent) -> None:
        pmu = self.pmu_of(event.leader)
        if pmu:
            self.delete(pmu, event)
        self.switch(event, "closed")
        if event.leader is not event:
            event.leader.siblings.remove(event)
            return
        if not pmu:
            return
        for groups in (pmu.pinned, pmu.flexible):
            if event in groups:
                groups.remove(event)
                pmu.flexible += [sibling for sibling in event.siblings if sibling.counted]
        self.promote(event)

    def promote(self, event: SmallEvent) -> None:
        for sibling in event.siblings:
            sibling.leader = sibling
        event.siblings = []

    def read(self, event: SmallEvent) -> None:
        row = {"id": event.id, "phase": self.phase}
        if event.state == "error":
            self.now += READ_NS
            self.written.append(
                EndOfFile.model_validate(row | {"kind": "end-of-file", "time": self.now})
            )
            return
        for one in event.group:
            self.update(one)
        counts = [(one.id, one.count) for one in event.group]
        row |= {"enabled": event.enabled, "running": event.running, "counts": counts}
        self.now += READ_NS
        self.written.append(Read.model_validate(row | {"kind": "read", "time": self.now}))

    def page(self, event: SmallEvent) -> None:
        if event.state == "error":
            return
        self.update(event)
        self.now += READ_NS
        index = (event.counter + 1,) * 2
        row = {"kind": "page", "id": event.id, "time": self.now, "phase": self.phase}
        times = {"enabled": (event.enabled,) * 3, "running": (event.running,) * 3}
        self.written.append(Page.model_validate(row | {"index": index} | times))

    def read_all(self) -> None:
        for event in [e for e in self.events.values() if e.state != "closed"]:
            if event.leader is event:
                self.read(event)
            if event.spec.paged:
                self.page(event)
        self.next_read = self.now + 5_000_000

    # --- steps ----------------------------------------------------------------

    def perform(self, step: str) -> None:
        words = step.split()
        row = {"kind": "phase", "phase": self.phase, "name": step, "time": self.now}
        self.written.append(Phase.model_validate(row))
        if step in self.scenario.answers:
            answer = answer_for(self.scenario.answers[step], self.version)
            self.answer(step, answer.errno)
            if answer.errno:
                words = ["nothing"]
        if words[0] == "user":
            self.user(self.now + int(words[1]) * 1_000_000)
        elif words[0] == "work":
            self.work(self.pmus[words[1]], int(words[2]))
        elif words[0] == "period":
            event = self.events[words[1]]
            self.update(event)
            event.period = int(words[2])
            event.due = event.count + event.period
        elif words[0] in ("set", "show"):
            self.attribute(*words)
        elif words[0] == "timers":
            running = sum(pmu.due is not None for pmu in self.pmus.values())
            self.written.append(Timers(kind="timers", number=running, time=self.now))
        elif words[0] in ("enable", "disable", "close"):
            getattr(self, words[0])(self.events[words[1]])
        elif words[0] == "open":
            self.open(words[1])
        elif words[0] == "reset":
            self.update(self.events[words[1]])
            self.events[words[1]].count = 0
        self.now += READ_NS
        self.until(self.now)
        self.read_all()
        self.phase += 1

    def user(self, end: int) -> None:
        while self.now < end:
            self.until(min(end, self.next_read))
            if self.now >= self.next_read:
                self.read_all()

    def work(self, pmu: SmallPmu, units: int) -> None:
        """Up to each overflow, whose event then samples its group."""
        while units:
            sampling = [event for event in pmu.counters if event and event.period]
            left = [e.due - e.count - (pmu.work - e.begun) for e in sampling]
            part = min([units, *left])
            pmu.work, units = pmu.work + part, units - part
            for event in sampling:
                self.update(event)
                if event.count == event.due:
                    self.sample(event)

    def sample(self, event: SmallEvent) -> None:
        group = event.leader.group
        for one in group:
            self.update(one)
        event.due += event.period
        row = {"kind": "sample", "id": event.id, "stream": event.id, "tid": 1, "cpu": 0}
        row |= {"time": self.now, "period": event.period, "enabled": event.enabled}
        row |= {"running": event.running, "counts": [(one.id, one.count) for one in group]}
        self.written.append(Sample.model_validate(row))

    def answer(self, what: str, errno: int) -> None:
        self.written.append(Answered(kind="answer", what=what, errno=errno, time=self.now))

    def attribute(self, verb: str, name: str, attribute: str, value: str = "") -> None:
        pmu = self.pmus.get(name)
        if attribute != "perf_event_mux_interval_ms":
            return
        if verb == "set" and pmu:
            self.set_interval(pmu, int(value))
            return
        shown = pmu.interval // 1_000_000 if pmu else 1
        row = {"kind": "attribute", "pmu": name, "name": attribute, "time": self.now}
        self.written.append(Attribute.model_validate(row | {"value": str(shown)}))

    def set_interval(self, pmu: SmallPmu, ms: int) -> None:
        pmu.interval = ms * 1_000_000
        self.start_timer(pmu)
