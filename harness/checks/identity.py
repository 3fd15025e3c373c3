# SPDX-License-Identifier: MIT
"""Identity: what is recorded names an event that was opened, and comes from where that counts."""

from bisect import bisect_right
from itertools import pairwise, takewhile

from harness.checks.adjustments import event_names
from harness.checks.base import (
    ANY,
    Check,
    Observation,
    Property,
    inconclusive,
    milliseconds,
    named,
    verdict,
)
from harness.checks.kinship import family
from harness.checks.points import events, main_phases, slack_ns, written_backward
from harness.checks.stays import Stay, stays
from harness.guest.records import Event, Lost, Phase, Read, Sample, Sideband, TaskStart, Throttle
from harness.model import Verdict

SOURCE = "identity.source"
MEMBERS = "identity.members"
TURNS = "identity.turns"

# perf_event_pid_type() in kernel/events/core.c: of a task that is all but gone.
_DEAD = 2**32 - 1


_Told = Read | Sample | Throttle | Lost | Sideband


def judge_source(observation: Observation, _: Observation | None) -> Verdict:
    """Each sample, record and read names events that were opened, and can come from there.

    A sample has the id of the event that was opened (primary_event_id()) and that of the one
    that counted, which is another one only where it was inherited; it comes from a CPU and a
    task that the event is for, and while the callback log has the event on a counter there.
    """
    expected = "ids that were handed out; the CPU, the task and the time of the event"
    records = observation.records
    known = events(observation)
    seen: list[_Told] = [*records.of(Read), *records.of(Sample), *records.of(Throttle)]
    seen += [*records.of(Lost), *records.of(Sideband)]
    if not known:
        return inconclusive(SOURCE, "no event was opened", expected)
    faults = [fault for record in seen for fault in _strange_ids(record, known)]
    taken = [sample for sample in records.of(Sample) if sample.id in known]
    faults += _strange_places(observation, taken)
    faults += _strange_tasks(observation, taken)
    faults += _backward_times(observation, taken)
    return verdict(
        SOURCE,
        faults,
        measured=f"{len(seen)} records, {len(faults)} of them strange",
        expected=expected,
        metrics={"records": len(seen), "strange": len(faults)},
    )


def _strange_ids(record: _Told, known: dict[int, Event]) -> list[str]:
    """What a record names that no one opened."""
    ids = {record.id}
    if isinstance(record, Read | Sample):
        ids |= {event for event, _ in record.counts}
    when = "" if isinstance(record, Lost) else f" at {milliseconds(record.time)}"
    faults = [
        f"a {record.kind}{when} names event {event}, which no one opened"
        for event in sorted(ids - known.keys())
    ]
    if isinstance(record, Sample | Throttle | Sideband) and record.id in known:
        event = known[record.id]
        own = record.stream == record.id
        if not own and (not event.inherit or record.stream in known):
            faults.append(
                f"a {record.kind}{when} of {event.name} (id {event.id}) comes from event "
                f"{record.stream}, which is none that inherited it"
            )
    return faults


def _strange_places(observation: Observation, taken: list[Sample]) -> list[str]:
    """Samples from a CPU that is not the event's, or on which it was not counting then."""
    names = event_names(observation.records)
    known = events(observation)
    present = stays(observation)
    slack = slack_ns(observation)
    faults = []
    for sample in taken:
        event, where = known[sample.id], f"a sample of {named(names, sample.id)}"
        when = milliseconds(sample.time)
        if event.cpu >= 0 and sample.cpu != event.cpu:
            faults.append(f"{where} at {when} is from CPU {sample.cpu}, not from {event.cpu}")
        elif sample.cpu >= observation.scenario.cpus:
            faults.append(f"{where} at {when} is from CPU {sample.cpu}, which there is not")
        elif sample.stream in present and not _was_there(present[sample.stream], sample, slack):
            faults.append(
                f"{where} at {when} is from CPU {sample.cpu}, where the callback log does not "
                "have it then"
            )
    return faults


def _was_there(found: list[Stay], sample: Sample, slack: int) -> bool:
    """True if an event was on a counter of a sample's CPU at its time, or nearly."""
    last = bisect_right(found, sample.time + slack, key=lambda stay: stay.begin)
    near = takewhile(lambda stay: sample.time - slack <= stay.end, reversed(found[:last]))
    return any(stay.cpu == sample.cpu for stay in near)


_SCHEDULER = "tracepoint:sched:"


def _strange_tasks(observation: Observation, taken: list[Sample]) -> list[str]:
    """Samples of a task's event that are from another task.

    A task says which thread it is when it begins; of guests that did not say so yet, it is one.
    Tracepoints of the scheduler are about a task, whoever is on the CPU (perf_tp_event()).
    """
    specs = observation.scenario.specs
    names = event_names(observation.records)
    known = events(observation)
    threads = {task.name: task.tid for task in observation.records.of(TaskStart)}
    first: dict[str, int] = {}
    faults = []
    kin = {
        event.id: {threads[task] for task in family(observation, event)} for event in known.values()
    }
    for sample in taken:
        event = known[sample.id]
        about = event.name in specs and specs[event.name].counts.startswith(_SCHEDULER)
        if not event.task or sample.tid == _DEAD or about:
            continue
        if event.inherit:
            if kin[event.id] and sample.tid not in kin[event.id]:
                faults.append(
                    f"a sample of {named(names, sample.id)} at {milliseconds(sample.time)} is "
                    f"from thread {sample.tid}, of which it is not told"
                )
            continue
        task = "main" if event.task == "self" else event.task
        first.setdefault(task, sample.tid)
        right = threads.get(task, first[task])
        strangers = [other for other, tid in first.items() if tid == sample.tid and other != task]
        if sample.tid != right or strangers:
            faults.append(
                f"a sample of {named(names, sample.id)} at {milliseconds(sample.time)} is from "
                f"thread {sample.tid}, not from {task}, which is {right}"
            )
    return faults


