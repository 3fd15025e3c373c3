# SPDX-License-Identifier: MIT
"""What a guest can perform of a draft: the rest of it is left out or set right.

guest-images/probes/drive.c goes on where the kernel refuses something, and ends where a scenario
asks for what makes no sense: a step on an event that is closed, a task that is started twice.
"""

from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from pydantic import ValidationError

from harness.model import HARDWARE, PMU_EVENTS, PMU_NAMES, STEPS, Machine, Scenario

# A scenario's fields as YAML has them, of which `Scenario` need not hold yet.
Draft = dict[str, Any]

# What of a scenario a draft has.
FIELDS = ("cpus", "pmus", "sysctl", "observe", "events", "tasks", "steps", "quiet")
# No step of a draft does more: a guest is to be over soon.
_MOST = {
    **{"user": 60, "kernel": 20, "sleep": 60, "compete": 20, "vm": 0},
    **{"spin": 20_000_000, "loop": 2_000_000, "random": 1 << 16, "work": 5_000, "signals": 200},
    **{"faults": 200, "kernel-faults": 200, "syscalls": 2_000},
    **{"touches": 2_000, "touches-second": 2_000},
    **{"refresh": 100, "map": 64, "fetch": 4_096},
}
_MS_IN_ALL = 250
_STEPS_IN_ALL = 40
_EVENTS, _TASKS, _COPIES = 24, 6, 8
_SCOPE = ("task", "cpu", "cgroup")
_MEASURED = ("loop", "faults", "kernel-faults", "syscalls", "touches", "touches-second")
_CONTROLS = {"enable", "disable", "reset", "refresh", "period"}
_CONTROLS |= {"enable-group", "disable-group", "reset-group"}
_RING = ("drain", "poll", "unmap", "pause", "resume", "map", "fetch")
# What another task than main may do.
_IN_TASKS = {*_CONTROLS, "user", "kernel", "spin", "sleep", "random", "signals", "cpu", "join"}
_IN_TASKS |= {"work", "exec", "fork", "thread", "wait"}
_BEHIND_EXEC = {"user", "kernel", "spin", "sleep", "random", "cpu", "work", "exec"}


def draft_of(scenario: Scenario) -> Draft | None:
    """A scenario as a draft; None where it is more than events, tasks and steps."""
    verbs = {step.split()[0] for steps in _lists(scenario) for step in steps}
    special = scenario.trace or scenario.registers or "vm" in verbs or not scenario.steps
    events = scenario.events.values()
    expects = scenario.answers or any(event.expect for event in events)
    if special or expects or any(event.aux for event in events):
        return None
    return dict(scenario.model_dump(mode="json", include=set(FIELDS), exclude_defaults=True))


def _lists(scenario: Scenario) -> Iterator[tuple[str, ...]]:
    yield scenario.steps
    yield from scenario.tasks.values()


def possible(draft: Draft, machine: Machine, checks: tuple[str, ...]) -> Scenario | None:
    """The scenario that a draft comes to; None where nothing is left of it, or it is none."""
    done = deepcopy({key: value for key, value in draft.items() if key in FIELDS})
    done["cpus"] = max(1, min(machine.cpus, done.get("cpus", 1)))
    done["pmus"] = dict(zip(PMU_NAMES, done.get("pmus", {}).values(), strict=False))
    while True:
        _set_events_right(done, machine)
        gone = _set_steps_right(done)
        if not gone:
            break
        del done["events"][gone]
    if not done["events"]:
        return None
    try:
        scenario = Scenario(
            name="explored", title="Drawn by chance", tolerant=True, checks=checks, **done
        )
    except ValidationError:
        return None
    return None if scenario.lacks(machine) else scenario.for_machine(machine)


# --- events ------------------------------------------------------------------


def has_ring(event: Draft) -> bool:
    """True if an event is opened with a ring: has_ring() in guest-images/probes/perf.c."""
    return any(map(event.get, ("period", "frequency", "records", "sample")))


