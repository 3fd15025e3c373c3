# SPDX-License-Identifier: MIT
"""Times: enabled and running are those of the clock and of the counters, in reads and pages.

__perf_update_times(), update_context_time() and perf_event_update_userpage() in
kernel/events/core.c; include/uapi/linux/perf_event.h says how user space computes the page's.
"""

from itertools import pairwise

from harness.checks.base import (
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
from harness.checks.releases import MOVED_GROUPS_WAIT
from harness.guest.pmu_records import Page
from harness.guest.records import Event, Read
from harness.model import HARDWARE, Verdict

TIMES = "contexts.times"
PAGE = "contexts.page"

# From when a call takes the times to when its record says it was, and for each time that
# an event is put on a counter or taken off.
_STEP_NS = 20_000
# A read is some moments after it was asked for: interrupts and ticks come in between.
_READ_NS = 150_000
# Times are rounded to the clock's steps, on both sides.
_ROUNDING_NS = 64
# Several CPUs are played by turns: one that is read may have its turn only later.
_TURN_NS = 3_000_000
# A driver's del() updates the page with a later time than that at which perf has it stop.
_STOPPED_NS = 20_000


def _slack(presence: Presence) -> int:
    """How far a read is from when it was asked for, at the most."""
    return _READ_NS if presence.observation.scenario.cpus == 1 else _TURN_NS


def _least(presence: Presence, before: Read, after: Read) -> Window:
    """The time that certainly lies between two reads.

    One takes an event's times when it is asked for; another task or CPU may have its turn before
    the record of it is made.
    """
    return Window(before.time, presence.asked(after))


def _most(presence: Presence, before: Read, after: Read) -> Window:
    """The time that may lie between two reads."""
    return Window(presence.asked(before), after.time)


def _between(presence: Presence, event: Event, before: Read, after: Read) -> list[str]:
    """What is wrong with what an event's times gained from one read to the next."""
    slack = _slack(presence)
    window, most = Window(before.time, after.time), _most(presence, before, after)
    enabled, running = after.enabled - before.enabled, after.running - before.running
    said = f"from {milliseconds(before.time)} to {milliseconds(after.time)}"
    faults = []
    if enabled < 0 or running < 0:
        return [f"went back {said}: enabled by {enabled} ns, running by {running} ns"]
    fallen = [e for e, count in after.counts if count < dict(before.counts).get(e, 0)]
    if fallen and not presence.is_reset(window):
        which = ", ".join(named(presence.names, member) for member in fallen)
        faults.append(f"had the count of {which} fall {said}")
    if running > enabled:
        faults.append(f"ran for {running} ns of {enabled} {said}")
    if not event.inherit and enabled > most.ns + slack:
        faults.append(f"was enabled for {enabled} ns of {window.ns} {said}")
    state = presence.enabled(event.id, window)
    if state is False and (enabled or running):
        faults.append(f"is disabled and gained {enabled} ns enabled, {running} running {said}")
    least = _least(presence, before, after)
    if state and _always(presence, event, window) and enabled < least.ns - slack:
        faults.append(f"is enabled, and was so for {enabled} ns of {window.ns} {said}")
    return faults


def _always(presence: Presence, event: Event, window: Window) -> bool:
    """True for one whose context never rests, and which stays in it: a CPU's."""
    waits = presence.observation.version in MOVED_GROUPS_WAIT
    siblings = {e.name for e in presence.events.values() if e.leader == event.id}
    moved = waits and any(
        words[0] == "open"
        and words[1] in siblings
        and when.end > window.begin
        and when.begin < window.end
        for words, when in presence.orders
    )
    return not (event.task or event.cgroup or moved)


def _clocks(presence: Presence, event: Event, before: Read, after: Read) -> list[str]:
    """Events of a group that count a clock, and counted another time than they ran."""
    window = Window(before.time, after.time)
    running, faults = after.running - before.running, []
    slack = _STEP_NS * (1 + sum(s.touches(before.time, after.time) for s in presence.of(event.id)))
    for member, count in after.counts:
        spec = presence.specs.get(member)
        known = spec is not None and spec.pmu and spec.counts == "clock" and not spec.inherit
        if not known or member not in dict(before.counts) or presence.is_reset(window):
            continue
        grown = count - dict(before.counts)[member]
        if presence.enabled(member, window) and abs(grown - running) > slack:
            faults.append(
                f"has {named(presence.names, member)} count {grown} ns of the {running} that it "
                f"ran from {milliseconds(before.time)} to {milliseconds(after.time)}"
            )
    return faults


def _against_log(presence: Presence, event: Event, before: Read, after: Read) -> str:
    """How running differs from the stays in the log; or nothing."""
    if event.inherit or not presence.pmu(event.id) or not presence.records.calls:
        return ""
    least, most = _least(presence, before, after), _most(presence, before, after)
    mine = [s for s in presence.of(event.id) if s.touches(most.begin, most.end)]
    running, slack = after.running - before.running, _slack(presence) + _STEP_NS * len(mine)
    there = sum(stay.lasted(least.begin, least.end) for stay in mine)
    up_to = sum(stay.lasted(most.begin, most.end) for stay in mine)
    if there - slack <= running <= up_to + slack:
        return ""
    return (
        f"ran for {running} ns from {milliseconds(before.time)} to {milliseconds(after.time)}; "
        f"the log has it on a counter for {there}"
    )


def _offline(presence: Presence) -> bool:
    return any(words[0] in ("offline", "online") for words, _ in presence.steps)


def judge_times(observation: Observation, _: Observation | None) -> Verdict:
    """Enabled runs with the clock, running with the stays on a counter, neither back, nor a count.

    That of a CPU's event with the clock itself; that of a task's no faster.  An event that
    counts a clock counts the time that it runs.
    """
    expected = "running <= enabled <= the clock; running == the time on a counter in the log"
    presence = Presence(observation)
    faults, judged = [], 0
    gone = _offline(presence)
    for event in presence.events.values():
        found: list[str] = []
        reads = presence.reads(event.id)
        judged += len(reads)
        for before, after in pairwise(reads):
            wrong = [] if gone and not event.task else _between(presence, event, before, after)
            log = "" if gone else _against_log(presence, event, before, after)
            found += [*wrong, log] if log else wrong
            found += _clocks(presence, event, before, after)
        faults += [f"{named(presence.names, event.id)} {fault}" for fault in found]
    if judged < 2:
        return inconclusive(TIMES, f"{judged} reads", expected)
    return verdict(
        TIMES,
        faults,
        measured=f"{judged} reads, {len(faults)} faults",
        expected=expected,
        metrics={"reads": judged, "wrong": len(faults)},
    )


# --- the mmap page ------------------------------------------------------------


def _in_order(times: tuple[int, int, int]) -> bool:
    """True if a read lies between the looks at the page around it."""
    before, read, after = times
    return before - _ROUNDING_NS <= read <= after + _ROUNDING_NS


def _children_live(presence: Presence, time: int) -> bool:
    """True if a task that main made has not been waited for."""
    made = {w[1]: p.begin for w, p in presence.steps if w[0] in ("fork", "thread", "run")}
    ended = {w[1]: p.begin for w, p in presence.orders if w[0] == "wait" and p.end <= time}
    return any(begin <= time and task not in ended for task, begin in made.items())


def _page_faults(presence: Presence, page: Page, window: Window) -> list[str]:
    """What is wrong with the times of a page beside those of a read."""
    event = presence.events[page.id]
    if event.inherit and _children_live(presence, page.time):
        return []
    if not presence.leads(event.id, window):
        # A read of a sibling gives the leader's times.
        return []
    enabled = presence.enabled(event.id, window)
    before, after = page.index
    faults = []
    # The page has user space add the time since its last update, which a disabled event has not.
    if enabled and not _in_order(page.enabled):
        faults.append(f"enabled {page.enabled[0]}, read {page.enabled[1]}, {page.enabled[2]} ns")
    running = page.running
    there = presence.on(event.id, window) if presence.pmu(event.id) else None
    fine = _in_order(running) if before and after else max(running) - min(running) <= _STOPPED_NS
    # Without its counter's number, a page of an event that counts has an old time.
    if not fine and (all(page.index) or there is False):
        faults.append(
            f"running {running[0]}, read {running[1]}, {running[2]} ns, index {before}, {after}"
        )
    return faults


def _index_faults(presence: Presence, page: Page, window: Window) -> list[str]:
    """What is wrong with a page's index beside the log."""
    event = presence.events[page.id]
    pmu = presence.pmu(event.id)
    if not pmu or not presence.records.calls:
        return []
    there = presence.on(event.id, window)
    if there is False and any(page.index):
        return [f"index {page.index[0]}, {page.index[1]} on no counter"]
    if there and pmu != HARDWARE:
        stay = next(s for s in presence.of(event.id) if s.covers(window.begin, window.end))
        if set(page.index) != {stay.counter + 1}:
            return [f"index {page.index[0]}, {page.index[1]} on counter {stay.counter}"]
    return []


def judge_page(observation: Observation, _: Observation | None) -> Verdict:
    """A page's times are those of a read between two looks at it; its index is the counter's.

    Also while the event waits for a counter (group_update_userpage()), when its index is 0.
    """
    expected = "page <= read <= page; index the counter's, 0 on none"
    presence = Presence(observation)
    faults, judged = [], 0
    for page, window in presence.pages:
        if page.id not in presence.events:
            continue
        judged += 1
        found = _page_faults(presence, page, window) + _index_faults(presence, page, window)
        faults += [
            f"page of {named(presence.names, page.id)} at {milliseconds(page.time)}: {fault}"
            for fault in found
        ]
    if not judged:
        return inconclusive(PAGE, "no page was looked at", expected)
    return verdict(
        PAGE,
        faults,
        measured=f"{judged} looks at pages, {len(faults)} faults",
        expected=expected,
        metrics={"looks": judged, "wrong": len(faults)},
    )


CHECKS = (
    # A host may do something else between the read and the record of when it was.
    Check(
        TIMES,
        "Are the times of events those of the clock and of the log?",
        judge_times,
        Recurrence(),
    ),
    Check(PAGE, "Does the mmap page say what a read says?", judge_page, Property("looks")),
)