def _backward_times(observation: Observation, taken: list[Sample]) -> list[str]:
    """Samples that stand behind a later one of the same event and CPU in the ring."""
    names = event_names(observation.records)
    backward = written_backward(observation)
    streams: dict[tuple[int, int, int], list[Sample]] = {}
    for sample in (sample for sample in taken if sample.id not in backward):
        streams.setdefault((sample.id, sample.stream, sample.cpu), []).append(sample)
    return [
        f"a sample of {named(names, after.id)} at {milliseconds(after.time)} stands behind one "
        f"at {milliseconds(before.time)}"
        for found in streams.values()
        for before, after in pairwise(found)
        if after.time < before.time
    ]


def judge_members(observation: Observation, _: Observation | None) -> Verdict:
    """A group is read as its leader and its siblings in the order of opening, each once.

    perf_group_attach() puts a sibling at the end of its leader's list, which perf_read_group()
    and perf_output_read_group() walk.
    """
    expected = "the leader, then its siblings in the order of opening"
    names = event_names(observation.records)
    known = events(observation)
    changing = _changing_groups(observation)
    begin = min((step.time for step in main_phases(observation)), default=0)
    order: dict[int, list[int]] = {}
    for event in known.values():
        order.setdefault(event.leader, []).append(event.id)
    opened: dict[int, list[int]] = {}
    faults, judged = [], 0
    for record in observation.records.all:
        if isinstance(record, Event):
            opened.setdefault(record.leader, []).append(record.id)
        if not isinstance(record, Read | Sample) or not record.counts or record.id not in known:
            continue
        judged += 1
        leader = known[record.id].leader
        found = [event for event, _ in record.counts]
        right = order[leader] if isinstance(record, Sample) else opened[leader]
        # Samples are read at the end: some are of a group that was not opened yet.
        early = isinstance(record, Sample) and record.time <= begin
        if leader in changing or early:
            fits = [event for event in right if event in found] == found
        else:
            fits = found == right
        if not fits:
            faults.append(
                f"a {record.kind} of {named(names, record.id)} at {milliseconds(record.time)} has "
                f"{', '.join(map(str, found))}; its group is {', '.join(map(str, right))}"
            )
    if not events(observation):
        return inconclusive(MEMBERS, "no event was opened", expected)
    return verdict(
        MEMBERS,
        faults,
        measured=f"{judged - len(faults)} of {judged} groups in order",
        expected=expected,
        metrics={"groups": judged, "wrong": len(faults)},
    )


def _changing_groups(observation: Observation) -> set[int]:
    """Leaders whose groups gain or lose members while they are read."""
    changed = {
        phase.name.split()[1]
        for phase in observation.records.of(Phase)
        if phase.name.startswith(("open ", "close "))
    }
    known = events(observation).values()
    return {event.leader for event in known if event.name in changed}


def _enabled_early(observation: Observation) -> set[int]:
    """Events that were enabled before they had a ring."""
    specs = observation.scenario.specs
    known = events(observation).values()
    return {e.id for e in known if e.name in specs and not specs[e.name].disabled}


def judge_turns(observation: Observation, _: Observation | None) -> Verdict:
    """THROTTLE and UNTHROTTLE of an event come by turns, and between the two it takes no sample.

    perf_event_throttle() marks what it logs, and each place that logs UNTHROTTLE looks at the
    mark.  The sample of the overflow that throttled is written behind the record.  An event that
    was opened enabled may have been throttled before it had a ring.
    """
    expected = "THROTTLE and UNTHROTTLE by turns, nothing sampled in between"
    names = event_names(observation.records)
    last: dict[int, Throttle] = {}
    behind: dict[int, int] = {}
    faults, judged = [], 0
    backward, early = written_backward(observation), _enabled_early(observation)
    sampled: set[int] = set()
    for record in observation.records.all:
        if isinstance(record, Throttle | Sample) and record.id in backward:
            continue
        if isinstance(record, Throttle):
            judged += 1
            before = last.get(record.stream)
            unseen = before is None and record.stream in early - sampled
            if not unseen and (before.kind if before else "unthrottle") == record.kind:
                faults.append(
                    f"{named(names, record.id)}: {record.kind.upper()} at "
                    f"{milliseconds(record.time)}, and {'once more' if before else 'none before'}"
                )
            last[record.stream], behind[record.stream] = record, 0
        elif isinstance(record, Sample) and record.stream not in last:
            sampled.add(record.stream)
        elif isinstance(record, Sample):
            behind[record.stream] += 1
            if last[record.stream].kind == "throttle" and behind[record.stream] == 2:
                faults.append(
                    f"{named(names, record.id)}: throttled at "
                    f"{milliseconds(last[record.stream].time)}, and sampled at "
                    f"{milliseconds(record.time)}"
                )
    if not events(observation):
        return inconclusive(TURNS, "no event was opened", expected)
    return verdict(
        TURNS,
        faults,
        measured=f"{judged} turns, {len(faults)} faults",
        expected=expected,
        metrics={"turns": judged, "wrong": len(faults)},
    )


CHECKS = (
    Check(
        SOURCE,
        "Does everything recorded come from an event that was opened, and from its place?",
        judge_source,
        Property("records", most=ANY),
    ),
    Check(
        MEMBERS,
        "Is a group read in the order in which it was opened?",
        judge_members,
        Property("groups", most=ANY),
    ),
    Check(
        TURNS,
        "Do THROTTLE and UNTHROTTLE come by turns?",
        judge_turns,
        Property("turns", most=ANY),
    ),
)
