# SPDX-License-Identifier: MIT
"""Records of the callback log: what the observer says of calls into a PMU, typed."""

from typing import Literal

from pydantic import model_validator

from harness.model import Frozen


class Registers(Frozen):
    """The hardware's counters, and which of them count and interrupt.

    `bits` says where `enabled` and `interrupts` have each counter.  Guests that do not
    say so yet are arm64's: the general counters in order, the cycle counter last, at 31.
    """

    enabled: int
    interrupts: int
    counters: tuple[int, ...]
    types: tuple[int, ...]
    bits: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _one_for_each(self) -> "Registers":
        number = len(self.counters)
        if len(self.types) != number or (self.bits and len(self.bits) != number):
            raise ValueError("not one type and one bit for each counter")
        return self

    def bit(self, place: int) -> int:
        """Where the enable bits have the counter at a place of `counters`."""
        last = place == len(self.counters) - 1
        return self.bits[place] if self.bits else 31 if last else place


Pair = tuple[int, int]


class Callback(Frozen):
    """A call into a PMU, or a tick; pairs are (before, after) the call.

    `state` holds PERF_HES_STOPPED (1) and PERF_HES_UPTODATE (2); `tick` is true
    inside perf_event_task_tick(); `parent` is the event that this one was
    inherited from; disable and enable are the PMU's own, logged in a tick only.
    assign is what enabling the PMU changed of an event, where that is what gives
    an added one its counter and starts it (x86).  rotate and rotate-end are around
    perf_mux_hrtimer_handler(), the timer that rotates a PMU's events; the `ret` of
    the second is 1 if the timer goes on.
    """

    kind: Literal["callback"]
    call: Literal[
        "add",
        "del",
        "start",
        "stop",
        "assign",
        "tick",
        "tick-end",
        "disable",
        "enable",
        "rotate",
        "rotate-end",
    ]
    time: int
    cpu: int
    pmu: str = ""
    id: int = 0
    parent: int = 0
    tick: bool = False
    flags: int = 0
    ret: int = 0
    caller: str = ""
    idx: Pair = (-1, -1)
    state: Pair = (0, 0)
    left: Pair = (0, 0)
    period: Pair = (0, 0)
    count: Pair = (0, 0)
    prev: Pair = (0, 0)
    interrupts: Pair = (0, 0)
    before: Registers | None = None
    after: Registers | None = None

    @property
    def is_event(self) -> bool:
        """True for a call on an event, such as start; false for a tick or a PMU's own call.

        False for assign, too: perf calls the PMU for it, and it may change many events.
        """
        return self.call in ("add", "del", "start", "stop")


class Observer(Frozen):
    """How many calls the observer saw, and how many its log kept."""

    kind: Literal["observer"]
    calls: int
    kept: int


class CpuState(Frozen):
    """What a CPU has: events in its own context; counters that are taken, as the driver has it;
    those that count and that interrupt, as the hardware has it (bits)."""

    cpu: int
    events: int
    counters: int
    enabled: int
    interrupts: int


class State(Frozen):
    """What perf has when the observer was loaded, and after all was closed.

    `counts` has the kernel's own numbers by the names of its variables; 0 for those that it
    has not.  `cpus` are those that are online.
    """

    kind: Literal["state"]
    when: Literal["before", "after"]
    time: int
    counts: dict[str, int]
    cpus: tuple[CpuState, ...]


# What a call may change of an event, each (before, after).
_PAIRS = ("idx", "state", "left", "period", "count", "prev", "interrupts")


def with_counters(log: list[Callback]) -> list[Callback]:
    """A callback log in which add gives an event its counter, and del takes it.

    As it is, where the PMU's add does that.  Where enabling the PMU does
    (x86_pmu_enable() in arch/x86/events/core.c), an add takes over what its event's
    next assign changed, and an event that is not added has the index -1 instead of
    the one that it had last.  An assign without an add before it stays: it moved an
    event that was on a counter.
    """
    late = {call.pmu for call in log if call.call == "assign"}
    if not late:
        return log
    found: list[Callback] = []
    waiting: dict[int, int] = {}
    for call in log:
        place = waiting.pop(call.id, None) if call.id else None
        if call.call == "assign" and place is not None:
            found[place] = _assigned(found[place], call)
            continue
        if call.call == "add" and call.ret == 0 and call.pmu in late:
            waiting[call.id] = len(found)
        found.append(_placed(call, placed=place is None) if call.pmu in late else call)
    return found


def _assigned(add: Callback, assign: Callback) -> Callback:
    """An add that did what the assign after it did."""
    taken = {name: (getattr(add, name)[0], getattr(assign, name)[1]) for name in _PAIRS}
    return add.model_copy(update={**taken, "after": assign.after})


def _placed(call: Callback, *, placed: bool) -> Callback:
    """An add or del whose event has an index only while it is on a counter."""
    if call.call == "add":
        return call.model_copy(update={"idx": (-1, -1)})
    if call.call == "del":
        return call.model_copy(update={"idx": (call.idx[0] if placed else -1, -1)})
    return call
