# SPDX-License-Identifier: MIT
"""Rotation: where events want more counters than a PMU has, each gets its share, and in time.

perf_mux_hrtimer_handler(), perf_rotate_context() and merge_sched_in() in kernel/events/core.c.
"""

from dataclasses import dataclass, field
from itertools import pairwise

from harness.checks.adjustments import SOFTWARE, event_names
from harness.checks.base import (
    FEW,
    Check,
    Observation,
    Property,
    Recurrence,
    inconclusive,
    milliseconds,
    named,
    verdict,
)
from harness.checks.presence import Presence, Window
from harness.guest.callback_records import Callback
from harness.guest.pmu_records import Attribute, Timers
from harness.guest.records import Event, Read
from harness.model import HARDWARE, Verdict

SHARES = "contexts.shares"
INTERVAL = "contexts.interval"
ROTATION = "contexts.rotation"

# How late a timer's function may begin: interrupts are off for a while, and other ones come first.
_LATE_NS = 200_000
# Of so many turns, one may be left out.
_FEW_OF = 50


# --- who wants counters, and who got them -------------------------------------


@dataclass(frozen=True)
class Wish:
    """A group that wants `size` counters of a PMU at once, for a CPU or for the task that runs."""

    leader: Event
    size: int
    pinned: bool
    of_task: bool


@dataclass(frozen=True)
class Got:
    """A wish, and for how long of a time (`span`) it was enabled and running (ns)."""

    wish: Wish
    span: int
    enabled: int
    running: int


def _wishes(presence: Presence, window: Window, cpu: int) -> dict[str, list[Wish]] | None:
    """By PMU, the groups that want counters on a CPU all through a time; None if that is not known.

    A task's events are main's own, where there is no other task that may run.  Of a PMU where
    others come before a CPU's events, or by chance, nothing is known.
    """
    alone = not presence.observation.scenario.tasks
    found: dict[str, list[Wish]] = {}
    unknown: set[str] = set()
    for leader in presence.events.values():
        state = presence.enabled(leader.id, window)
        if state is None:
            return None
        if not state or not presence.leads(leader.id, window):
            continue
        if leader.cpu not in (-1, cpu) or (leader.task and not alone and not leader.pinned):
            continue
        members = [
            event
            for event in presence.members(leader.id, window)
            if presence.pmu(event.id) and presence.enabled(event.id, window)
        ]
        if members and (leader.cgroup or (leader.task and not alone)):
            unknown.add(presence.pmu(members[0].id))
        elif members:
            wish = Wish(leader, len(members), leader.pinned, bool(leader.task))
            found.setdefault(presence.pmu(members[0].id), []).append(wish)
    return {pmu: wishes for pmu, wishes in found.items() if pmu not in unknown}


def _got(presence: Presence, wish: Wish, window: Window) -> Got | None:
    """What a group got between its first and last read within a time; None without two."""
    reads = [r for r in presence.reads(wish.leader.id) if window.begin <= r.time <= window.end]
    if len(reads) < 2:
        return None
    first, last = reads[0], reads[-1]
    return Got(
        wish,
        last.time - first.time,
        last.enabled - first.enabled,
        last.running - first.running,
    )


def _working(presence: Presence) -> list[tuple[str, Window]]:
    """Main's steps that only work, without what an order before them may leave to settle."""
    return [
        (" ".join(words), window)
        for words, window in presence.steps
        if words[0] in ("user", "kernel")
    ]


def _settled(presence: Presence, pmu: str, window: Window) -> Window:
    """A time without the two intervals in which a timer that was set may still come."""
    now = presence.intervals(pmu, window.begin)
    before = {
        ns
        for which, when, ns in presence.interval_orders
        if which == pmu and when.end <= window.begin
    }
    longest = max(now | before)
    return Window(window.begin + 2 * longest, window.end)


