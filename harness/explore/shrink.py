# SPDX-License-Identifier: MIT
"""The smallest scenario that still shows a fault: delta debugging.

Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002: parts are left
out in ever smaller portions, until none can be spared.  After that, numbers get smaller.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from copy import deepcopy

from harness.explore.possible import FIELDS, Draft

# A thing that can be left out: what kind it is, and where it is.
Part = tuple[Hashable, ...]
# True where a draft still shows the fault.
Shows = Callable[[Draft], bool]

_KEPT = ("counts", "pmu", "copies")
_SMALLEST = {"user": 1, "kernel": 1, "sleep": 1, "spin": 1_000}


def smallest(draft: Draft, shows: Shows, tries: int) -> Draft:
    """A draft that still shows it, with as little in it as so many tries find."""
    left = [tries]

    def asked(one: Draft) -> bool:
        left[0] -= 1
        return left[0] >= 0 and shows(one)

    before: Draft = {}
    while before != draft and left[0] > 0:
        before = draft
        draft = _with_fewer_parts(draft, asked)
        draft = _with_smaller_numbers(draft, asked)
    return draft


def parts(draft: Draft) -> list[Part]:
    """Everything that can be left out, what takes most with it first."""
    found: list[Part] = [("tasks", name) for name in draft.get("tasks", {})]
    found += [("events", name) for name in draft["events"]]
    found += [("steps", place) for place in range(len(draft["steps"]))]
    for name, steps in draft.get("tasks", {}).items():
        found += [("task", name, place) for place in range(len(steps))]
    for name, event in draft["events"].items():
        found += [("event", name, key) for key in event if key not in _KEPT]
    found += [("sysctl", name) for name in draft.get("sysctl", {})]
    return found + [("field", name) for name in ("quiet", "cpus", "observe") if name in draft]


def without(draft: Draft, gone: set[Part]) -> Draft:
    """A draft with some of its parts left out."""
    events = {
        name: {key: value for key, value in event.items() if ("event", name, key) not in gone}
        for name, event in draft["events"].items()
        if ("events", name) not in gone
    }
    tasks = {
        name: [step for at, step in enumerate(steps) if ("task", name, at) not in gone]
        for name, steps in draft.get("tasks", {}).items()
        if ("tasks", name) not in gone
    }
    steps = [step for at, step in enumerate(draft["steps"]) if ("steps", at) not in gone]
    sysctl = {k: v for k, v in draft.get("sysctl", {}).items() if ("sysctl", k) not in gone}
    fields = {name: draft[name] for name in FIELDS if name in draft and ("field", name) not in gone}
    return deepcopy(fields | {"events": events, "tasks": tasks, "steps": steps, "sysctl": sysctl})


def _with_fewer_parts(draft: Draft, shows: Shows) -> Draft:
    portions = 2
    while True:
        every = parts(draft)
        if not every:
            return draft
        portions = min(portions, len(every))
        smaller = next(
            (one for gone in _split(every, portions) if shows(one := without(draft, set(gone)))),
            None,
        )
        if smaller is not None:
            draft, portions = smaller, max(2, portions - 1)
        elif portions == len(every):
            return draft
        else:
            portions *= 2


def _split(every: Sequence[Part], portions: int) -> Iterator[Sequence[Part]]:
    size = -(-len(every) // portions)
    for start in range(0, len(every), size):
        yield every[start : start + size]


def _with_smaller_numbers(draft: Draft, shows: Shows) -> Draft:
    for place, step in enumerate(draft["steps"]):
        verb, *words = step.split()
        least = _SMALLEST.get(verb)
        while least and int(words[0]) > least:
            less = deepcopy(draft)
            less["steps"][place] = f"{verb} {max(least, int(words[0]) // 4)}"
            if not shows(less):
                break
            draft, words = less, less["steps"][place].split()[1:]
    return draft
