# SPDX-License-Identifier: MIT
"""Which tasks made which, and so of whom an inherited event is."""

from collections.abc import Iterator

from harness.checks.base import Observation
from harness.guest.records import Event, Phase, TaskStart


def made(observation: Observation) -> Iterator[tuple[str, str]]:
    """(task, what it made) of each fork and thread."""
    for phase in observation.records.of(Phase):
        words = phase.name.split()
        if words[0] in ("fork", "thread"):
            yield phase.task, words[1]


def family(observation: Observation, event: Event) -> set[str]:
    """The tasks of which an event tells: its own, with those that descend from it if it is
    inherited; of a CPU's, all."""
    started = {task.name for task in observation.records.of(TaskStart)}
    if not event.task:
        return started
    found = {"main" if event.task == "self" else event.task}
    if event.inherit:
        pairs = list(made(observation))
        while more := {child for task, child in pairs if task in found} - found:
            found |= more
    return found & started
