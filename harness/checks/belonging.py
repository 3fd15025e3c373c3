# SPDX-License-Identifier: MIT
"""Belonging: each unit of work is counted by the events that it belongs to, and by no other.

The step `work PMU N` is N units that the events of a test PMU count on the CPU where it is
performed (do_work() in guest-images/modules/pmu_test.c).  Which events these are follows
from what perf_event_open(2) was asked: a CPU's, a task's and its children's, a cgroup's.
"""

from dataclasses import dataclass
from itertools import pairwise

from harness.checks.aux import stretches
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
from harness.checks.points import samples
from harness.checks.presence import Presence, Window
from harness.guest.aux_records import TRUNCATED
from harness.guest.pmu_records import Attribute, EndOfFile
from harness.guest.records import Ended, Event, Phase, Read, TaskStart
from harness.model import Verdict

WORK = "contexts.work"
PERIODS = "contexts.periods"
# The attribute of a test PMU that counts for itself.
OWN = "kernel_counter"
MAIN = "main"
# From a task's last piece of work to its end.
_ENDED_NS = 300_000


@dataclass(frozen=True)
class Job:
    """A step `work PMU N`: how much, of which task, on which CPU (None: unknown), and when."""

    pmu: str
    units: int
    task: str
    cpu: int | None
    window: Window


@dataclass(frozen=True)
class Bounds:
    """The least and the most that an event may have counted."""

    least: int = 0
    most: int = 0

    def plus(self, least: int, most: int) -> "Bounds":
        """With more work that it may, or must, have counted."""
        return Bounds(self.least + least, self.most + most)


class Tasks:
    """Where each task was, and whose child it is, as its steps say."""

    def __init__(self, observation: Observation) -> None:
        self.scenario = observation.scenario
        self.phases = observation.records.of(Phase)

    def _words(self, task: str, time: int) -> list[tuple[int, list[str]]]:
        mine = [p for p in self.phases if p.task == task and p.time <= time]
        return [(phase.time, phase.name.split()) for phase in mine]

    def birth(self, task: str) -> tuple[str, int] | None:
        """(parent, when) of a task that another one made by fork or thread; None for others."""
        for phase in self.phases:
            words = phase.name.split()
            if words[0] in ("fork", "thread") and words[1] == task:
                return phase.task, phase.time
        return None

    def is_thread(self, task: str) -> bool:
        """True of a task that another one made by `thread`."""
        return any(phase.name.split() == ["thread", task] for phase in self.phases)

    def has_executed(self, task: str, time: int) -> bool:
        """True if a task ran a program anew (exec) before a moment."""
        return any(words == ["exec"] for _, words in self._words(task, time))

    def line(self, task: str, time: int) -> list[tuple[str, int]]:
        """A task and those that it descends from, each with the time until which it counts."""
        found = [(task, time)]
        while (birth := self.birth(found[-1][0])) is not None:
            found.append(birth)
        return found

    def _last(self, verb: str, task: str, time: int) -> str | None:
        """The word of the last such step of a task, or of who made it, before it did."""
        for who, until in self.line(task, time):
            said = [words[1] for _, words in self._words(who, until) if words[0] == verb]
            if said:
                return said[-1]
        return None

    def cpu(self, task: str, time: int) -> int | None:
        """The CPU that a task is on; None if nobody said."""
        if self.scenario.cpus == 1:
            return 0
        said = self._last("cpu", task, time)
        return int(said) if said is not None else None

    def cgroup(self, task: str, time: int) -> str:
        """The cgroup that a task joined, or was born in."""
        return self._last("join", task, time) or ""


def jobs(observation: Observation) -> list[Job]:
    """All work that was done, in order.

    It is done by the time of the next record of the task that did it, or of who waited for that.
    """
    tasks = Tasks(observation)
    found = []
    waiting: dict[str, Phase] = {}
    # By who waits for it to end, a task.
    waited: dict[str, str] = {}
    for record in observation.records.all:
        if isinstance(record, (Read, EndOfFile)):
            who = MAIN
        elif isinstance(record, Phase):
            who = record.task
        else:
            continue
        for one in (who, waited.pop(who, who)):
            if one in waiting:
                found.append(_job(waiting.pop(one), record.time, tasks))
        if isinstance(record, Phase) and record.name.startswith("work "):
            waiting[who] = record
        elif isinstance(record, Phase) and record.name.startswith("wait "):
            waited[who] = record.name.split()[1]
    last = max((read.time for read in observation.records.of(Read)), default=0)
    found += [_job(phase, max(last, phase.time), tasks) for phase in waiting.values()]
    return sorted(found, key=lambda job: job.window.begin)


