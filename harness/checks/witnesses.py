# SPDX-License-Identifier: MIT
"""Two witnesses of which counter an event is on: the callback log, and its mmap page."""

from harness.checks.adjustments import Adjustment
from harness.checks.base import Observation, milliseconds
from harness.checks.points import main_phases
from harness.guest.records import Index


def moves_in_log(found: list[Adjustment]) -> list[tuple[Adjustment, int, int]]:
    """Adjustments over which an event's hw.idx changed: (adjustment, before, after)."""
    moves = []
    for adjustment in found:
        if adjustment.calls:
            before, after = adjustment.calls[0].idx[0], adjustment.calls[-1].idx[1]
            if before != after:
                moves.append((adjustment, before, after))
    return moves


_RESCHEDULING = (
    *("enable", "disable", "enable-group", "disable-group"),
    *("open", "close", "refresh"),
)


def moves_on_page(observation: Observation) -> list[Index]:
    """Changes of the mmap page's index that neither a context switch nor a step explains."""
    seen = [index for index in observation.records.of(Index) if index.old and index.new]
    return [index for index in seen if not index.switches and not _resched(observation, index)]


def _resched(observation: Observation, index: Index) -> bool:
    """True if the step before a look has all events put on counters anew.

    ctx_resched() in kernel/events/core.c, when an event comes, goes, or is enabled.
    """
    steps = [phase for phase in main_phases(observation) if phase.time <= index.time]
    return bool(steps) and steps[-1].name.split()[0] in _RESCHEDULING


def _in_user_phase(observation: Observation, time: int) -> bool:
    """True if a probe was looking at the page at this time."""
    phases = [phase for phase in main_phases(observation) if phase.time <= time]
    return bool(phases) and phases[-1].name.startswith("user ")


def _renumbered(numbers: dict[int, int], page: Index, before: int, after: int) -> list[str]:
    """Counters of the log that another index stood for before; learns the numbers."""
    return [
        f"counter {counter} of the log is index {index} on the page of event {page.id} "
        f"at {milliseconds(page.time)}, and was {numbers[counter]} before"
        for counter, index in ((before, page.old), (after, page.new))
        if numbers.setdefault(counter, index) != index
    ]


def page_contradicts_log(
    observation: Observation, moves: list[tuple[Adjustment, int, int]]
) -> list[str]:
    """What one witness of a counter's identity saw and the other did not.

    The page and the driver number counters differently, and kernels differ in
    how; so it is the moves that must match, and one number must always stand
    for the same other one.
    """
    pages = observation.records.of(Index)
    watched = {page.id for page in pages}
    faults: list[str] = []
    matched: list[Index] = []
    numbers: dict[int, int] = {}
    for adjustment, before, after in moves:
        time, event = adjustment.tick.time, adjustment.event
        if event not in watched:
            continue
        # One that came off its counter later, such as by disable, is no answer.
        later = (page for page in pages if page.id == event and page.time > time and page.new)
        page = next(later, None)
        if not _in_user_phase(observation, time):
            # No one looked then; several moves are one change, once someone does.
            matched += [page] if page else []
            continue
        if page is None or page.switches:
            faults.append(
                f"log: event {event} moved from counter {before} to {after} at "
                f"{milliseconds(time)}; its page showed no change then"
            )
            continue
        matched.append(page)
        faults += _renumbered(numbers, page, before, after)
    faults += [
        f"page: event {page.id} went from index {page.old} to {page.new} by "
        f"{milliseconds(page.time)}; the log shows no move then"
        for page in moves_on_page(observation)
        if page not in matched
    ]
    return faults
