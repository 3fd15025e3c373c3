# SPDX-License-Identifier: MIT
"""AUX: a trace is in its buffer as it was written, and PERF_RECORD_AUX tells where.

A trace event of a test PMU writes a word for each unit of work, its count until then, in
stretches (write_word() in guest-images/modules/pmu_test.c): so each word that is missing,
or stands elsewhere, is known.
"""

from collections.abc import Iterator
from dataclasses import dataclass

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
from harness.checks.points import events, groups, main_steps
from harness.guest.aux_records import ALIGNMENT, OVERWRITE, TRUNCATED, WORD, Aux
from harness.guest.records import Event, Read, Records, Sideband
from harness.model import EventSpec, Verdict

AUX = "buffer.aux"

_PAGE = 4096


@dataclass(frozen=True)
class _Trace:
    """A trace event, what was told of its buffer, and what it and a sibling counted at last."""

    event: Event
    spec: EventSpec
    stretches: list[Aux]
    looks: list[Aux]
    count: int
    work: int | None
    unmapped: bool

    @property
    def size(self) -> int:
        """Bytes of its buffer."""
        return (self.spec.aux or 0) * _PAGE

    @property
    def watermark(self) -> int:
        """After so many bytes its reader is told: half the buffer (rb_alloc_aux())."""
        return self.spec.attr.get("aux_watermark") or self.size // 2


def stretches(records: Records, event: Event) -> list[Aux]:
    """What PERF_RECORD_AUX tells of an event's trace, in order."""
    return [r for r in records.of(Aux) if r.id == event.id and r.what == "stretch"]


def _traces(observation: Observation) -> Iterator[_Trace]:
    specs = observation.scenario.specs
    for event in events(observation).values():
        spec = specs.get(event.name)
        if spec is None or spec.aux is None:
            continue
        counts: dict[int, int] = {}
        for read in observation.records.of(Read):
            if read.id == event.leader:
                counts |= dict(read.counts)
        siblings = [
            other.id
            for other in groups(observation)[event.leader]
            if other.name in specs and specs[other.name].counts == "work"
        ]
        yield _Trace(
            event,
            spec,
            stretches(observation.records, event),
            [r for r in observation.records.of(Aux) if r.id == event.id and r.what == "newest"],
            counts.get(event.id, 0),
            counts.get(siblings[0]) if siblings else None,
            any(s.words[:2] == ("unmap", event.name) for s in main_steps(observation)),
        )


def _where(stretch: Aux) -> str:
    return f"the stretch at {stretch.offset}, {milliseconds(stretch.time)},"


def _written_once(trace: _Trace) -> list[str]:
    """What is wrong with a buffer that nothing is written over in: words follow each other."""
    faults, end, word = [], 0, 0
    for stretch in trace.stretches:
        at, words = _where(stretch), stretch.words
        gap = stretch.offset - end
        if stretch.offset % ALIGNMENT or not 0 <= gap < ALIGNMENT:
            faults.append(f"{at} begins {gap} bytes behind the one before")
        if words.number and (words.breaks or words.first != word):
            faults.append(
                f"{at} has the words {words.first} to {words.last}, {words.breaks} of them out "
                f"of order; {word} was due"
            )
        if stretch.size > WORD and (
            stretch.offset // trace.watermark
            != (stretch.offset + stretch.size - WORD) // trace.watermark
        ):
            faults.append(f"{at} of {stretch.size} bytes goes beyond the watermark")
        if stretch.flags & OVERWRITE:
            faults.append(f"{at} is said to be written over")
        word = words.last + 1 if words.number else word
        end = stretch.offset + stretch.size
    # With the buffer goes what was traced since it was read last.
    if word != trace.count and not trace.unmapped:
        faults.append(f"{word} words are in the buffer, {trace.count} were counted")
    return faults