def _set_events_right(draft: Draft, machine: Machine) -> None:
    late = {step.split()[1] for step in draft["steps"] if step.split()[0] == "open"}
    kept: Draft = {}
    for name, event in list(draft.get("events", {}).items())[:_EVENTS]:
        if event.get("counts") == "instructions" and not machine.counters.instructions:
            continue
        _set_scope_right(event, draft)
        leader = kept.get(event.get("leader", ""))
        early = event.get("leader") in late and name not in late
        if leader is None or early or "leader" in leader or leader["copies"] != 1:
            event.pop("leader", None)
        else:
            for key in _SCOPE:
                event.pop(key, None)
            event |= {key: leader[key] for key in _SCOPE if key in leader}
        if event.get("copies") == "rest":
            event["copies"] = 2
        event["copies"] = min(_COPIES, event.get("copies", 1)) if name not in late else 1
        if event.get("period"):
            event.pop("frequency", None)
        # perf_mmap() in kernel/events/core.c: no ring for what is inherited on any CPU.
        if has_ring(event) and event.get("cpu") is None:
            event.pop("inherit", None)
        kept[name] = event
    draft["events"] = kept


def _set_scope_right(event: Draft, draft: Draft) -> None:
    """Whom an event counts: somebody that there is."""
    pmu = draft["pmus"].get(event.get("pmu"))
    if pmu is None:
        event.pop("pmu", None)
        if event["counts"] in PMU_EVENTS:
            event["counts"] = "cycles"
    elif event["counts"] not in PMU_EVENTS:
        event["counts"] = PMU_EVENTS[0]
    if event.get("task") not in ("self", *draft.get("tasks", {})):
        event.pop("task", None)
    # pmu_test.c refuses a task's event where the PMU has none, as kernels before 6.2 do.
    if pmu is not None and not pmu.get("task"):
        event.pop("task", None)
    if event.get("cpu") is not None:
        event["cpu"] %= draft["cpus"]
    else:
        event.pop("cpu", None)
    if event.get("cgroup"):
        event.pop("task", None)
    else:
        event.pop("cgroup", None)
    if "task" not in event:
        event.setdefault("cpu", 0)
    # Only main has a handler for its signal.
    if event.get("task") != "self":
        event.pop("sigtrap", None)


# --- steps -------------------------------------------------------------------


@dataclass
class _Performed:
    """What is so by the time of a step."""

    draft: Draft
    late: set[str]
    open: set[str]
    closed: set[str] = field(default_factory=set)
    unmapped: set[str] = field(default_factory=set)
    offline: set[int] = field(default_factory=set)
    # Who has started a task, and how.
    started: dict[str, tuple[str, str]] = field(default_factory=dict)
    waited: set[str] = field(default_factory=set)
    ms: int = 0


def _set_steps_right(draft: Draft) -> str:
    """Keep the steps that can be performed; the name of an event that is never opened, if any."""
    tasks: dict[str, list[str]] = dict(list(draft.get("tasks", {}).items())[:_TASKS])
    draft["tasks"] = tasks
    copies = {name for name, event in draft["events"].items() if event["copies"] != 1}
    late = {step.split()[1] for step in draft["steps"] if step.split()[0] == "open"}
    late &= set(draft["events"])
    known = _Performed(draft, late, set(draft["events"]) - late - copies)
    named: set[str] = {event["task"] for event in draft["events"].values() if "task" in event} - {
        "self"
    }
    steps = list(islice(_performable("main", draft["steps"], known), _STEPS_IN_ALL))
    never: set[str] = late - known.open - known.closed
    if never:
        return min(never)
    steps += [f"run {task}" for task in sorted(named - set(known.started))]
    known.started |= {task: ("main", "run") for task in named - set(known.started)}
    online = [f"online {cpu}" for cpu in sorted(known.offline)]
    draft["steps"] = (steps or ["user 2"]) + online + _waits("main", known)
    draft["tasks"] = _tasks(tasks, known)
    return ""


def _tasks(tasks: dict[str, list[str]], known: _Performed) -> dict[str, list[str]]:
    """The steps of tasks that somebody starts, those that these start included."""
    done: dict[str, list[str]] = {}
    waiting = list(known.started)
    while waiting:
        task = waiting.pop(0)
        known.ms = 0
        before = set(known.started)
        steps = list(islice(_performable(task, tasks[task], known), _STEPS_IN_ALL))
        done[task] = (steps or ["user 1"]) + _waits(task, known)
        waiting += [name for name in known.started if name not in before]
    return done


def _waits(task: str, known: _Performed) -> list[str]:
    """Who starts a task waits for it."""
    mine = [name for name, (starter, _) in known.started.items() if starter == task]
    return [f"wait {name}" for name in mine if name not in known.waited]


