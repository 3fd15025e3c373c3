# SPDX-License-Identifier: MIT
"""Drafts of scenarios by chance: new ones, and known ones with a few things changed.

hypothesis draws: the same seed gives the same drafts.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.strategies import DrawFn, SearchStrategy

from harness.explore.possible import Draft
from harness.model import PMU_EVENTS, PMU_NAMES, STEPS

# What is counted on every machine; the PMU's own events come first.
_HARDWARE = ("cycles", "instructions")
_SOFTWARE = (
    *("cpu-clock", "task-clock", "page-faults", "context-switches", "breakpoint"),
    "tracepoint:syscalls:sys_enter_getppid",
)
# A trace needs a buffer of its own: it is in no draft.
_OF_PMUS = tuple(kind for kind in PMU_EVENTS if kind != "trace")
_CGROUPS = ("inside", "outside")
_PERIODS = (1, 3, 100, 5_000, 30_000, 200_000, 1_000_000, 40_000_000)
_FREQUENCIES = (50, 1_000, 4_000, 20_000)
_FLAGS = (
    *("disabled", "pinned", "exclusive", "inherit", "exclude_kernel", "exclude_user"),
    *("paged", "watched", "inherit_stat", "enable_on_exec", "lost", "signals"),
)
_RECORDS = ("mmap", "comm", "task", "switch")
_SAMPLE = ("ip", "address", "chain", "registers", "stack")
# How much a step does, by the kind of its word.
_NUMBERS = {
    "ms": (1, 2, 5, 10, 25),
    "times": (1, 3, 20, 100, 1_000, 100_000, 2_000_000),
    "bytes": (100, 5_000, 50_000),
    "pages": (1, 3, 4, 8),
}
_INTERVALS = (1, 2, 5, 20)
# What main is likelier to do: time has to pass, and events to change.
_OFTEN = ("user", "user", "kernel", "sleep", "enable", "disable", "reset", "period", "work", "run")
_EVENT_WORDS = {"event", "target"}


def keep_notes_in(folder: str) -> None:
    """Where hypothesis writes what it keeps for itself, instead of the folder that this runs in."""
    set_hypothesis_home_dir(folder)


def drafts(corpus: Sequence[Draft], number: int, key: int) -> list[Draft]:
    """About so many drafts: varied from those of a corpus, some new; the same for the same key."""
    found: list[Draft] = []

    @seed(key)
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(_drawn(corpus))
    def draw_one(draft: Draft) -> None:
        found.append(draft)

    draw_one()
    return found


def _drawn(corpus: Sequence[Draft]) -> SearchStrategy[Draft]:
    if not corpus:
        return _new()
    return st.one_of(_varied(corpus), _varied(corpus), _varied(corpus), _new())


# --- a new one ---------------------------------------------------------------


@st.composite
def _new(draw: DrawFn) -> Draft:
    """Events first, then tasks, then what is done with them."""
    draft: Draft = {"cpus": draw(st.sampled_from((1, 1, 2))), "pmus": {}, "events": {}}
    for name in PMU_NAMES[: draw(st.sampled_from((0, 0, 0, 1, 2)))]:
        draft["pmus"][name] = draw(_pmu())
    tasks = draw(st.integers(0, 2))
    draft["tasks"] = {f"task{number}": [] for number in range(1, tasks + 1)}
    for _ in range(draw(st.integers(1, 6))):
        _add_event(draw, draft)
    for name in draft["tasks"]:
        for _ in range(draw(st.integers(1, 5))):
            draft["tasks"][name].append(draw(_step(draft)))
    draft["steps"] = [draw(_step(draft)) for _ in range(draw(st.integers(2, 10)))]
    draft["quiet"] = draw(st.sampled_from((False, False, True)))
    return draft


@st.composite
def _pmu(draw: DrawFn) -> Draft:
    flags = ("task", "interrupt", "exclusive")
    chosen = {flag: draw(st.booleans()) for flag in flags}
    return {"counters": draw(st.integers(1, 4)), **{k: v for k, v in chosen.items() if v}}


@st.composite
def _event(draw: DrawFn, draft: Draft) -> Draft:
    """An event of the CPU's PMU, of software, or of a test PMU."""
    event: Draft = {}
    pmus = list(draft.get("pmus", {}))
    kind = draw(st.sampled_from(("hardware", "hardware", "software", *(["pmu"] if pmus else []))))
    if kind == "pmu":
        event["pmu"] = draw(st.sampled_from(pmus))
        event["counts"] = draw(st.sampled_from(_OF_PMUS))
    else:
        counts = _HARDWARE if kind == "hardware" else _SOFTWARE
        event["counts"] = draw(st.sampled_from(counts))
    event |= draw(_scope(draft))
    others = list(draft.get("events", {}))
    if others and draw(st.sampled_from((True, False))):
        event["leader"] = draw(st.sampled_from(others))
    event |= draw(_sampling())
    for flag in draw(st.lists(st.sampled_from(_FLAGS), max_size=2, unique=True)):
        event[flag] = True
    return event


