# SPDX-License-Identifier: MIT
"""The programmings in a callback log, each with the write that the machine saw of it.

Two clocks stamp them.  The register trace has the machine's virtual clock, the log
ktime_get_mono_fast_ns(): the same clock (with an instruction clock, a guest's TSC) less
what it showed when the guest's timekeeping began, at the rate that the kernel
calibrated.  So they differ by an offset that hardly moves.  Which one, is counted out:
the one at which most programmings have a write to their counter, of whatever value.

From one programming to the next the offset may differ by SLACK_NS and by one in _DRIFT.
SLACK_NS is for where the observer takes its stamp: in start() before the write (0.3 to
0.4 us, measured), of what enabling the PMU assigned behind all of its writes (0.5 to
2.6 us; it looks at up to 16 events).  _DRIFT is what the kernel puts up with when it
calibrates the TSC (quick_pit_calibrate() in arch/x86/kernel/tsc.c: one in 2048;
measured: 7 in a million).
"""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.checks.adjustments import PERF_HES_STOPPED, SOFTWARE
from harness.guest.callback_records import Callback
from harness.guest.records import Records
from harness.guest.trace_records import Access, Overflow

SLACK_NS = 20_000
_DRIFT = 2048
# So many programmings, and so many writes to each counter, tell the offset.
_TELLING, _TOLD = 200, 1000

_PERF_EF_RELOAD = 2

Place = tuple[int, int]
Pair = tuple[Callback, Access]


def leaves_running(call: Callback) -> bool:
    """True for a call on an event of a hardware PMU after which its counter counts."""
    on_event = call.is_event or call.call == "assign"
    stopped = call.call == "del" or call.state[1] & PERF_HES_STOPPED
    return on_event and not stopped and call.pmu not in SOFTWARE


def programmings(records: Records) -> list[Callback]:
    """The calls that the log has program a counter, in its order.

    x86_pmu_start() programs it if it is told to reload it; what enabling the PMU
    assigned and left running was started so (x86_pmu_enable() in
    arch/x86/events/core.c).
    """
    return [
        call
        for call in records.of(Callback)
        if leaves_running(call)
        and call.call != "stop"
        and (call.call != "start" or call.flags & _PERF_EF_RELOAD)
    ]


def counter_writes(records: Records) -> dict[Place, list[Access]]:
    """The writes of counters' values that the machine saw, by CPU and counter, in order."""
    found: dict[Place, list[Access]] = defaultdict(list)
    for access in records.of(Access):
        if access.access == "write" and access.role == "counter":
            found[access.cpu, access.counter].append(access)
    return found


def reloads(records: Records) -> set[int]:
    """The id() of the first write to each counter behind an overflow of it.

    The interrupt handler programs a counter that overflowed, without a callback
    (x86_pmu_handle_irq() in arch/x86/events/core.c).
    """
    overflown: set[Place] = set()
    found = set()
    for record in records.all:
        if isinstance(record, Overflow):
            overflown.add((record.cpu, record.counter))
        elif isinstance(record, Access) and record.access == "write" and record.role == "counter":
            if (record.cpu, record.counter) in overflown:
                found.add(id(record))
            overflown.discard((record.cpu, record.counter))
    return found


def offset(calls: list[Callback], writes: Mapping[Place, list[Access]]) -> int | None:
    """What the machine's clock is ahead of the log's; None where they do not meet.

    They meet where half of the programmings, or more, have a write.
    """
    calls = calls[:_TELLING]
    width = 2 * SLACK_NS + (calls[-1].time - calls[0].time) // _DRIFT
    guesses = sorted(
        (write.time - call.time, number)
        for number, call in enumerate(calls)
        for write in writes.get(_place(call), [])[:_TOLD]
    )
    inside: Counter[int] = Counter()
    best, first, most = 0, 0, 0
    for last, (guess, number) in enumerate(guesses):
        inside[number] += 1
        while guess - guesses[first][0] > width:
            gone = guesses[first][1]
            inside[gone] -= 1
            if not inside[gone]:
                del inside[gone]
            first += 1
        if len(inside) > most:
            most, best = len(inside), guesses[(first + last) // 2][0]
    return best if 2 * most >= len(calls) else None


def _place(call: Callback) -> Place:
    return call.cpu, call.idx[1]


@dataclass
class Sightings:
    """The programmings and the writes that the machine saw of them; `unseen` have none."""

    pairs: list[Pair] = field(default_factory=list)
    unseen: list[Callback] = field(default_factory=list)

    def on_machine(self, time: int) -> int:
        """A time of the log by the machine's clock: as far ahead as for the nearest pair before."""
        place = bisect_right(self.pairs, time, key=lambda pair: pair[0].time)
        call, write = self.pairs[max(place - 1, 0)]
        return time + write.time - call.time


def sightings(records: Records, modulus: int) -> Sightings | None:
    """Each programming with its write; None where log and trace do not meet in time.

    That is the first write near it that lies behind the counter's last one.  As an
    interrupt may program a counter at any time, one of the very value (by its `modulus`)
    goes first, and of those one that no overflow explains: a counter that did not count
    since is programmed to the same.
    """
    calls, writes, handlers = programmings(records), counter_writes(records), reloads(records)
    ahead = offset(calls, writes) if calls else None
    if ahead is None:
        return None
    found = Sightings()
    used: dict[Place, int] = defaultdict(lambda: -1)
    known = calls[0].time
    for call in calls:
        slack = SLACK_NS + abs(call.time - known) // _DRIFT
        near = _near(writes.get(_place(call), []), used[_place(call)], call.time + ahead, slack)
        if not near:
            found.unseen.append(call)
            continue
        write = min(
            near,
            key=lambda write: ((write.value - call.prev[1]) % modulus != 0, id(write) in handlers),
        )
        found.pairs.append((call, write))
        used[_place(call)], ahead, known = write.time, write.time - call.time, call.time
    return found if found.pairs else None


def _near(writes: list[Access], after: int, time: int, slack: int) -> list[Access]:
    """Those of the writes that lie after a time, and near another one."""
    first = bisect_left(writes, max(after + 1, time - slack), key=lambda write: write.time)
    last = bisect_right(writes, time + slack, key=lambda write: write.time)
    return writes[first:last]