def _written_over(trace: _Trace) -> list[str]:
    """What is wrong with a buffer of which the newest is kept: it ends with the last word.

    There, what PERF_RECORD_AUX calls the offset is where the stretch ends: the head that the
    driver gives (perf_aux_output_end()).
    """
    faults, end = [], 0
    for stretch in trace.stretches:
        if stretch.offset - stretch.size != end:
            faults.append(f"{_where(stretch)} of {stretch.size} bytes does not follow {end}")
        if stretch.flags != OVERWRITE:
            faults.append(f"{_where(stretch)} has the flags {stretch.flags:#x}")
        end = stretch.offset
    for look in trace.looks:
        told = [stretch.offset for stretch in trace.stretches if stretch.time <= look.time]
        last, words = max(told, default=0), look.words
        wanted = min(last, trace.size) // WORD
        if (words.number, words.breaks) != (wanted, 0) or words.last != max(0, last // WORD - 1):
            faults.append(
                f"at {milliseconds(look.time)} the newest of {last // WORD} words are "
                f"{words.number}, {words.first} to {words.last}, {words.breaks} out of order"
            )
    if end != trace.count * WORD:
        faults.append(f"{end // WORD} words were told of, {trace.count} were counted")
    return faults


def _truncated(observation: Observation, trace: _Trace) -> list[str]:
    """TRUNCATED is said where there is no room for a word more, and nowhere else.

    The kernel leaves a byte between head and tail (CIRC_SPACE() in perf_aux_output_begin()).
    """
    drains = [
        step.end
        for step in main_steps(observation)
        if step.words[:2] == ("drain", trace.event.name)
    ]
    faults = []
    for before, stretch in zip([None, *trace.stretches], trace.stretches, strict=False):
        begun = before.time if before else 0
        tails = {
            max((s.offset + s.size for s in trace.stretches if s.time <= drained), default=0)
            for drained in (max((d for d in drains if d <= t), default=0) for t in
                            (begun, stretch.time))
        }  # fmt: skip
        full = {stretch.offset + stretch.size - tail == trace.size - WORD for tail in tails}
        if (stretch.flags & TRUNCATED and True not in full) or (
            not stretch.flags & TRUNCATED and full == {True}
        ):
            faults.append(f"{_where(stretch)} has the flags {stretch.flags:#x}")
    return faults


def _ends(observation: Observation, trace: _Trace) -> list[str]:
    """A stretch ends at a watermark, where there is no room, or as its event is stopped."""
    stops = sum(
        c.id == trace.event.id and c.call in ("stop", "del") for c in observation.records.calls
    )
    early = [
        stretch
        for stretch in trace.stretches
        if not stretch.flags & TRUNCATED and (stretch.offset + stretch.size) % trace.watermark
    ]
    return [f"{len(early)} stretches end early, of {stops} stops"] if len(early) > stops else []


def _begun(observation: Observation, trace: _Trace) -> list[str]:
    """PERF_RECORD_ITRACE_START says each time of whom the trace is that is to begin.

    perf_log_itrace_start() in event_sched_in(), just before the event is added.
    """
    told = [
        record
        for record in observation.records.of(Sideband)
        if record.what == "trace-begins" and record.id == trace.event.id
    ]
    adds = sum(c.id == trace.event.id and c.call == "add" for c in observation.records.calls)
    faults = [f"{len(told)} records say that it begins, {adds} times"] if len(told) != adds else []
    return [
        *faults,
        *(
            f"its beginning is told of thread {record.who[1]}, by thread {record.tid}"
            for record in told
            if record.who[1] != record.tid
        ),
    ]


def judge_aux(observation: Observation, _: Observation | None) -> Verdict:
    """Each word that was traced is in the buffer once, in order, where PERF_RECORD_AUX says.

    perf_aux_output_begin(), _end() and _skip() in kernel/events/ring_buffer.c.
    """
    expected = "each word once, where it was told; TRUNCATED where there was no room"
    names = event_names(observation.records)
    judged, faults = 0, []
    for trace in _traces(observation):
        judged += len(trace.stretches)
        if trace.spec.overwrite:
            found = _written_over(trace)
        else:
            found = [*_written_once(trace), *_truncated(observation, trace)]
            found += _ends(observation, trace)
        found += _begun(observation, trace)
        ended = trace.unmapped or any(s.flags & TRUNCATED for s in trace.stretches)
        if trace.work is not None and trace.work != trace.count and not ended:
            found.append(f"{trace.count} words of {trace.work} units of work")
        faults += [f"{named(names, trace.event.id)}: {fault}" for fault in found]
    if not judged and not faults:
        return inconclusive(AUX, "nothing was traced", expected)
    return verdict(
        AUX,
        faults,
        measured=f"{judged} stretches, {len(faults)} faults",
        expected=expected,
        metrics={"stretches": judged, "faults": len(faults)},
    )


CHECKS = (
    Check(
        AUX,
        "Is what a PMU traced in its AUX buffer, as PERF_RECORD_AUX says?",
        judge_aux,
        Property("stretches", most=FEW),
    ),
)