@st.composite
def _scope(draw: DrawFn, draft: Draft) -> Draft:
    """Whom it counts."""
    tasks = ("self", *draft.get("tasks", {}))
    kind = draw(st.sampled_from(("task", "task", "cpu", "both", "cgroup")))
    scope: Draft = {}
    if kind in ("task", "both"):
        scope["task"] = draw(st.sampled_from(tasks))
    if kind != "task":
        scope["cpu"] = draw(st.integers(0, 1))
    if kind == "cgroup":
        scope["cgroup"] = draw(st.sampled_from(_CGROUPS))
    return scope


@st.composite
def _sampling(draw: DrawFn) -> Draft:
    """What has it overflow, and what it writes then."""
    kind = draw(st.sampled_from(("none", "none", "frequency", "frequency", "period", "records")))
    if kind == "frequency":
        return {"frequency": draw(st.sampled_from(_FREQUENCIES))}
    if kind == "records":
        return {"records": draw(st.lists(st.sampled_from(_RECORDS), min_size=1, unique=True))}
    if kind == "none":
        return {}
    more: Draft = {"period": draw(st.sampled_from(_PERIODS))}
    parts = draw(st.lists(st.sampled_from(_SAMPLE), max_size=2, unique=True))
    return more | ({"sample": parts} if parts else {})


def _add_event(draw: DrawFn, draft: Draft) -> str:
    number = 1 + len(draft["events"])
    while f"event{number}" in draft["events"]:
        number += 1
    name = f"event{number}"
    draft["events"][name] = draw(_event(draft))
    return name


# --- steps -------------------------------------------------------------------


@st.composite
def _step(draw: DrawFn, draft: Draft) -> str:
    """A verb and its words; whether it makes sense where it stands is for `possible`."""
    verb = draw(st.one_of(st.sampled_from(_OFTEN), st.sampled_from(sorted(STEPS))))
    if verb == "set":
        return f"set {_one_of(draw, ('hardware', *draft.get('pmus', {})))} " + (
            f"perf_event_mux_interval_ms {_one_of(draw, _INTERVALS)}"
        )
    if verb == "show":
        return f"show {_one_of(draw, ('hardware', *draft.get('pmus', {})))} " + (
            "perf_event_mux_interval_ms"
        )
    return " ".join((verb, *(_word(draw, draft, verb, kind) for kind in STEPS[verb])))


def _one_of(draw: DrawFn, values: Sequence[Any]) -> Any:
    return draw(st.sampled_from(values)) if values else "none"


def _word(draw: DrawFn, draft: Draft, verb: str, kind: str) -> str:
    if verb == "period":
        numbers: Sequence[int] = _PERIODS
    else:
        numbers = _NUMBERS.get(kind, ())
    if numbers and kind not in _EVENT_WORDS:
        return str(_one_of(draw, numbers))
    choices: dict[str, Sequence[Any]] = {
        "event": list(draft["events"]),
        "target": ["none", *draft["events"]],
        "task": list(draft.get("tasks", {})),
        "pmu": list(draft.get("pmus", {})),
        "cpu": (0, 1),
        "cgroup": _CGROUPS,
    }
    return str(_one_of(draw, choices.get(kind, ())))


# --- a known one, changed ----------------------------------------------------


@st.composite
def _varied(draw: DrawFn, corpus: Sequence[Draft]) -> Draft:
    draft = deepcopy(draw(st.sampled_from(corpus)))
    draft.setdefault("tasks", {})
    draft.setdefault("pmus", {})
    for _ in range(draw(st.integers(1, 4))):
        edit = draw(st.sampled_from(_EDITS))
        edit(draw, draft)
        if draw(st.integers(0, 11)) == 0:
            _join(draft, deepcopy(draw(st.sampled_from(corpus))))
    return draft


def _steps_of(draw: DrawFn, draft: Draft) -> list[str]:
    """The steps of main or of a task."""
    lists = {"": draft["steps"], **draft["tasks"]}
    name = draw(st.sampled_from(list(lists)))
    steps = list(lists[name])
    if name:
        draft["tasks"][name] = steps
    else:
        draft["steps"] = steps
    return steps


def _place(draw: DrawFn, things: Sequence[Any]) -> int:
    return draw(st.integers(0, max(0, len(things) - 1)))


def _insert_step(draw: DrawFn, draft: Draft) -> None:
    steps = _steps_of(draw, draft)
    steps.insert(draw(st.integers(0, len(steps))), draw(_step(draft)))


def _drop_step(draw: DrawFn, draft: Draft) -> None:
    steps = _steps_of(draw, draft)
    if steps:
        del steps[_place(draw, steps)]


