# SPDX-License-Identifier: MIT
"""Records: what probes, init and the observer say, read from the channel and typed.

A guest is untrusted: everything is bounded and checked, and what is not a
record is an error that shows it.
"""

import struct
from contextlib import suppress
from functools import cache, cached_property
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from harness.guest.aux_records import NO_WORDS, Aux, TraceWords
from harness.guest.callback_records import Callback, Observer, State, with_counters
from harness.guest.pmu_records import Answered, Attribute, Cgroup, EndOfFile, Page, Timers
from harness.guest.tool_records import Command, Count, Period, Subtest, Totals
from harness.guest.trace_records import Access, Interrupt, Overflow, Rdpmc
from harness.model.base import Frozen

# "PMUREC1", as in guest-images/probes/record.c.
MAGIC = 0x31434552554D50
HEADER = struct.Struct("<QQ")


class RecordsError(Exception):
    """The channel's content is not what the guest's programs write."""


class Step(Frozen):
    """A line of the batch, performed; `status` is its exit status."""

    kind: Literal["step"]
    number: int
    status: int


class End(Frozen):
    """The last record: all that was measured is here."""

    kind: Literal["end"]
    steps: int


class ProbeError(Frozen):
    """A probe could not do its work: `what` failed with `errno`."""

    kind: Literal["error"]
    what: str
    errno: int
    text: str


class Clock(Frozen):
    """How long the kernel's tick is: the resolution of CLOCK_MONOTONIC_COARSE."""

    kind: Literal["clock"]
    tick_ns: int = Field(ge=1)


class Event(Frozen):
    """An event that a probe opened; `frequency` (Hz) and `period` are 0 unless it samples.

    `task` is empty for one that counts whatever runs on `cpu`, which is -1 for
    any; `leader` is its own id unless it is a sibling.
    """

    kind: Literal["event"]
    name: str
    id: int
    leader: int
    task: str
    cpu: int
    cgroup: str
    type: int
    config: int
    period: int
    frequency: int
    exclude_kernel: bool
    exclude_user: bool
    # It counts in virtual machines only; earlier guests did not say.
    exclude_host: bool = False
    pinned: bool
    exclusive: bool
    inherit: bool

    @property
    def counts(self) -> tuple[int, int, bool, bool, bool]:
        """What it counts: equal for two events that must count the same."""
        excluded = (self.exclude_kernel, self.exclude_user, self.exclude_host)
        return (self.type, self.config, *excluded)

    @property
    def samples(self) -> bool:
        """True for one with a period or a frequency."""
        return bool(self.period or self.frequency)


class Refused(Frozen):
    """perf_event_open(2) failed with `errno`, or a counter may not be read; the scenario ended."""

    kind: Literal["refused"]
    name: str
    errno: int
    text: str


class Phase(Frozen):
    """A step of a task began, or a phase of a probe; times are CLOCK_MONOTONIC, in ns."""

    kind: Literal["phase"]
    phase: int
    name: str
    time: int
    task: str = "main"


class TaskStart(Frozen):
    """A task of the scenario begins; `tid` is what the kernel's own records call it."""

    kind: Literal["task"]
    name: str
    tid: int
    time: int


Counts = tuple[tuple[int, int], ...]


class Read(Frozen):
    """read(2) of a leader: (event id, count) of its group, and times in ns.

    `lost` has (event id, samples that found no room), of events that ask for them.
    """

    kind: Literal["read"]
    id: int
    time: int
    phase: int
    enabled: int
    running: int
    counts: Counts
    lost: Counts = ()


class Sample(Frozen):
    """A PERF_RECORD_SAMPLE, with its group's counts; `stream` is an inherited event's own id.

    `mode` is PERF_RECORD_MISC_KERNEL (1) or _USER (2); 0 of guests that did not say so yet.
    What follows is there where the event asked for it: where it was, what it touched, the first
    entries of the call chain, how many registers and how many bytes of the stack it has; bytes of
    a tracepoint's own; what hardware knows of an access; registers of what was interrupted; the
    physical address of what it touched; the task's cgroup; bytes of the pages of data and code;
    what another event of the group traced.
    """

    kind: Literal["sample"]
    id: int
    stream: int
    tid: int
    cpu: int
    time: int
    period: int
    enabled: int
    running: int
    counts: Counts
    mode: int = 0
    ip: int = 0
    address: int = 0
    chain: tuple[int, ...] = ()
    registers: int = 0
    stack: int = 0
    raw: int = 0
    weight: int = 0
    source: int = 0
    transaction: int = 0
    interrupted: int = 0
    physical: int = 0
    cgroup: int = 0
    data_page: int = 0
    code_page: int = 0
    aux: TraceWords = NO_WORDS


