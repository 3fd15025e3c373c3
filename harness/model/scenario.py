# SPDX-License-Identifier: MIT
"""The language of configs/scenarios/: events, tasks, steps; or a probe, a tool, a reproducer."""

from functools import cache
from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.model.answers import Answer, Answers, see_that_all_kernels_are_covered
from harness.model.base import ALL_VERSIONS, Frozen, VersionRange
from harness.model.rows import Feature, Machine, Traced

# The fields of struct perf_event_attr that a scenario may set: guest-images/probes/script.c.
AttrField = Literal[
    "type", "size", "config", "sample_period", "sample_type", "read_format", "bits",
    "wakeup_events", "bp_type", "config1", "config2", "branch_sample_type", "sample_regs_user",
    "sample_stack_user", "clockid", "sample_regs_intr", "aux_watermark", "sample_max_stack",
    "__reserved_2", "aux_sample_size", "__reserved_3", "sig_data",
]  # fmt: skip

# What samples may have beside what they always have; likewise.
SamplePart = Literal[
    "ip", "address", "chain", "raw", "registers", "stack", "hints", "interrupted",
    "physical", "cgroup", "pages", "aux",
]  # fmt: skip


class EventSpec(Frozen):
    """A perf event of a scenario, in the words of perf_event_open(2).

    `counts` is cycles, instructions, page-faults ..., raw:0x11,
    tracepoint:GROUP:NAME or breakpoint (writes of the probe's own variable).
    With `pmu`, one of the scenario's, it is an event of that: clock, work or trace.
    `task` is self or one of the scenario's tasks; `copies` opens that many,
    named NAME1, NAME2, ..., or as many as take the rest of the machine's counters;
    `watched` lets user space see the counter's index
    in the event's mmap page; `paged` has the times there noted beside each read;
    with `single` it is read without PERF_FORMAT_GROUP, and is in no group;
    with `inherit_thread` only threads inherit it, with `remove_on_exec` exec ends it;
    `inherit_stat` has the kernel tell what each inherited event counted; `signals` has
    each overflow deliver one; with `exclude_host` it counts in virtual machines only.
    `sample` is what its samples have more; with `sigtrap` each overflow is a signal to the task.
    `records` are those of the kernel that it writes beside samples.  Its ring has `ring` pages,
    a power of two, of which what is not read in time is lost, and may be; without, so many that
    nothing is.  With `backward` the kernel writes over what is oldest; `wakeup` is
    wakeup_events, `lost` PERF_FORMAT_LOST.  Behind the ring there are `aux` pages that its PMU
    traces into, of which with `overwrite` the newest is kept.
    `attr` sets fields of perf_event_attr as they are (`bits` adds some of those at offset 40),
    `flags` those of the call, where the kernel's answer is the question.
    `expect` says how kernels answer when it is opened, where that is the question.
    """

    pmu: str | None = None
    counts: str = Field(pattern=r"^[a-z][\w:.-]*$")
    task: str | None = None
    cpu: int | None = Field(default=None, ge=0)
    cgroup: str | None = None
    leader: str | None = None
    frequency: int | None = Field(default=None, ge=1)
    period: int | None = Field(default=None, ge=1)
    disabled: bool = False
    enable_on_exec: bool = False
    pinned: bool = False
    exclusive: bool = False
    inherit: bool = False
    inherit_stat: bool = False
    inherit_thread: bool = False
    remove_on_exec: bool = False
    exclude_kernel: bool = False
    exclude_user: bool = False
    exclude_host: bool = False
    watched: bool = False
    paged: bool = False
    signals: bool = False
    records: tuple[
        Literal["mmap", "mmap2", "comm", "task", "switch", "namespaces", "cgroup"], ...
    ] = ()
    sample: tuple[SamplePart, ...] = ()
    sigtrap: bool = False
    ring: int | None = Field(default=None, ge=1)
    aux: int | None = Field(default=None, ge=1)
    overwrite: bool = False
    backward: bool = False
    single: bool = False
    wakeup: int | None = Field(default=None, ge=1)
    lost: bool = False
    flags: int = 0
    attr: dict[AttrField, int] = {}
    copies: Annotated[int, Field(ge=1)] | Literal["rest"] = 1
    expect: Answers = ()

    @model_validator(mode="after")
    def _bound_once(self) -> "EventSpec":
        if self.frequency and self.period:
            raise ValueError("frequency and period exclude each other")
        if self.task is None and self.cpu is None:
            raise ValueError("an event needs a task, a cpu, or both")
        if self.cgroup is not None and (self.task is not None or self.cpu is None):
            raise ValueError("an event of a cgroup needs a cpu, and no task")
        if self.pmu is not None and self.counts not in PMU_EVENTS:
            known = f"{', '.join(PMU_EVENTS[:-1])} or {PMU_EVENTS[-1]}"
            raise ValueError(f"{self.pmu} counts {known}, not {self.counts}")
        if self.expect:
            see_that_all_kernels_are_covered("expect", self.expect)
        return self


