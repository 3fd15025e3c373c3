# SPDX-License-Identifier: MIT
"""Sideband: the kernel tells of each fork, exec, mapping, switch and exit, once and of whom."""

from collections import Counter
from itertools import pairwise

from harness.checks.adjustments import event_names
from harness.checks.base import (
    FEW,
    Check,
    Observation,
    Property,
    inconclusive,
    milliseconds,
    named,
    verdict,
)
from harness.checks.kinship import family, made
from harness.checks.points import events
from harness.guest.pmu_records import Cgroup
from harness.guest.records import Phase, Sideband, TaskStart
from harness.model import Verdict

TASKS = "records.tasks"

# The probe that performs a task, as the kernel calls it (guest-images/probes/drive.c).
_PROGRAM = "drive"
# What perf_event_tid() calls a thread that has ended.
_ENDED = 2**32 - 1


def _wrong_number(what: str, found: int, wanted: int) -> list[str]:
    return [] if found == wanted else [f"{found} records of {what}, {wanted} were due"]


def _forks_and_exits(
    observation: Observation, told: list[Sideband], kin: set[str], tids: dict[str, int]
) -> list[str]:
    """FORK for each task that one of the family made, EXIT for each of it that ended."""
    forks = Counter((r.parent[1], r.who[1]) for r in told if r.what == "fork")
    exits = Counter(r.who[1] for r in told if r.what == "exit")
    faults = []
    for task, child in made(observation):
        if task in kin and task in tids and child in tids:
            number = forks[tids[task], tids[child]]
            faults += _wrong_number(f"how {task} made {child}", number, 1)
    for task in sorted(kin - {"main"}):
        faults += _wrong_number(f"the end of {task}", exits[tids[task]], 1)
    faults += [
        f"a {record.what} at {milliseconds(record.time)} is told by thread {record.tid}, "
        f"not by {record.parent[1]}"
        for record in told
        if record.what == "fork" and record.tid != record.parent[1]
    ]
    return faults


def _programs(
    observation: Observation, told: list[Sideband], kin: set[str], tids: dict[str, int]
) -> list[str]:
    """COMM and MMAP for each exec of one of the family; each by the thread that it is of."""
    phases = observation.records.of(Phase)
    faults = []
    for task in sorted(kin):
        mine = [phase for phase in phases if phase.task == task]
        execs = [(a, b) for a, b in pairwise(mine) if a.name == "exec"]
        names = [r for r in told if r.what == "comm" and r.who[1] == tids[task] and r.out]
        faults += _wrong_number(f"the name of {task} after exec", len(names), len(execs))
        for begin, end in execs:
            maps = [
                r
                for r in told
                if r.what in ("mmap", "mmap2") and r.who[1] == tids[task] and _PROGRAM in r.text
                and begin.time <= r.time <= end.time
            ]  # fmt: skip
            if not maps:
                faults.append(f"no mapping of {_PROGRAM} by {task} at {milliseconds(begin.time)}")
    return [
        *faults,
        *(
            f"a {record.what} of thread {record.who[1]} at {milliseconds(record.time)} is told by "
            f"thread {record.tid}"
            for record in told
            if record.what in ("comm", "mmap", "mmap2") and record.tid != record.who[1]
        ),
    ]


def _switches(told: list[Sideband]) -> list[str]:
    """A thread that was switched in is switched out next, and so on."""
    threads: dict[int, list[Sideband]] = {}
    for record in told:
        if record.what == "switch":
            threads.setdefault(record.tid, []).append(record)
    said = {True: "out", False: "in"}
    return [
        f"thread {tid} was switched {said[after.out]} at {milliseconds(before.time)} and again at "
        f"{milliseconds(after.time)}"
        for tid, found in threads.items()
        for before, after in pairwise(sorted(found, key=lambda record: record.time))
        if before.out == after.out
    ]


