# SPDX-License-Identifier: MIT
"""When an event was on a counter, and what it had counted, as the callback log has it."""

from dataclasses import dataclass

from harness.checks.base import Observation
from harness.guest.callback_records import Callback, Observer

# Later than all that a guest records.
NEVER = 2**63


@dataclass(frozen=True)
class Stay:
    """An event on a counter of a CPU, from an add to its del; without one, until NEVER.  In ns."""

    cpu: int
    begin: int
    end: int


def event_calls(observation: Observation) -> dict[int, list[Callback]]:
    """The calls on each event, in the order of time; of events that the observer watched."""
    found: dict[int, list[Callback]] = {}
    if not observation.records.of(Observer):
        return found
    for call in observation.records.calls:
        if call.is_event:
            found.setdefault(call.id, []).append(call)
    return found


def stays(observation: Observation) -> dict[int, list[Stay]]:
    """When each event was on a counter, by its id; an add that is refused is none."""
    found: dict[int, list[Stay]] = {}
    for event, calls in event_calls(observation).items():
        mine = found.setdefault(event, [])
        added: Callback | None = None
        for call in calls:
            if call.call == "add" and call.ret == 0:
                added = call
            elif call.call == "del" and added is not None:
                mine.append(Stay(added.cpu, added.time, call.time))
                added = None
        if added is not None:
            mine.append(Stay(added.cpu, added.time, NEVER))
    return found
