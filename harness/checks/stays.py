# SPDX-License-Identifier: MIT
"""When an event was on a counter, and what it had counted, as the callback log has it."""

from dataclasses import dataclass
from functools import lru_cache

from harness.checks.adjustments import SOFTWARE
from harness.checks.base import Observation
from harness.guest.callback_records import Callback, Observer
from harness.guest.records import Records

# Later than all that a guest records.
NEVER = 2**63


@dataclass(frozen=True)
class Stay:
    """An event on a counter of a CPU, from an add to its del; without one, until NEVER.  In ns."""

    cpu: int
    begin: int
    end: int


def event_calls(observation: Observation) -> dict[int, list[Callback]]:
    """The calls on each event, in the order of time; of events that the observer watched.

    What all who ask share, as below.
    """
    return _event_calls(observation.records)


@lru_cache(maxsize=4)
def _event_calls(records: Records) -> dict[int, list[Callback]]:
    found: dict[int, list[Callback]] = {}
    if not records.of(Observer):
        return found
    for call in records.calls:
        if call.is_event:
            found.setdefault(call.id, []).append(call)
    return found


def stays(observation: Observation) -> dict[int, list[Stay]]:
    """When each event was on a counter, by its id; an add that is refused is none.

    Nor is one that got no counter: x86_pmu_add() leaves it to the end of the transaction, which
    may fail (group_sched_in() in kernel/events/core.c).
    """
    return _stays(observation.records)


@lru_cache(maxsize=4)
def _stays(records: Records) -> dict[int, list[Stay]]:
    found: dict[int, list[Stay]] = {}
    for event, calls in _event_calls(records).items():
        mine = found.setdefault(event, [])
        added: Callback | None = None
        for call in calls:
            if call.call == "add" and call.ret == 0:
                added = call
            elif call.call == "del" and added is not None:
                if call.pmu in SOFTWARE or max(added.idx[1], call.idx[0]) >= 0:
                    mine.append(Stay(added.cpu, added.time, call.time))
                added = None
        if added is not None:
            mine.append(Stay(added.cpu, added.time, NEVER))
    return found