def _handovers(told: list[Sideband]) -> list[str]:
    """On a CPU, who goes says who comes, and who comes says who went: thread and process."""
    switches = sorted((r for r in told if r.what == "switch-cpu"), key=lambda record: record.time)
    said = {True: "went", False: "came"}
    faults = [] if switches else ["no switch was told of"]
    for before, after in pairwise(switches):
        pairs = [(after.tid, before.tid)]
        if before.out:
            pairs = [(after.tid, before.who[1]), (after.who[1], before.tid)]
        if before.out == after.out or any(a != b and _ENDED not in (a, b) for a, b in pairs):
            faults.append(
                f"thread {before.tid} {said[before.out]}, with {before.who[1]}, at "
                f"{milliseconds(before.time)}; then {after.tid} {said[after.out]}, with "
                f"{after.who[1]}"
            )
    processes = {record.tid: record.pid for record in told if record.pid != _ENDED}
    faults += [
        f"thread {tid} is of process {processes[tid]}, and {pid} in what thread {record.tid} says "
        f"at {milliseconds(record.time)}"
        for record in switches
        for pid, tid in [record.who]
        if tid in processes and pid not in (_ENDED, processes[tid])
    ]
    return faults


def _namespaces(
    observation: Observation, told: list[Sideband], kin: set[str], tids: dict[str, int]
) -> list[str]:
    """NAMESPACES of each new task, which who made it tells (perf_event_fork())."""
    faults = []
    for task, child in made(observation):
        if task not in kin or not {task, child} <= tids.keys():
            continue
        mine = [r for r in told if r.what == "namespaces" and r.who[1] == tids[child]]
        faults += _wrong_number(f"the namespaces of {child}", len(mine), 1)
        faults += [
            f"the namespaces of {child} are told by thread {record.tid}, not by {tids[task]}"
            for record in mine
            if record.tid != tids[task]
        ]
    return faults


def _cgroups(observation: Observation, told: list[Sideband]) -> list[str]:
    """CGROUP of each cgroup that is made, with its path and its id (perf_event_cgroup())."""
    said = {record.text: record.number for record in told if record.what == "cgroup"}
    return [
        f"cgroup {cgroup.name} has the id {cgroup.id}, not {said.get(f'/{cgroup.name}', 'none')}"
        for cgroup in observation.records.of(Cgroup)
        if said.get(f"/{cgroup.name}") != cgroup.id
    ]


def judge_tasks(observation: Observation, _: Observation | None) -> Verdict:
    """Each fork, thread, exec and end of a task is told once, of whom it is, by who did it.

    perf_event_task(), perf_event_comm(), perf_event_mmap(), perf_event_switch(),
    perf_event_namespaces() and perf_event_cgroup() in kernel/events/core.c; an inherited event
    writes into the ring of the one that was opened.
    """
    expected = "one record for each fork, exec, end; switches by turns"
    specs = observation.scenario.specs
    names = event_names(observation.records)
    tids = {task.name: task.tid for task in observation.records.of(TaskStart)}
    faults, judged = [], 0
    for event in events(observation).values():
        kinds = specs[event.name].records if event.name in specs else ()
        told = [record for record in observation.records.of(Sideband) if record.id == event.id]
        if not kinds:
            continue
        judged += len(told)
        kin = family(observation, event)
        found = []
        if "task" in kinds:
            found += _forks_and_exits(observation, told, kin, tids)
        if "comm" in kinds and {"mmap", "mmap2"} & set(kinds):
            found += _programs(observation, told, kin, tids)
        if "switch" in kinds:
            found += _switches(told) if event.task else _handovers(told)
        if "namespaces" in kinds:
            found += _namespaces(observation, told, kin, tids)
        if "cgroup" in kinds and not event.task:
            found += _cgroups(observation, told)
        faults += [f"{named(names, event.id)}: {fault}" for fault in found]
    if not judged and not faults:
        return inconclusive(TASKS, "no event was to tell of tasks", expected)
    return verdict(
        TASKS,
        faults,
        measured=f"{judged} records, {len(faults)} faults",
        expected=expected,
        metrics={"records": judged, "faults": len(faults)},
    )


CHECKS = (
    Check(
        TASKS,
        "Is each fork, exec, switch and end of a task told, once?",
        judge_tasks,
        Property("records", most=FEW),
    ),
)