class Ended(Frozen):
    """PERF_RECORD_READ: what an inherited event with inherit_stat had counted as its task ended."""

    kind: Literal["ended"]
    id: int
    tid: int
    enabled: int
    running: int
    counts: Counts


class Work(Frozen):
    """A known number of what events count, done between two reads of a group.

    `instructions` were executed in user space, by a loop that was enabled for
    just that long; 0 for other work.
    """

    kind: Literal["work"]
    what: Literal["loop", "faults", "kernel-faults", "syscalls", "touches", "touches-second"]
    id: int
    times: int
    instructions: int
    time: int
    before: Counts
    after: Counts


class Signals(Frozen):
    """Signals of an event's overflows: POLL_IN, and POLL_HUP for the last one of REFRESH."""

    kind: Literal["signals"]
    id: int
    arrived: int = Field(alias="in")
    hup: int


class Throttle(Frozen):
    """PERF_RECORD_THROTTLE or PERF_RECORD_UNTHROTTLE."""

    kind: Literal["throttle", "unthrottle"]
    id: int
    stream: int
    time: int


class Lost(Frozen):
    """PERF_RECORD_LOST: the ring was full."""

    kind: Literal["lost"]
    id: int
    lost: int


class Sideband(Frozen):
    """What the kernel tells of tasks and cgroups beside samples: PERF_RECORD_MMAP, _COMM ...

    `id`, `stream`, `tid`, `cpu` and `time` stand behind each such record (sample_id_all); `who`
    and `parent` are (pid, tid) in the record itself, as far as it has them; `text` is the name
    of a command, a file or a cgroup; `out` is true of a switch that takes the task off its CPU;
    `number` is a cgroup's id, or how many samples were lost.
    """

    kind: Literal["sideband"]
    what: Literal[
        "mmap",
        "mmap2",
        "comm",
        "exit",
        "fork",
        "switch",
        "switch-cpu",
        "lost-samples",
        "trace-begins",
        "namespaces",
        "cgroup",
        "other",
    ]
    id: int
    stream: int
    pid: int
    tid: int
    cpu: int
    time: int
    who: tuple[int, int] = (0, 0)
    parent: tuple[int, int] = (0, 0)
    out: bool = False
    number: int = 0
    text: str = ""


class Polled(Frozen):
    """What poll(2) says of an event: its `revents`, at a time in ns."""

    kind: Literal["poll"]
    id: int
    revents: int
    time: int


class Index(Frozen):
    """The mmap page's index changed since the last look: hardware index + 1, 0 for none.

    `switches` counts the context switches of the task between the two looks.
    """

    kind: Literal["index"]
    name: str
    id: int
    time: int
    phase: int
    switches: int
    old: int = Field(alias="from")
    new: int = Field(alias="to")


class Interruption(Frozen):
    """The clock (ticks at `hz`) and the user-space count behind an interruption."""

    kind: Literal["interruption"]
    phase: Literal["baseline", "adjusting"]
    clock: int
    hz: int
    user: int


class VmResult(Frozen):
    """What a virtual machine of the kernel under test says of one of its counters.

    guest-images/vm/main.c: `got` is what it counted, or how often it overflowed.
    """

    kind: Literal["vm"]
    time: int
    what: Literal["counted", "overflows"]
    counter: int
    got: int
    wanted: int


class VmWord(Frozen):
    """Any other line that a virtual machine of the kernel under test says."""

    kind: Literal["vm-said"]
    time: int
    text: str


class Said(Frozen):
    """A line that a reproducer wrote; of a long output the first ones."""

    kind: Literal["said"]
    text: str