def _shares(presence: Presence, pmu: str, got: list[Got], places: int, interval: int) -> list[str]:
    """Faults of flexible groups that share a number of places, or have one each."""
    if sum(one.wish.size for one in got) <= places and not any(
        one.wish.leader.exclusive for one in got
    ):
        return _full(presence, got, f"{pmu} has a counter for each")
    faults = []
    sizes = {one.wish.size for one in got}
    alone = any(one.wish.leader.exclusive for one in got)
    at_once = 1 if alone or len(sizes) > 1 else places // sizes.pop()
    for one in got:
        due = one.span * at_once // len(got)
        slack = (at_once + 1) * interval + _LATE_NS
        equal = len({one.wish.size for one in got}) == 1 and not alone
        if one.running < due - slack or (equal and one.running > due + slack):
            faults.append(
                f"{named(presence.names, one.wish.leader.id)} ran for "
                f"{milliseconds(one.running)} of {milliseconds(one.span)}; "
                f"{len(got)} groups share {pmu}, {milliseconds(due)} were due"
            )
    return faults


def _full(presence: Presence, got: list[Got], why: str) -> list[str]:
    return [
        f"{named(presence.names, one.wish.leader.id)} ran for {milliseconds(one.running)} of "
        f"{milliseconds(one.span)}, enabled for {milliseconds(one.enabled)}, though {why}"
        for one in got
        if one.running != one.enabled or one.running < one.span - _LATE_NS
    ]


def _software(presence: Presence, window: Window) -> tuple[int, list[str]]:
    """(groups, faults) of a CPU's groups that need no counter: they run all the time."""
    got = []
    for leader in presence.events.values():
        if leader.task or leader.cgroup or not presence.enabled(leader.id, window):
            continue
        members = presence.members(leader.id, window) if presence.leads(leader.id, window) else []
        if members and not any(presence.pmu(event.id) for event in members):
            one = _got(presence, Wish(leader, 0, leader.pinned, of_task=False), window)
            got += [one] if one else []
    return len(got), _full(presence, got, "it needs no counter")


def _copies(presence: Presence) -> tuple[int, list[str]]:
    """(events, faults): events alike in all, of a task, have run equally long in the end.

    How long a task ran before it was switched out is chance; a quarter more or less is not.
    """
    families: dict[str, list[tuple[Event, Read]]] = {}
    for event in presence.events.values():
        name = event.name.rstrip("0123456789")
        spec = presence.observation.scenario.events.get(name)
        alone = event.leader == event.id and not presence.controlled(event.id)
        if spec and spec.copies != 1 and event.task and alone and presence.reads(event.id):
            families.setdefault(name, []).append((event, presence.reads(event.id)[-1]))
    judged, faults = 0, []
    for mine in families.values():
        judged += len(mine)
        mean = sum(read.running for _, read in mine) / len(mine)
        slack = mean / 4 + 4 * max(presence.intervals(presence.pmu(mine[0][0].id), 0))
        faults += [
            f"{named(presence.names, event.id)} ran for {milliseconds(read.running)} in all; "
            f"{len(mine)} alike ran for {milliseconds(int(mean))} each"
            for event, read in mine
            if abs(read.running - mean) > slack
        ]
    return judged, faults


def _judge_place(
    presence: Presence, pmu: str, wishes: list[Wish], window: Window
) -> tuple[int, list[str]]:
    """(groups, faults) of one PMU in one step: pinned first, then the CPU's, then the task's."""
    settled = _settled(presence, pmu, window)
    interval = max(presence.intervals(pmu, settled.begin))
    failed = {
        leader
        for leader, times in presence.in_error.items()
        if any(window.begin <= time <= window.end for time in times)
    }
    kinds = {presence.specs[wish.leader.id].counts for wish in wishes}
    places = presence.counters(pmu, kinds)
    got = [
        one
        for wish in wishes
        if wish.leader.id not in failed and (one := _got(presence, wish, settled))
    ]
    pinned = [one for one in got if one.wish.pinned]
    faults = _full(presence, pinned, "it is pinned")
    places -= sum(one.wish.size for one in pinned)
    judged = len(pinned)
    for of_task in (False, True):
        mine = [one for one in got if not one.wish.pinned and one.wish.of_task == of_task]
        if not mine or settled.ns < (len(mine) + 2) * interval:
            continue
        fitting = [one for one in mine if one.wish.size <= places]
        if len(fitting) < len(mine):
            break
        faults += _shares(presence, pmu, mine, places, interval)
        judged += len(mine)
        wanted = sum(one.wish.size for one in mine)
        if wanted > places or any(one.wish.leader.exclusive for one in mine):
            # What of the CPU's must share leaves nothing for the task's that is sure.
            break
        places -= wanted
    return judged, faults