# What guest-images/modules/pmu_test.c counts, and how many PMUs it registers.
PMU_EVENTS = ("clock", "work", "trace")
PMU_NAMES = ("test0", "test1", "test2", "test3")
# The CPU's own PMU, whatever the kernel calls it.
HARDWARE = "hardware"

_NEW_CONTEXTS = "6.2"


@cache
def _answers_of_a_second_pmu() -> Answers:
    """How kernels answer to a task's or a cgroup's event of a PMU beside the CPU's own."""
    refusal = Answer(
        refused="EINVAL",
        versions=VersionRange(before=_NEW_CONTEXTS),
        source="perf_event_alloc(), find_get_context() in kernel/events/core.c: "
        "perf_invalid_context",
    )
    source = "bd2756811766 (perf: Rewrite core context handling)"
    return (refusal, Answer(versions=VersionRange(since=_NEW_CONTEXTS), source=source))


class PmuSpec(Frozen):
    """A test PMU of guest-images/modules/pmu_test.c.

    It has `counters`; counts for a `task` or a cgroup, too, or whatever runs on a CPU (before
    6.2 nothing else: events of tasks are expected to be refused there); an `uncore` one is one
    for all CPUs; with `interrupt` its events may sample; `exclusive` and `no_exclude` are
    PERF_PMU_CAP_EXCLUSIVE and PERF_PMU_CAP_NO_EXCLUDE; one with `aux` has trace events, which
    write into an AUX buffer; events of one with `filters` may be told ranges of addresses.
    """

    counters: int = Field(ge=1, le=16)
    task: bool = False
    uncore: bool = False
    interrupt: bool = False
    exclusive: bool = False
    no_exclude: bool = False
    aux: bool = False
    filters: bool = False


# What a step of guest-images/probes/drive.c is: its verb, and the kinds of its words.
STEPS: dict[str, tuple[str, ...]] = {
    "user": ("ms",),
    "kernel": ("ms",),
    "vm": ("ms",),
    "random": ("bytes",),
    "spin": ("times",),
    "sleep": ("ms",),
    "signals": ("times",),
    "cpu": ("cpu",),
    "offline": ("cpu",),
    "online": ("cpu",),
    "join": ("cgroup",),
    "work": ("pmu", "times"),
    "show": ("pmu", "attribute"),
    "attributes": ("pmu",),
    "set": ("pmu", "attribute", "value"),
    "timers": (),
    "read": (),
    "open": ("event",),
    "drain": ("event",),
    "poll": ("event",),
    "unmap": ("event",),
    "pause": ("event",),
    "resume": ("event",),
    "map": ("event", "pages"),
    "fetch": ("event", "bytes"),
    "output": ("event", "target"),
    "loop": ("event", "times"),
    "faults": ("event", "times"),
    "syscalls": ("event", "times"),
    "kernel-faults": ("event", "times"),
    "touches": ("event", "times"),
    "touches-second": ("event", "times"),
    "place": ("event", "variable"),
    "filter": ("event", "expression"),
    "enable": ("event",),
    "disable": ("event",),
    "enable-group": ("event",),
    "disable-group": ("event",),
    "enable-all": (),
    "disable-all": (),
    "reset": ("event",),
    "reset-group": ("event",),
    "close": ("event",),
    "refresh": ("event", "times"),
    "period": ("event", "times"),
    "compete": ("event", "ms"),
    "fork": ("task",),
    "thread": ("task",),
    "run": ("task",),
    "wait": ("task",),
    "kill": ("task",),
    "exec": (),
}
# What a breakpoint may watch: guest-images/probes/script.h.
VARIABLES = ("first", "second")
# Those that a kernel may refuse, and the scenario goes on.
ANSWERED = (
    *("set", "output", "enable", "disable", "reset", "refresh", "period"),
    *("enable-group", "disable-group", "reset-group"),
    *("pause", "resume", "map", "fetch", "place", "filter"),
)