class Reproduced(Frozen):
    """How a reproducer ended, after so long: by itself, by a signal, or as its time was over.

    `signal` is as `kill -l` calls it, `output` how many bytes it wrote; with `stuck` something
    that it left behind could not be killed.
    """

    kind: Literal["reproduced"]
    ended: Literal["exit", "signal", "time"]
    status: int
    signal: str
    ns: int
    stuck: bool
    output: int


Record = Annotated[
    Step
    | End
    | ProbeError
    | Clock
    | Event
    | Refused
    | Phase
    | TaskStart
    | Read
    | Sample
    | Ended
    | Work
    | Signals
    | Throttle
    | Lost
    | Sideband
    | Aux
    | Polled
    | Index
    | Interruption
    | VmResult
    | VmWord
    | Answered
    | EndOfFile
    | Page
    | Attribute
    | Cgroup
    | Timers
    | Said
    | Reproduced
    | Observer
    | State
    | Callback
    | Access
    | Rdpmc
    | Overflow
    | Interrupt
    | Command
    | Count
    | Period
    | Totals
    | Subtest,
    Field(discriminator="kind"),
]


@cache
def _record() -> TypeAdapter[Record]:
    """What checks a line; it takes long to make."""
    return TypeAdapter(Record)


@cache
def _records() -> TypeAdapter[list[Record]]:
    return TypeAdapter(list[Record])


Kind = TypeVar("Kind", bound=BaseModel)


class Records:
    """All records of one cell, in the order written."""

    def __init__(self, records: list[Record]) -> None:
        self.all = records
        self._of: dict[type[BaseModel], list[Any]] = {}
        for record in records:
            self._of.setdefault(type(record), []).append(record)

    def of(self, kind: type[Kind]) -> list[Kind]:
        """Those of one kind; a list that all who ask share."""
        return self._of.setdefault(kind, [])

    @cached_property
    def calls(self) -> list[Callback]:
        """The callback log, in which add gives counters and del takes them."""
        return with_counters(self.of(Callback))

    @property
    def complete(self) -> bool:
        """True if the guest said that this is all."""
        return bool(self.all) and isinstance(self.all[-1], End)

    @property
    def failure(self) -> str:
        """What a probe could not do, or how a step of the batch failed; or nothing."""
        for error in self.of(ProbeError):
            return f"{error.what}: {error.text} (errno {error.errno})"
        failed = next((step.status for step in self.of(Step) if step.status), 0)
        return f"exit status {failed}" if failed else ""

    def event(self, name: str) -> Event | None:
        """The first event that a probe opened under a name."""
        return next((event for event in self.of(Event) if event.name == name), None)

    def names(self) -> dict[int, str]:
        """Event ids and the names that the probe gave them; `holder 2` where several share one."""
        names: dict[int, str] = {}
        events = self.of(Event)
        for event in events:
            same = [other.id for other in events if other.name == event.name]
            number = f" {same.index(event.id) + 1}" if len(same) > 1 else ""
            names[event.id] = event.name + number
        return names


def channel_bytes(channel: bytes) -> bytes:
    """The valid bytes of the channel; raises RecordsError for an impossible header."""
    if len(channel) < HEADER.size:
        raise RecordsError("the channel is shorter than its header")
    magic, length = HEADER.unpack_from(channel)
    if magic == 0:
        return b""
    if magic != MAGIC or length > len(channel) - HEADER.size:
        raise RecordsError(f"the channel's header is garbage: magic {magic:#x}, length {length}")
    return channel[HEADER.size : HEADER.size + length]


def parse(lines: bytes) -> Records:
    """JSON lines as records; raises RecordsError that shows the first bad line."""
    rows = lines.splitlines()
    # All at once takes half as long as one by one.
    with suppress(ValidationError):
        records = _records().validate_json(b"[%s]" % b",".join(rows))
        if len(records) == len(rows):
            return Records(records)
    return Records(_one_by_one(rows))


def _one_by_one(rows: list[bytes]) -> list[Record]:
    records = []
    for number, line in enumerate(rows, 1):
        try:
            records.append(_record().validate_json(line))
        except ValidationError as error:
            shown = line[:200].decode(errors="replace")
            reason = error.errors()[0]["msg"]
            raise RecordsError(f"record {number} is not one: {reason}: {shown!r}") from error
    return records