def _repeat_step(draw: DrawFn, draft: Draft) -> None:
    steps = _steps_of(draw, draft)
    if steps:
        steps.insert(draw(st.integers(0, len(steps))), steps[_place(draw, steps)])


def _move_step(draw: DrawFn, draft: Draft) -> None:
    steps = _steps_of(draw, draft)
    if steps:
        step = steps.pop(_place(draw, steps))
        steps.insert(draw(st.integers(0, len(steps))), step)


def _change_number(draw: DrawFn, draft: Draft) -> None:
    steps = _steps_of(draw, draft)
    if not steps:
        return
    place = _place(draw, steps)
    words = steps[place].split()
    numbers = [at for at, word in enumerate(words) if word.isdigit() and words[0] != "cpu"]
    if numbers:
        at = draw(st.sampled_from(numbers))
        factor = draw(st.sampled_from((0, 1, 3, 20, 100)))
        words[at] = str(int(words[at]) * factor // 10 or 1)
        steps[place] = " ".join(words)


def _any_event(draw: DrawFn, draft: Draft) -> Draft | None:
    names = list(draft["events"])
    return dict(draft["events"][draw(st.sampled_from(names))]) if names else None


def _change_event(draw: DrawFn, draft: Draft) -> None:
    names = list(draft["events"])
    if not names:
        return
    event = draft["events"][draw(st.sampled_from(names))]
    what = draw(st.sampled_from(("flag", "sampling", "scope", "leader", "ring")))
    if what == "flag":
        flag = draw(st.sampled_from(_FLAGS))
        event[flag] = not event.get(flag, False)
    elif what == "sampling":
        for key in ("frequency", "period", "records", "sample"):
            event.pop(key, None)
        event |= draw(_sampling())
    elif what == "scope":
        for key in ("task", "cpu", "cgroup"):
            event.pop(key, None)
        event |= draw(_scope(draft))
    elif what == "leader":
        event["leader"] = draw(st.sampled_from(names))
    else:
        event["ring"] = draw(st.sampled_from((1, 2, 8)))
        event["backward"] = draw(st.booleans())


def _copy_event(draw: DrawFn, draft: Draft) -> None:
    event = _any_event(draw, draft)
    if event is not None:
        name = _add_event(draw, draft)
        draft["events"][name] = event


def _drop_event(draw: DrawFn, draft: Draft) -> None:
    if len(draft["events"]) > 1:
        del draft["events"][draw(st.sampled_from(list(draft["events"])))]


def _new_event(draw: DrawFn, draft: Draft) -> None:
    _add_event(draw, draft)


def _new_task(draw: DrawFn, draft: Draft) -> None:
    name = f"task{1 + len(draft['tasks'])}"
    if name not in draft["tasks"]:
        draft["tasks"][name] = [draw(_step(draft)) for _ in range(draw(st.integers(1, 4)))]
        verb = draw(st.sampled_from(("fork", "thread")))
        steps = _steps_of(draw, draft)
        steps.insert(draw(st.integers(0, len(steps))), f"{verb} {name}")


def _open_late(draw: DrawFn, draft: Draft) -> None:
    names = list(draft["events"])
    if names:
        steps = draft["steps"] = list(draft["steps"])
        place = draw(st.integers(0, len(steps)))
        steps.insert(place, f"open {draw(st.sampled_from(names))}")


def _toggle_quiet(draw: DrawFn, draft: Draft) -> None:
    draft["quiet"] = not draft.get("quiet", False)


def _change_cpus(draw: DrawFn, draft: Draft) -> None:
    draft["cpus"] = draw(st.integers(1, 2))


def _join(draft: Draft, other: Draft) -> None:
    """What another one does, behind what this one does, with its events beside these."""
    if other.get("pmus") and other["pmus"] != draft["pmus"]:
        return
    events = {name: f"other-{name}" for name in other["events"]}
    tasks = {name: f"other-{name}" for name in other.get("tasks", {})}
    for name, event in other["events"].items():
        if event.get("leader") in events:
            event["leader"] = events[event["leader"]]
        event["task"] = tasks.get(event.get("task", ""), event.get("task"))
        draft["events"][events[name]] = event
    names = events | tasks

    def renamed(step: str) -> str:
        verb, *words = step.split()
        return " ".join((verb, *(names.get(word, word) for word in words)))

    for name, steps in other.get("tasks", {}).items():
        draft["tasks"][tasks[name]] = [renamed(step) for step in steps]
    draft["cpus"] = max(draft.get("cpus", 1), other.get("cpus", 1))
    draft["steps"] = [*draft["steps"], *map(renamed, other["steps"])]


_EDITS: tuple[Callable[[DrawFn, Draft], None], ...] = (
    *(_insert_step, _insert_step, _drop_step, _repeat_step, _move_step, _change_number),
    *(_change_event, _change_event, _copy_event, _new_event, _drop_event, _new_task),
    *(_open_late, _toggle_quiet, _change_cpus),
)
