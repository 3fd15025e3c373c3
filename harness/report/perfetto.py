# SPDX-License-Identifier: MIT
"""The callback log of cells as a Perfetto trace: ticks, calls, which event was on which counter.

Packets are those of "Writing TrackEvent Protos Synthetically" in Perfetto's documentation.  A
cell is a process, with a track for each CPU's ticks and calls, one for each counter, and one for
each event's period.  Times are the guest's, in ns since it began to log.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TrackEvent
from perfetto.trace_builder.proto_builder import TraceProtoBuilder

from harness.checks.adjustments import event_names
from harness.guest.callback_records import Callback
from harness.guest.records import Records
from harness.report.timeline import SHARED, timeline

_SEQUENCE = 1
# Of an uncounted value an index is -1.
_NOWHERE = -1


@dataclass
class _Writer:
    """Packets of one trace; each track has a number of its own."""

    builder: TraceProtoBuilder
    tracks: int = 0

    def track(self, name: str, parent: int = 0, *, process: int = 0, counter: bool = False) -> int:
        """A new track, and what it is called."""
        self.tracks += 1
        packet = self._packet(0)
        descriptor = packet.track_descriptor
        descriptor.uuid = self.tracks
        if parent:
            descriptor.parent_uuid = parent
        if process:
            descriptor.process.pid = process
            descriptor.process.process_name = name
        else:
            descriptor.name = name
        if counter:
            descriptor.counter.SetInParent()
        return self.tracks

    def event(self, track: int, time: int, kind: int, name: str = "") -> TrackEvent:
        """An event on a track at a time in ns; its annotations are the caller's."""
        event: TrackEvent = self._packet(time).track_event
        event.type = kind
        event.track_uuid = track
        if name:
            event.name = name
        return event

    def slice(self, track: int, begin: int, end: int, name: str) -> None:
        """Something that lasts."""
        self.event(track, begin, TrackEvent.TYPE_SLICE_BEGIN, name)
        self.event(track, end, TrackEvent.TYPE_SLICE_END)

    def _packet(self, time: int):  # type: ignore[no-untyped-def]  # noqa: ANN202 (protobuf's own)
        packet = self.builder.add_packet()
        packet.timestamp = time
        packet.trusted_packet_sequence_id = _SEQUENCE
        return packet


def render(cells: Mapping[str, Records], shared: set[str]) -> bytes:
    """A trace of the cells that have a callback log, by their ids.

    `shared` names those whose counters belong to several CPUs.
    """
    writer = _Writer(TraceProtoBuilder())
    for number, (name, records) in enumerate(cells.items(), 1):
        if records.calls:
            process = writer.track(name, process=number)
            _calls(writer, process, records)
            _counters(writer, process, records, shared=name in shared)
    data: bytes = writer.builder.serialize()
    return data


def _calls(writer: _Writer, process: int, records: Records) -> None:
    """A CPU's ticks as slices, its calls in them, and the period of each event."""
    names = event_names(records)
    cpus: dict[int, int] = {}
    periods: dict[int, int] = {}
    for call in records.calls:
        if call.cpu not in cpus:
            cpus[call.cpu] = writer.track(f"CPU {call.cpu}", process)
        track = cpus[call.cpu]
        if call.call == "tick":
            writer.event(track, call.time, TrackEvent.TYPE_SLICE_BEGIN, "tick")
        elif call.call == "tick-end":
            writer.event(track, call.time, TrackEvent.TYPE_SLICE_END)
        else:
            _call(writer, track, call, names.get(call.id, ""))
            _period(writer, process, periods, call, names.get(call.id, ""))


def _call(writer: _Writer, track: int, call: Callback, name: str) -> None:
    """A call as an instant, with what it changed."""
    said = f"{call.call} {name}".rstrip()
    event = writer.event(track, call.time, TrackEvent.TYPE_INSTANT, said)
    event.categories.append("tick" if call.tick else "scheduler")
    values = {"pmu": call.pmu, "caller": call.caller, "flags": call.flags, "ret": call.ret}
    for field in ("idx", "state", "left", "period", "count"):
        values |= dict(
            zip((f"{field} before", f"{field} after"), getattr(call, field), strict=True)
        )
    for key, value in values.items():
        note = event.debug_annotations.add()
        note.name = key
        if isinstance(value, int):
            note.int_value = value
        else:
            note.string_value = value


def _period(
    writer: _Writer, process: int, tracks: dict[int, int], call: Callback, name: str
) -> None:
    """An event's period, where a call tells it."""
    if not (call.is_event and call.period[1]):
        return
    if call.id not in tracks:
        tracks[call.id] = writer.track(f"period of {name or call.id}", process, counter=True)
    event = writer.event(tracks[call.id], call.time, TrackEvent.TYPE_COUNTER)
    event.counter_value = call.period[1]


def _counters(writer: _Writer, process: int, records: Records, *, shared: bool) -> None:
    """Which event was on which counter when: a track for each counter."""
    found = timeline(records, shared=shared)
    tracks: dict[tuple[int, int], int] = {}
    for row in found.counters if found else ():
        where = "node" if row[0] == SHARED else f"CPU {row[0]}"
        tracks[row] = writer.track(f"{where} counter {row[1]}", process)
    for bar in found.bars if found else ():
        writer.slice(tracks[bar.cpu, bar.counter], bar.begin, bar.end, bar.event)