def judge_shares(observation: Observation, _: Observation | None) -> Verdict:
    """Each group runs all the time where counters suffice, and has its share where not.

    rotate_ctx() puts the first group last, so that of n groups of one size, m of which fit
    at once, each is on in m of n intervals; of groups of many sizes each is the first one
    in one of n.  A step's end may fall into a round, which is m + 1 intervals more or less.
    The CPU's groups come before the task's, pinned ones before all (ctx_sched_in()).
    """
    expected = "running == enabled where counters suffice, else the share that is due"
    presence = Presence(observation)
    judged, faults = _copies(presence)
    for text, window in _working(presence):
        number, wrong = _software(presence, window)
        judged += number
        faults += [f"in '{text}' at {milliseconds(window.begin)}: {w}" for w in wrong]
        for cpu in range(observation.scenario.cpus):
            wishes = _wishes(presence, window, cpu)
            for pmu, found in (wishes or {}).items():
                number, wrong = _judge_place(presence, pmu, found, window)
                judged += number
                faults += [f"in '{text}' at {milliseconds(window.begin)}: {w}" for w in wrong]
    if not judged:
        return inconclusive(SHARES, "no step in which it is known who wants counters", expected)
    return verdict(
        SHARES,
        faults,
        measured=f"{judged - len(faults)} of {judged} times a group had what was due",
        expected=expected,
        metrics={"groups": judged, "wrong": len(faults)},
    )


# --- the timer ----------------------------------------------------------------


@dataclass
class Turn:
    """A timer of a PMU on a CPU that came, the calls that it made, and whether it goes on."""

    pmu: str
    cpu: int
    begin: int
    end: int | None = None
    goes_on: bool = False
    calls: list[Callback] = field(default_factory=list)

    @property
    def moved(self) -> bool:
        """True if it took events off."""
        return any(call.call == "del" for call in self.calls)


def turns(calls: list[Callback]) -> list[Turn]:
    """Each one that the log has all of, in order."""
    current: dict[int, Turn] = {}
    found = []
    for call in calls:
        if call.call == "rotate":
            current[call.cpu] = Turn(call.pmu, call.cpu, call.time)
        elif call.call == "rotate-end" and call.cpu in current:
            turn = current.pop(call.cpu)
            turn.end, turn.goes_on = call.time, bool(call.ret)
            found.append(turn)
        elif call.is_event and call.cpu in current:
            current[call.cpu].calls.append(call)
    return found


def _pmu_name(presence: Presence, logged: str) -> str:
    """A PMU of the log as scenarios call it."""
    return logged if logged in presence.observation.scenario.pmus else HARDWARE


def _by_place(found: list[Turn]) -> dict[tuple[str, int], list[Turn]]:
    places: dict[tuple[str, int], list[Turn]] = {}
    for turn in found:
        places.setdefault((turn.pmu, turn.cpu), []).append(turn)
    return places


def _waits(presence: Presence) -> list[Callback]:
    """The refused adds that leave an event waiting: not those of pinned groups."""
    return [call for call in presence.refused if not presence.pinned(call)]


def _streaks(presence: Presence, mine: list[Turn]) -> list[tuple[list[Turn], set[int]]]:
    """Turns that follow one another, with the interval that they were to have."""
    found: list[tuple[list[Turn], set[int]]] = []
    for turn in mine:
        due = presence.intervals(_pmu_name(presence, turn.pmu), turn.begin)
        if found and found[-1][0][-1].goes_on:
            found[-1][0].append(turn)
            if found[-1][1] == due:
                continue
        found.append(([turn], due))
    return found