def _job(phase: Phase, end: int, tasks: Tasks) -> Job:
    _, pmu, units = phase.name.split()
    return Job(
        pmu, int(units), phase.task, tasks.cpu(phase.task, phase.time), Window(phase.time, end)
    )


def _concerns(presence: Presence, tasks: Tasks, event: Event, job: Job) -> bool | None:
    """True if the work is the event's to count, as it was opened; None if that is not known."""
    if presence.observation.scenario.pmus[job.pmu].uncore:
        return True
    if event.cpu >= 0 and job.cpu is None:
        return None
    if event.cpu not in (-1, job.cpu):
        return False
    if event.cgroup:
        return tasks.cgroup(job.task, job.window.begin) == event.cgroup
    if not event.task:
        return True
    owner = MAIN if event.task == "self" else event.task
    if presence.specs[event.id].remove_on_exec and tasks.has_executed(owner, job.window.begin):
        return False
    if job.task == owner:
        return True
    if not event.inherit:
        return False
    if presence.specs[event.id].inherit_thread and not tasks.is_thread(job.task):
        return False
    opened = [w.end for words, w in presence.orders if words == ("open", event.name)]
    for child, (parent, born) in _births(tasks, job):
        if parent == owner:
            return not opened or born > opened[0] or child is None
    return False


def _births(tasks: Tasks, job: Job) -> list[tuple[str, tuple[str, int]]]:
    """(child, (parent, when)) of each birth that led to the task of a job."""
    line = tasks.line(job.task, job.window.end)
    return [(child[0], parent) for child, parent in pairwise(line)]


def _units(presence: Presence, event: Event, job: Job) -> int:
    """How much of some work there was room for: all of it, but for a trace without a buffer.

    One that is full ends it: the kernel disables the event then (perf_aux_output_end()), until
    somebody enables it.
    """
    gone = ("unmap", event.name)
    if presence.specs[event.id].aux and any(
        words == gone and when.begin <= job.window.begin for words, when in presence.orders
    ):
        return 0
    full = [
        stretch
        for stretch in stretches(presence.records, event)
        if stretch.flags & TRUNCATED and stretch.time <= job.window.end
    ]
    again = [when.begin for words, when in presence.orders if words == ("enable", event.name)]
    if not full or any(full[-1].time < time <= job.window.begin for time in again):
        return job.units
    if full[-1].time < job.window.begin:
        return 0
    before = [
        dict(read.counts)[event.id]
        for read in presence.reads(event.leader)
        if read.time <= job.window.begin
    ]
    return full[-1].words.last + 1 - (before[-1] if before else 0)


def _counted(presence: Presence, tasks: Tasks, event: Event, job: Job) -> tuple[int, int]:
    """(least, most) that an event may count of some work."""
    mine = _concerns(presence, tasks, event, job)
    enabled = presence.enabled(event.id, job.window)
    if mine is False or enabled is False:
        return 0, 0
    unsure = mine is None or enabled is None
    there: bool | None = True
    if job.pmu in presence.full:
        uncore = presence.observation.scenario.pmus[job.pmu].uncore
        there = presence.on(event.id, job.window, None if uncore else job.cpu)
    if there is False:
        return 0, 0
    units = _units(presence, event, job)
    return (0 if unsure or there is None else units), units


def _resets(presence: Presence, event: Event) -> list[Window]:
    names = {presence.names[e.id] for e in presence.events.values() if e.leader == event.leader}
    return [
        when
        for words, when in presence.orders
        if words == ("reset", event.name) or (words[0] == "reset-group" and words[1] in names)
    ]


def _bounds(presence: Presence, tasks: Tasks, event: Event, done: list[Job], read: Read) -> Bounds:
    """What an event may have counted by a read, since it was reset.

    All that was done before the read was asked for, and what was begun by the time of its record.
    """
    asked, time = presence.asked(read), read.time
    resets = [when for when in _resets(presence, event) if when.begin <= time]
    since = resets[-1].begin if resets else -1
    bounds = Bounds()
    for job in done:
        if job.pmu != presence.pmu(event.id) or job.window.begin < since:
            continue
        if job.window.begin >= time:
            break
        least, most = _counted(presence, tasks, event, job)
        bounds = bounds.plus(least if job.window.end <= asked else 0, most)
    return bounds