# How many counters a virtual machine uses: guest-images/accelerator/probe.h.
VM_COUNTERS = 2


class KnownFailure(Frozen):
    """A test that does not pass for a reason that is not the kernel's.

    On one `architecture` only, where it names one.
    """

    name: str
    why: str
    versions: VersionRange = ALL_VERSIONS
    architecture: str | None = None

    def concerns(self, version: str, architecture: str) -> bool:
        """True if it is for a kernel release on an architecture."""
        return version in self.versions and self.architecture in (None, architecture)


class Tool(Frozen):
    """A workload of the real perf tool, or of the kernel's own tests, performed over SSH."""

    run: Literal["perf-stat", "perf-record", "perf-test", "selftests"]
    arguments: tuple[str, ...] = ()
    workload: tuple[str, ...] = ()
    known: tuple[KnownFailure, ...] = ()

    def excuses(self) -> dict[str, str]:
        """Why, by the test's name."""
        return {failure.name: failure.why for failure in self.known}


class Reproducer(Frozen):
    """A program that is to show a bug: a C file, a script, or a program of the guest's.

    `file` is where it lies, of configs/ below the repository; it has so many `seconds` of the
    guest's time.  What was made of it has the digest `sha256`, and needs a `userland` where
    it is a script, or has shared libraries.
    """

    file: str
    seconds: int = Field(default=5, ge=1)
    sha256: str = ""
    userland: bool = False