def _interval_faults(presence: Presence, mine: list[Turn]) -> list[str]:
    """Turns that came too early or too late.

    Where several CPUs are played by turns, one may come late, or be left out by its timer
    (hrtimer_forward()): few of many.
    """
    faults = []
    alone = presence.observation.scenario.cpus == 1
    for streak, due in _streaks(presence, mine):
        for number, (before, after) in enumerate(pairwise(streak), 1):
            if alone:
                since, times, slack = before, 1, _LATE_NS
            else:
                since, times = streak[0], number
                slack = max(due) * (1 + number // _FEW_OF) + _LATE_NS
            gap = after.begin - since.begin
            if any(abs(gap - times * ns) <= slack for ns in due):
                continue
            faults.append(
                f"{before.pmu} on CPU {before.cpu} rotated at {milliseconds(since.begin)} and "
                f"{times} later at {milliseconds(after.begin)}: {milliseconds(gap)} instead of "
                f"{' or '.join(milliseconds(times * ns) for ns in sorted(due))}"
            )
            break
    return faults


def _late_starts(presence: Presence, found: list[Turn], last: int) -> list[str]:
    """Events that found no place, and no timer came within an interval."""
    places = _by_place(found)
    faults: dict[tuple[str, int], str] = {}
    for call in _waits(presence):
        place = (call.pmu, call.cpu)
        name = _pmu_name(presence, call.pmu)
        # One that runs since before the interval was set ends as it was to.
        before = {
            ns for w, when, ns in presence.interval_orders if w == name and when.begin < call.time
        }
        longest = max(presence.intervals(name, call.time) | before) + _LATE_NS
        after = [t for t in places.get(place, []) if t.end is not None and t.end >= call.time]
        come = after[0].begin if after else last
        if come - call.time > longest and place not in faults:
            faults[place] = (
                f"{named(event_names(presence.records), call.id)} found no place on {call.pmu} of "
                f"CPU {call.cpu} at {milliseconds(call.time)}; no timer came within "
                f"{milliseconds(longest)}"
            )
    return list(faults.values())


def _shown_faults(presence: Presence) -> tuple[int, list[str]]:
    """Intervals that sysfs shows wrong."""
    shown = [
        record
        for record in presence.records.of(Attribute)
        if record.name == "perf_event_mux_interval_ms"
    ]
    faults = []
    for record in shown:
        due = {ns // 1_000_000 for ns in presence.intervals(record.pmu, record.time)}
        if not record.value.isdigit() or int(record.value) not in due:
            faults.append(
                f"{record.pmu} shows an interval of {record.value} ms at "
                f"{milliseconds(record.time)}; {' or '.join(map(str, sorted(due)))} was set"
            )
    return len(shown), faults


def judge_interval(observation: Observation, _: Observation | None) -> Verdict:
    """The timer of a PMU comes in that PMU's own interval, for as long as an event waits.

    hrtimer_forward_now() in perf_mux_hrtimer_handler(): from the time that it was due to the
    next.  One that runs when the interval is changed ends as it was set.
    """
    expected = "from one rotation of a PMU to the next: its own interval"
    presence = Presence(observation)
    found = turns(presence.records.calls)
    offline = any(words[0] in ("offline", "online") for words, _ in presence.steps)
    faults, gaps = [], 0
    for mine in _by_place(found).values():
        faults += [] if offline else _interval_faults(presence, mine)
        gaps += sum(turn.goes_on for turn in mine[:-1])
    last = max((call.time for call in presence.records.calls), default=0)
    last = max([last, *(read.time for read in presence.records.of(Read)[-1:])])
    if not offline:
        faults += _late_starts(presence, found, last)
    shown, wrong = _shown_faults(presence)
    faults += wrong
    gaps += shown + len(_waits(presence))
    if not gaps:
        return inconclusive(INTERVAL, "no PMU was over-committed", expected)
    return verdict(
        INTERVAL,
        faults,
        measured=f"{len(found)} rotations, {len(faults)} out of time",
        expected=expected,
        metrics={"rotations": gaps, "wrong": len(faults)},
    )


def _strangers(presence: Presence, turn: Turn) -> list[str]:
    """Calls of a rotation on another PMU, or on a pinned event."""
    names = event_names(presence.records)
    faults = []
    for call in turn.calls:
        when = f"in the rotation of {turn.pmu} on CPU {turn.cpu} at {milliseconds(turn.begin)}"
        if call.pmu not in (turn.pmu, *SOFTWARE) and call.call in ("add", "del"):
            faults.append(f"{named(names, call.id)} of {call.pmu}: {call.call} {when}")
        if call.call == "del" and presence.pinned(call):
            faults.append(f"{named(names, call.id)} is pinned: del {when}")
    return faults


def _needless(presence: Presence, mine: list[Turn]) -> list[str]:
    """Rotations before which no event was without a place, though there were some before that.

    The one that finds a place for all is followed by one more at the most, which ends the
    timer: ctx_event_to_rotate() clears rotate_necessary, merge_sched_in() sets it again.
    """
    pmu, cpu = mine[0].pmu, mine[0].cpu
    if pmu in presence.exclusive:
        # An exclusive group keeps the others off without a call.
        return []
    waits = [c.time for c in _waits(presence) if (c.pmu, c.cpu) == (pmu, cpu)]
    waits += [s.begin for s in presence.taken_back if (s.pmu, s.cpu) == (pmu, cpu)]
    faults, since = [], 0
    for turn in (turn for turn in mine if turn.moved):
        if not any(since <= time < turn.begin for time in waits):
            faults.append(
                f"{pmu} on CPU {cpu} was rotated at {milliseconds(turn.begin)}, and since "
                f"{milliseconds(since)} every event had found a place"
            )
        since = turn.begin
    return faults


def _timer_faults(presence: Presence, mine: list[Turn]) -> list[str]:
    """Timers that go on with nothing to rotate, or that end while they rotate."""
    faults = []
    for turn in mine:
        if turn.goes_on and not any(call.call in ("add", "del") for call in turn.calls):
            faults.append(
                f"the timer of {turn.pmu} on CPU {turn.cpu} had nothing to rotate at "
                f"{milliseconds(turn.begin)}, and goes on"
            )
        if turn.moved and not turn.goes_on:
            faults.append(
                f"the timer of {turn.pmu} on CPU {turn.cpu} rotated at "
                f"{milliseconds(turn.begin)}, and ends"
            )
    return faults


def _running_timers(presence: Presence, found: list[Turn], time: int) -> set[tuple[str, int]]:
    """The (PMU, CPU) whose timer runs at a moment, as the log has it."""
    changes = [(turn.end or turn.begin, (turn.pmu, turn.cpu), turn.goes_on) for turn in found]
    changes += [(call.time, (call.pmu, call.cpu), True) for call in _waits(presence)]
    named_in_log = {_pmu_name(presence, turn.pmu): turn.pmu for turn in found}
    for pmu, when, _ in presence.interval_orders:
        for cpu in range(presence.observation.scenario.cpus):
            changes.append((when.end, (named_in_log.get(pmu, pmu), cpu), True))
    running: set[tuple[str, int]] = set()
    for when_, place, starts in sorted(changes, key=lambda change: change[0]):
        if when_ <= time:
            (running.add if starts else running.discard)(place)
    return running


def _count_faults(presence: Presence, found: list[Turn]) -> tuple[int, list[str]]:
    """Moments at which the kernel has another number of timers than the log has running."""
    # A CPU that is offline leaves its timers to another one.
    offline = any(words[0] in ("offline", "online") for words, _ in presence.steps)
    told = [] if offline else presence.records.of(Timers)
    faults = []
    for record in told:
        due = _running_timers(presence, found, record.time)
        if len(due) != record.number:
            which = ", ".join(f"{pmu} on CPU {cpu}" for pmu, cpu in sorted(due)) or "none"
            faults.append(
                f"{record.number} timers run at {milliseconds(record.time)}; events wait on {which}"
            )
    return len(told), faults


def judge_rotation(observation: Observation, _: Observation | None) -> Verdict:
    """A PMU is rotated while an event of its own waits for a counter, and no other PMU is.

    perf_rotate_context(): rotate_necessary is set by merge_sched_in() where a flexible
    group finds no place; else the timer ends.
    """
    expected = "a rotation where an event waits, of that PMU only; else no timer"
    presence = Presence(observation)
    found = turns(presence.records.calls)
    told, faults = _count_faults(presence, found)
    for turn in found:
        faults += _strangers(presence, turn)
    for mine in _by_place(found).values():
        faults += _needless(presence, mine) + _timer_faults(presence, mine)
    if not found and not told:
        return inconclusive(ROTATION, "no PMU was over-committed", expected)
    return verdict(
        ROTATION,
        faults,
        measured=f"{sum(t.moved for t in found)} rotations, {len(faults)} faults",
        expected=expected,
        metrics={"rotations": len(found) + told, "wrong": len(faults)},
    )


CHECKS = (
    # A host that does something else for a while takes a share from the one that has its turn.
    Check(
        SHARES,
        "Does each group have the share of counters that is due?",
        judge_shares,
        Recurrence(),
    ),
    Check(INTERVAL, "Does each PMU rotate in its own interval?", judge_interval, Recurrence()),
    Check(
        ROTATION,
        "Is a PMU rotated only while an event waits for it?",
        judge_rotation,
        Property("rotations", most=FEW),
    ),
)