def _wrong_counts(presence: Presence, event: Event, done: list[Job]) -> tuple[int, str]:
    """(reads, the first fault) of what an event's reads gave."""
    tasks = Tasks(presence.observation)
    judged = 0
    for read in presence.records.of(Read):
        counts = dict(read.counts)
        if event.id not in counts:
            continue
        judged += 1
        due = _bounds(presence, tasks, event, done, read)
        if due.least <= counts[event.id] <= due.most:
            continue
        wanted = str(due.least) if due.least == due.most else f"{due.least} to {due.most}"
        return judged, (
            f"{named(presence.names, event.id)} had counted {counts[event.id]} by "
            f"{milliseconds(read.time)}; {wanted} units of work were its own"
        )
    return judged, ""


def _wrong_ends(presence: Presence, done: list[Job]) -> tuple[int, list[str]]:
    """(ends, faults) of what inherited events had counted for a task when it ended.

    With inherit_stat that is what the task did, whatever contexts it was given in between
    (perf_event_sync_stat()): PERF_RECORD_READ tells it before 5.13, the log always.
    """
    names = {task.tid: task.name for task in presence.records.of(TaskStart)}
    told = [
        (member, names.get(end.tid, ""), count)
        for end in presence.records.of(Ended)
        for member, count in end.counts
    ]
    told += _last_counts(presence)
    tasks = Tasks(presence.observation)
    faults, judged = [], 0
    for member, task, count in told:
        event = presence.events.get(member)
        if event is None or presence.specs[member].counts != "work":
            continue
        bounds = Bounds()
        for job in done:
            if (job.task, job.pmu) == (task, presence.pmu(member)):
                bounds = bounds.plus(*_counted(presence, tasks, event, job))
        judged += 1
        if not bounds.least <= count <= bounds.most:
            faults.append(
                f"{named(presence.names, member)} counted {count} for the task {task}, which did "
                f"{bounds.most} units of work"
            )
    return judged, faults


def _last_counts(presence: Presence) -> list[tuple[int, str, int]]:
    """(event, task, count) of each child of an event with inherit_stat, as its task ended.

    Of a task that works in its last step and then ends: its event is taken off for the last
    time at once.
    """
    phases = presence.records.of(Phase)
    last = {phase.task: phase for phase in phases}
    born = {phase.name.split()[1] for phase in phases if phase.name.startswith("fork ")}
    born = {task for task in born if last[task].name.startswith("work ")}
    found = []
    for event in presence.events.values():
        if not presence.specs[event.id].inherit_stat:
            continue
        family = [call for call in presence.records.calls if call.parent == event.id]
        ends = {call.id: call for call in family}
        for task in sorted(born):
            begin = last[task].time
            after = [c for c in ends.values() if c.call == "del" and 0 < c.time - begin < _ENDED_NS]
            if after:
                end = min(after, key=lambda call: call.time)
                found.append((event.id, task, end.count[1]))
    return found


def _own_counters(presence: Presence, done: list[Job]) -> tuple[int, list[str]]:
    """(counts, faults) of what PMUs counted for themselves on CPU 0, as their attribute has it."""
    faults, judged = [], 0
    for shown in presence.records.of(Attribute):
        orders = [
            (words, when)
            for words, when in presence.orders
            if words[:3] == ("set", shown.pmu, OWN) and when.begin < shown.time
        ]
        if shown.name != OWN or not orders:
            continue
        (*_, wanted), since = orders[-1][0], orders[-1][1].end
        units = sum(
            job.units
            for job in done
            if job.pmu == shown.pmu and job.cpu == 0 and since <= job.window.begin < shown.time
        )
        values = [int(word) for word in shown.value.split()]
        judged += len(values)
        others = sum(presence.pmu(event) == shown.pmu for event in presence.events)
        counters = presence.observation.scenario.pmus[shown.pmu].counters
        least = units if others + int(wanted) <= counters else 0
        if len(values) != int(wanted) or not all(least <= value <= units for value in values):
            faults.append(
                f"{shown.pmu} had counted {shown.value or 'nothing'} for itself by "
                f"{milliseconds(shown.time)}, with {wanted} events; {units} units of work were done"
            )
    return judged, faults