def _performable(task: str, steps: Iterable[str], known: _Performed) -> Iterator[str]:
    executed = False
    for text in steps:
        verb, *words = text.split()
        if len(words) != len(STEPS.get(verb, ("?",) * 9)):
            continue
        if task != "main" and (verb not in _IN_TASKS or (executed and verb not in _BEHIND_EXEC)):
            continue
        step = _bounded(verb, words, known)
        if step is not None and _makes_sense(task, verb, step, known):
            executed = executed or verb == "exec"
            yield " ".join((verb, *step))


def _bounded(verb: str, words: list[str], known: _Performed) -> list[str] | None:
    """The words with no number beyond what a draft may have; None for too much in all."""
    bounded = []
    for kind, word in zip(STEPS[verb], words, strict=True):
        if kind not in ("ms", "times", "bytes", "pages"):
            bounded.append(word)
            continue
        if not word.isdigit():
            return None
        number = min(int(word), _MOST.get(verb, 1 << 62))
        known.ms += number if kind == "ms" else 0
        bounded.append(str(number))
    return bounded if known.ms <= _MS_IN_ALL else None


def _makes_sense(task: str, verb: str, words: list[str], known: _Performed) -> bool:
    """True if a step can be performed now; what it does is noted."""
    kinds = STEPS[verb]
    if kinds[:1] == ("event",):
        return _on_event(task, verb, words, known)
    if kinds[:1] == ("pmu",):
        return words[0] in (HARDWARE, *known.draft["pmus"]) and not (
            verb == "work" and words[0] == HARDWARE
        )
    if kinds == ("task",):
        return _on_task(task, verb, words[0], known)
    if kinds == ("cpu",):
        return _on_cpu(task, verb, words[0], known)
    if verb == "exec":
        return task != "main" and known.started[task][1] != "thread"
    if verb == "join":
        return words[0] in {event.get("cgroup") for event in known.draft["events"].values()}
    return verb != "vm"


def _on_event(task: str, verb: str, words: list[str], known: _Performed) -> bool:
    name, events = words[0], known.draft["events"]
    if verb == "open":
        return _opens(name, known)
    if name not in known.open:
        return False
    event = events[name]
    if task != "main":
        return verb in _CONTROLS and name not in known.late | known.closed
    if verb in _MEASURED:
        return event.get("task") == "self" and "leader" not in event and "cgroup" not in event
    if verb in _RING and (not has_ring(event) or name in known.unmapped):
        return False
    if verb == "output":
        return words[1] == "none" or words[1] in known.open
    if verb == "unmap":
        known.unmapped.add(name)
    if verb == "close":
        known.open.remove(name)
        known.closed.add(name)
    return True


def _opens(name: str, known: _Performed) -> bool:
    if name not in known.late - known.open - known.closed:
        return False
    leader = known.draft["events"][name].get("leader")
    if leader is not None and leader not in known.open:
        return False
    known.open.add(name)
    return True


def _on_task(task: str, verb: str, other: str, known: _Performed) -> bool:
    if other not in known.draft["tasks"] or other == task:
        return False
    if verb in ("wait", "kill"):
        starter, how = known.started.get(other, ("", ""))
        if starter != task or other in known.waited or (verb == "kill" and how == "thread"):
            return False
        if verb == "kill":
            # What it started would be left alone.
            texts = known.draft["tasks"][other]
            return not any(text.split()[0] in ("fork", "thread") for text in texts)
        known.waited.add(other)
        return True
    waits_to_be_run = any(e.get("task") == other for e in known.draft["events"].values())
    if other in known.started or (verb == "run") != waits_to_be_run:
        return False
    if verb == "run" and task != "main":
        return False
    known.started[other] = (task, verb)
    return True


def _on_cpu(task: str, verb: str, word: str, known: _Performed) -> bool:
    if not word.isdigit() or int(word) >= known.draft["cpus"]:
        return False
    cpu = int(word)
    going = any(text.split()[0] == "offline" for text in known.draft["steps"])
    if verb == "cpu":
        return cpu not in known.offline and (task == "main" or not cpu or not going)
    if task != "main" or not cpu or (verb == "offline") == (cpu in known.offline):
        return False
    known.offline ^= {cpu}
    return True