class Scenario(Frozen):
    """What one guest does, and the checks that look at what it recorded.

    Either `events` and `steps` (and `tasks`), or a `probe` of its own, or a
    `tool` that is spoken to over SSH, or a `reproducer`.
    `counters` is how many it takes at once, at the least, and `needs` what else
    of a machine.  `pmus` are the test PMUs, test0 first.  `sysctl` is set before, a name
    that ends in ? only where the kernel has it.
    `observe` names the kernel's variables of further PMUs whose callbacks are
    logged beside the hardware's, such as perf_swevent; `registers` has the module
    read the hardware's registers around each callback, and `trace` says
    what the machine tells of accesses to them; `may_lack` are the events that a guest
    may prove not to have, which skips the scenario; `answers` says how kernels answer
    steps (by their text) where that is the question; `tolerant`, all may be refused, and an event
    that is does nothing.  Only kernels of `versions` have what it takes.
    Every event is read after each of main's steps, and meanwhile; of a `quiet` scenario, at the
    steps `read` and at the end only, so that what an action loses is not read just before it.
    Under a `variant` (harness/model/variant.py) its name has that behind an @.
    """

    name: str
    title: str
    variant: str = ""
    versions: VersionRange = ALL_VERSIONS
    cpus: int = Field(default=1, ge=1)
    counters: int = Field(default=1, ge=1)
    needs: tuple[Feature, ...] = ()
    pmus: dict[str, PmuSpec] = {}
    sysctl: dict[str, int] = {}
    observe: bool | tuple[str, ...] = True
    registers: bool = False
    trace: tuple[Traced, ...] = ()
    events: dict[str, EventSpec] = {}
    tasks: dict[str, tuple[str, ...]] = {}
    steps: tuple[str, ...] = ()
    quiet: bool = False
    probe: tuple[str, ...] = ()
    tool: Tool | None = None
    reproducer: Reproducer | None = None
    may_lack: tuple[str, ...] = ()
    answers: dict[str, Answers] = {}
    tolerant: bool = False
    checks: tuple[str, ...] = Field(min_length=1)
    expect: dict[str, int | float | bool] = {}

    @model_validator(mode="after")
    def _one_way(self) -> "Scenario":
        if sum(map(bool, (self.steps, self.probe, self.tool, self.reproducer))) != 1:
            raise ValueError(
                "a scenario has either events and steps, or a probe, or a tool, or a reproducer"
            )
        if self.reproducer and self.observe:
            raise ValueError("a reproducer finds no observer: it takes `observe: false`")
        if self.trace and (self.tool or "register-trace" not in self.needs):
            raise ValueError("a trace needs a machine's register-trace, and takes no tool")
        if self._runs_vm and "virtualization" not in self.needs:
            raise ValueError("vm needs a machine's virtualization")
        if list(self.pmus) != list(PMU_NAMES[: len(self.pmus)]):
            raise ValueError(f"pmus are {', '.join(PMU_NAMES)}, from the first one on")
        for task, steps in {"main": self.steps, **self.tasks}.items():
            for step in steps:
                self._check_step(task, step)
        self._check_answers()
        self._check_events()
        return self

    def _check_events(self) -> None:
        """Each is of tasks, PMUs, CPUs and leaders that there are."""
        earlier: list[str] = []
        for name, event in self.events.items():
            if event.task not in (None, "self", *self.tasks):
                raise ValueError(f"event {name}: there is no task {event.task}")
            if event.pmu not in (None, *self.pmus):
                known = ", ".join(self.pmus) or "none"
                raise ValueError(f"event {name}: there is no PMU {event.pmu}; pmus has {known}")
            leader = self.events.get(event.leader or "")
            if leader and (event.single or leader.single):
                raise ValueError(f"event {name}: one that is single is in no group")
            if event.leader not in (None, *earlier):
                raise ValueError(f"event {name}: there is no leader {event.leader} before it")
            if event.cpu is not None and event.cpu >= self.cpus:
                raise ValueError(f"event {name}: there is no CPU {event.cpu} of {self.cpus}")
            earlier += copies(name, event)

    def for_kernel(self, version: str, architecture: str) -> "Scenario":
        """The scenario with what is known of one kernel, and of no other."""
        if self.tool is None:
            return self
        known = tuple(f for f in self.tool.known if f.concerns(version, architecture))
        return self.model_copy(update={"tool": self.tool.model_copy(update={"known": known})})

    def lacks(self, machine: Machine, version: str | None = None) -> str:
        """What a machine, or a kernel release, has not that this takes; or nothing.

        It is as a person reads it.
        """
        if version is not None and version not in self.versions:
            return f"a kernel {self.versions}"
        if self.cpus > machine.cpus:
            return f"{self.cpus} CPUs, of which {machine.name} has at most {machine.cpus}"
        if self.counters > machine.counters.all:
            return f"{self.counters} counters, of which {machine.name} has {machine.counters.all}"
        if self.tool and machine.outer:
            return f"SSH, which does not reach into the outer system of {machine.name}"
        if self.takes_disk and machine.outer:
            return f"a disk, which the outer system of {machine.name} has not"
        if not machine.counters.instructions and self._counts_instructions:
            return f"a counter of instructions, which {machine.name} has not"
        missing = [word for word in self.needs if word not in machine.offers]
        return f"{' and '.join(missing)}, which {machine.name} has not" if missing else ""

    @property
    def plain_name(self) -> str:
        """Its file's: without the variant's."""
        return self.name.removesuffix(f"@{self.variant}") if self.variant else self.name

    @property
    def takes_disk(self) -> bool:
        """True if its guest has Debian's system beside the initramfs."""
        return self.tool is not None or (self.reproducer is not None and self.reproducer.userland)

    @property
    def speaks_of_calls(self) -> bool:
        """True if its guest records what it asks of perf: a program of others does not."""
        return self.tool is None and self.reproducer is None

    @property
    def _counts_instructions(self) -> bool:
        return any(event.counts == "instructions" for event in self.events.values())

    def for_machine(self, machine: Machine) -> "Scenario":
        """The scenario with its `copies: rest` as many as the machine's counters leave."""
        mine = [event for event in self.events.values() if event.pmu is None]
        taken = sum(event.copies for event in mine if isinstance(event.copies, int))
        taken += VM_COUNTERS if self._runs_vm else 0
        events = {}
        for name, event in self.events.items():
            copies = event.copies
            if copies == "rest":
                copies = machine.counters.of(event.counts) - taken
            if copies > 0:
                events[name] = event.model_copy(update={"copies": copies})
        return self.model_copy(update={"events": events})

    @property
    def _runs_vm(self) -> bool:
        steps = (step for steps in (self.steps, *self.tasks.values()) for step in steps)
        return any(step.split()[:1] == ["vm"] for step in steps)

    @property
    def specs(self) -> dict[str, EventSpec]:
        """What each event is, by the names under which they are opened."""
        return {copy: event for name, event in self.events.items() for copy in copies(name, event)}

    @property
    def event_names(self) -> list[str]:
        """The events' names, those of copies included, in the order of opening."""
        return [copy for name, event in self.events.items() for copy in copies(name, event)]

    def answers_to_open(self, name: str) -> Answers:
        """How kernels answer the opening of an event, of the name that it has there.

        Empty where that is no question.
        """
        event = self.specs.get(name)
        if event is None or event.expect or self.tolerant:
            return event.expect if event else ()
        another = event.pmu is not None and self.pmus[event.pmu].task
        return _answers_of_a_second_pmu() if another and (event.task or event.cgroup) else ()

    def _check_answers(self) -> None:
        """Each is that to a step which there is, and which a kernel may refuse."""
        steps = {step for steps in (self.steps, *self.tasks.values()) for step in steps}
        for step, answers in self.answers.items():
            if step not in steps:
                raise ValueError(f"answers: there is no step {step}")
            if step.split()[0] not in ANSWERED:
                raise ValueError(f"answers: {step}: only {', '.join(ANSWERED)} may be refused")
            see_that_all_kernels_are_covered(f"answers: {step}", answers)

    @property
    def opened_late(self) -> set[str]:
        """The events that a step opens; all others are open before the first one."""
        steps = (step.split() for steps in (self.steps, *self.tasks.values()) for step in steps)
        return {words[1] for words in steps if words[0] == "open"}

    def _check_step(self, task: str, step: str) -> None:
        verb, *words = step.split() or [""]
        if verb not in STEPS:
            raise ValueError(f"{task}: unknown step '{verb}'; known: {', '.join(STEPS)}")
        kinds = STEPS[verb]
        if len(words) != len(kinds):
            raise ValueError(f"{task}: {verb} takes {' and '.join(kinds) or 'nothing'}: {step}")
        for kind, word in zip(kinds, words, strict=True):
            if kind == "event" and word not in self.event_names:
                raise ValueError(f"{task}: {step}: there is no event {word}")
            if kind == "target" and word not in ("none", *self.event_names):
                raise ValueError(f"{task}: {step}: there is no event {word}")
            if kind == "variable" and word not in VARIABLES:
                raise ValueError(f"{task}: {step}: variables are {' and '.join(VARIABLES)}")
            if kind == "pmu" and word not in (HARDWARE, *self.pmus):
                known = ", ".join((HARDWARE, *self.pmus))
                raise ValueError(f"{task}: {step}: there is no PMU {word}; known: {known}")
            if kind == "task" and word not in self.tasks:
                raise ValueError(f"{task}: {step}: there is no task {word}")
            if kind in ("ms", "times", "bytes", "cpu", "pages") and not word.isdigit():
                raise ValueError(f"{task}: {step}: {word} is not a number")
            if kind == "cpu" and int(word) >= self.cpus:
                raise ValueError(f"{task}: {step}: there is no CPU {word} of {self.cpus}")


def copies(name: str, event: EventSpec) -> list[str]:
    """The names under which an event is opened: its own, or NAME1, NAME2, ...

    Of the rest of a machine's counters, none: nothing may name them.
    """
    if event.copies == 1:
        return [name]
    if event.copies == "rest":
        return []
    return [f"{name}{number}" for number in range(1, event.copies + 1)]