def judge_work(observation: Observation, _: Observation | None) -> Verdict:
    """What an event counts is the work that is its own, to the unit.

    Where there were not counters for all, the log says when it was on one; then it counts
    what was done in that time.
    """
    expected = "the work of the event's CPU, task and cgroup, while it was enabled"
    presence = Presence(observation)
    done = jobs(observation)
    judged, faults = _wrong_ends(presence, done)
    own, wrong = _own_counters(presence, done)
    judged, faults = judged + own, faults + wrong
    for event in presence.events.values():
        if presence.specs[event.id].counts not in ("work", "trace"):
            continue
        number, fault = _wrong_counts(presence, event, done)
        judged += number
        faults += [fault] if fault else []
    if not judged or not done:
        return inconclusive(WORK, "no event counted work", expected)
    return verdict(
        WORK,
        faults,
        measured=f"{judged} counts of {len(done)} pieces of work, {len(faults)} wrong",
        expected=expected,
        metrics={"counts": judged, "wrong": len(faults)},
    )


def _count_at(presence: Presence, event: Event, time: int) -> int | None:
    """The first count of an event that was read behind a moment; None for none."""
    for read in presence.reads(presence.leader(event.id, Window(time, time)).id):
        if read.time >= time and event.id in dict(read.counts):
            return dict(read.counts)[event.id]
    return None


def _samples_due(presence: Presence, event: Event, last: int) -> list[int]:
    """The counts at which samples are due: each period, and anew from where it was set.

    PERF_EVENT_IOC_PERIOD leaves nothing of the period that ran (_perf_event_period()), on a
    counter or off: bad7192b842c (perf: Fix PERF_EVENT_IOC_PERIOD to force-reset the period).
    """
    starts = [(0, event.period)]
    for words, when in presence.orders:
        if words[:2] == ("period", event.name):
            count = _count_at(presence, event, when.end)
            starts += [] if count is None else [(count, int(words[2]))]
    ends = [count for count, _ in starts[1:]] + [last]
    return [
        due
        for (start, period), end in zip(starts, ends, strict=True)
        for due in range(start + period, end + 1, period)
    ]


def _wrong_periods(presence: Presence, event: Event) -> tuple[int, list[str]]:
    """(samples due, faults): an overflow of work, or of a software event, is at its very unit."""
    reads = [read for read in presence.records.of(Read) if event.id in dict(read.counts)]
    if not reads:
        return 0, []
    last = dict(reads[-1].counts)[event.id]
    due = _samples_due(presence, event, last)
    taken = samples(presence.observation, event.id)
    counts = [dict(sample.counts)[event.id] for sample in taken if event.id in dict(sample.counts)]
    # Behind the last read the ring is emptied.
    got = [count for count in counts if count <= last]
    faults = []
    if len(got) != len(due):
        faults.append(f"{len(got)} samples of {last} counts, {len(due)} were due")
    wrong = [pair for pair in zip(got, due, strict=False) if pair[0] != pair[1]]
    if wrong:
        faults.append(f"a sample came at {wrong[0][0]}, and was due at {wrong[0][1]}")
    return len(due), [f"{named(presence.names, event.id)}: {fault}" for fault in faults]


def judge_periods(observation: Observation, _: Observation | None) -> Verdict:
    """Each period of known work gives its sample, and each sample comes at its unit.

    Of work, and of page faults; in the event's own ring, before and after its group is moved,
    on a counter all the time or by turns.
    """
    expected = "the n-th sample at n periods, as many as the count has"
    presence = Presence(observation)
    judged, faults = 0, []
    for event in presence.events.values():
        known = presence.specs[event.id].counts in ("work", "page-faults")
        if not event.period or not known or _resets(presence, event):
            continue
        due, wrong = _wrong_periods(presence, event)
        judged += due
        faults += wrong
    if not judged:
        return inconclusive(PERIODS, "no period of known work ended", expected)
    return verdict(
        PERIODS,
        faults,
        measured=f"{judged} samples due, {len(faults)} faults",
        expected=expected,
        metrics={"samples": judged, "wrong": len(faults)},
    )


CHECKS = (
    Check(
        WORK,
        "Does each event count the work that is its own?",
        judge_work,
        Property("counts"),
    ),
    Check(
        PERIODS,
        "Does each period of known work give its sample?",
        judge_periods,
        Property("samples", most=FEW),
    ),
)
