# SPDX-License-Identifier: MIT
"""The frozen types that the stages hand to each other."""

import re
from enum import Enum
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


class Frozen(BaseModel):
    """A value: immutable, and strict about keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def parse_version(text: str) -> tuple[int, ...]:
    """`6.12.117-1~deb12u1` as (6, 12, 117): what orders kernel releases.

    Raises ValueError when the text does not begin with a number.
    """
    release = re.split(r"[-~+]", text, maxsplit=1)[0]
    return tuple(int(number) for number in release.split("."))


def _version_text(value: object) -> object:
    if isinstance(value, float):
        raise ValueError(f"quote it: YAML reads {value} as a number, and 6.10 as 6.1")
    return value


Version = Annotated[str, BeforeValidator(_version_text), Field(pattern=r"^\d+\.\d+(\.\d+)*$")]


class VersionRange(Frozen):
    """Kernel versions from `since` (included) to `before` (excluded)."""

    since: Version = "0.0"
    before: Version | None = None

    def __contains__(self, version: str) -> bool:
        """True if a kernel release, such as 6.12.117, is within the range."""
        release = parse_version(version)
        if release < parse_version(self.since):
            return False
        return self.before is None or release < parse_version(self.before)

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.since} and newer"
        return f"{self.since} up to, not including, {self.before}"


# --- rows of configs/ -------------------------------------------------------


class KconfigFragment(Frozen):
    """A file of CONFIG_ lines and the kernels that it is for."""

    file: str
    versions: VersionRange = VersionRange()


class Architecture(Frozen):
    """What the kernel, Debian and the toolchain call one instruction set."""

    name: str
    kernel: str
    triplet: str
    debian: str
    image: str
    kconfig: tuple[KconfigFragment, ...]


class Regime(Enum):
    """How far two runs of one machine agree."""

    EXACT = "exact"
    STATISTICAL = "statistical"


# What not every machine has.
Feature = Literal[
    "idle-cycles",  # cycles are counted while a CPU sleeps
    "joint-enable",  # one register lets all counters go at once
    "register-trace",
    "shared-counters",  # some events' counters are shared by the CPUs of a node
]


# What a register trace may tell of: harness/guest/trace.py.
Traced = Literal["write", "read", "rdpmc", "overflow", "interrupt"]


class Counters(Frozen):
    """How many events of a kind a CPU can count at once, and of all kinds together."""

    instructions: int = Field(ge=1)
    cycles: int = Field(ge=1)
    all: int = Field(ge=1)

    def of(self, counts: str) -> int:
        """Counters for events that count instructions, cycles, or anything else."""
        return {"instructions": self.instructions, "cycles": self.cycles}.get(counts, self.all)


class Machine(Frozen):
    """Architecture + accelerator + QEMU + CPUs + regime.

    `qemu` is the host's program, unless `emulator` names one that the harness
    builds (configs/emulators.yaml).
    `cpus` and `counters` are the most that a scenario may ask for, `offers` names
    what else there is; `kernel_arguments` what its kernels are told beside what all
    are; `largest_left` and `least_left` how far from its wrap a counter is programmed;
    `late_overflow` by how many counts at most an emulator notices the overflow of
    an event too late (docs/errata.md); `trace_events` is how QEMU calls the
    events of its register trace, * being one of Traced.
    """

    name: str
    title: str
    architecture: str
    qemu: str
    emulator: str | None = None
    accelerator: str
    board: str
    cpu: str
    cpus: int = Field(ge=1)
    counters: Counters
    offers: tuple[Feature, ...] = ()
    memory_mib: int = Field(ge=64)
    clock: tuple[str, ...]
    # For guests that are spoken to while they run: time must not race ahead of the network.
    session_clock: tuple[str, ...]
    console: str
    kernel_arguments: tuple[str, ...] = ()
    regime: Regime
    cycles_per_ns: int = Field(ge=1)
    largest_left: int = Field(ge=1)
    least_left: int = Field(default=1, ge=1)
    # hw.idx is the counter's bit in the hardware's enable registers.
    index_is_bit: bool = False
    late_overflow: dict[str, int] = {}
    trace_events: str = ""
    timeout_s: int = Field(ge=1)

    @model_validator(mode="after")
    def _trace_is_named(self) -> "Machine":
        if ("register-trace" in self.offers) != bool(self.trace_events):
            raise ValueError("register-trace and trace_events go together")
        return self

    def with_cpus(self, number: int) -> "Machine":
        """The machine as a scenario boots it that asks for so many."""
        return self.model_copy(update={"cpus": number})


class EmulatorSource(Frozen):
    """Where an emulator's source comes from.

    Either the upstream tarball in the newest `debian` source package of a
    `series` in a `suite`, or a tarball at a `url` with its SHA-256.
    """

    debian: str = ""
    suite: str = Field(default="", pattern=r"^[a-z]*$")
    series: Version | None = None
    url: str = Field(default="", pattern=r"^((https?|file)://.+)?$")
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")

    @model_validator(mode="after")
    def _one_way(self) -> "EmulatorSource":
        package = (self.debian, self.suite, self.series)
        tarball = (self.url, self.sha256)
        if not all(tarball if any(tarball) else package) or (any(tarball) and any(package)):
            raise ValueError("a source has either debian, suite and series, or url and sha256")
        return self


class Firmware(Frozen):
    """Files that QEMU loads into its guest, in a Debian package; without one, in QEMU's source.

    `suite` is the package's, or the machine's own where it is empty.
    """

    package: str = ""
    suite: str = Field(default="", pattern=r"^[a-z]*$")
    files: tuple[str, ...] = Field(min_length=1)


class Emulator(Frozen):
    """A QEMU that the harness builds, from a source with the patches of a folder.

    `target` is the program, as ninja calls it.
    """

    name: str
    title: str
    source: EmulatorSource
    patches: str | None = None
    configure: tuple[str, ...]
    target: str
    firmware: tuple[Firmware, ...] = ()


class EventSpec(Frozen):
    """A perf event of a scenario, in the words of perf_event_open(2).

    `counts` is cycles, instructions, page-faults ..., raw:0x11,
    tracepoint:GROUP:NAME or breakpoint (writes of the probe's own variable).
    `task` is self or one of the scenario's tasks; `copies` opens that many,
    named NAME1, NAME2, ..., or as many as take the rest of the machine's counters;
    `watched` lets user space see the counter's index
    in the event's mmap page; `signals` has each overflow deliver one.
    """

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
    exclude_kernel: bool = False
    exclude_user: bool = False
    watched: bool = False
    signals: bool = False
    copies: Annotated[int, Field(ge=1)] | Literal["rest"] = 1

    @model_validator(mode="after")
    def _bound_once(self) -> "EventSpec":
        if self.frequency and self.period:
            raise ValueError("frequency and period exclude each other")
        if self.task is None and self.cpu is None:
            raise ValueError("an event needs a task, a cpu, or both")
        if self.cgroup is not None and (self.task is not None or self.cpu is None):
            raise ValueError("an event of a cgroup needs a cpu, and no task")
        return self


# What a step of guest-images/probes/drive.c is: its verb, and the kinds of its words.
STEPS: dict[str, tuple[str, ...]] = {
    "user": ("ms",),
    "kernel": ("ms",),
    "random": ("bytes",),
    "spin": ("times",),
    "sleep": ("ms",),
    "signals": ("times",),
    "cpu": ("cpu",),
    "offline": ("cpu",),
    "online": ("cpu",),
    "join": ("cgroup",),
    "loop": ("event", "times"),
    "faults": ("event", "times"),
    "syscalls": ("event", "times"),
    "kernel-faults": ("event", "times"),
    "touches": ("event", "times"),
    "enable": ("event",),
    "disable": ("event",),
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


class KnownFailure(Frozen):
    """A test that does not pass for a reason that is not the kernel's."""

    name: str
    why: str
    versions: VersionRange = VersionRange()


class Tool(Frozen):
    """A workload of the real perf tool, or of the kernel's own tests, performed over SSH."""

    run: Literal["perf-stat", "perf-record", "perf-test", "selftests"]
    arguments: tuple[str, ...] = ()
    workload: tuple[str, ...] = ()
    known: tuple[KnownFailure, ...] = ()

    def excuses(self) -> dict[str, str]:
        """Why, by the test's name."""
        return {failure.name: failure.why for failure in self.known}


class Scenario(Frozen):
    """What one guest does, and the checks that look at what it recorded.

    Either `events` and `steps` (and `tasks`), or a `probe` of its own, or a
    `tool` that is spoken to over SSH.
    `counters` is how many it takes at once, at the least, and `needs` what else
    of a machine.  `sysctl` is set before, a name that ends in ? only where the
    kernel has it.
    `observe` names the kernel's variables of further PMUs whose callbacks are
    logged beside the hardware's, such as perf_swevent; `registers` has the module
    read the hardware's registers around each callback, and `trace` says
    what the machine tells of accesses to them; `may_lack` are the events that a guest
    may prove not to have, which skips the scenario.
    """

    name: str
    title: str
    cpus: int = Field(default=1, ge=1)
    counters: int = Field(default=1, ge=1)
    needs: tuple[Feature, ...] = ()
    sysctl: dict[str, int] = {}
    observe: bool | tuple[str, ...] = True
    registers: bool = False
    trace: tuple[Traced, ...] = ()
    events: dict[str, EventSpec] = {}
    tasks: dict[str, tuple[str, ...]] = {}
    steps: tuple[str, ...] = ()
    probe: tuple[str, ...] = ()
    tool: Tool | None = None
    may_lack: tuple[str, ...] = ()
    checks: tuple[str, ...] = Field(min_length=1)
    expect: dict[str, int | float | bool] = {}

    @model_validator(mode="after")
    def _one_way(self) -> "Scenario":
        if [bool(self.steps), bool(self.probe), self.tool is not None].count(True) != 1:
            raise ValueError("a scenario has either events and steps, or a probe, or a tool")
        if self.trace and (self.tool or "register-trace" not in self.needs):
            raise ValueError("a trace needs a machine's register-trace, and takes no tool")
        for task, steps in {"main": self.steps, **self.tasks}.items():
            for step in steps:
                self._check_step(task, step)
        earlier: list[str] = []
        for name, event in self.events.items():
            if event.task not in (None, "self", *self.tasks):
                raise ValueError(f"event {name}: there is no task {event.task}")
            if event.leader not in (None, *earlier):
                raise ValueError(f"event {name}: there is no leader {event.leader} before it")
            if event.cpu is not None and event.cpu >= self.cpus:
                raise ValueError(f"event {name}: there is no CPU {event.cpu} of {self.cpus}")
            earlier += copies(name, event)
        return self

    def for_kernel(self, version: str) -> "Scenario":
        """The scenario with what is known of one kernel release, and of no other."""
        if self.tool is None:
            return self
        known = tuple(failure for failure in self.tool.known if version in failure.versions)
        return self.model_copy(update={"tool": self.tool.model_copy(update={"known": known})})

    def lacks(self, machine: Machine) -> str:
        """What a machine has not that this takes, as a person reads it; or nothing."""
        if self.cpus > machine.cpus:
            return f"{self.cpus} CPUs, of which {machine.name} has at most {machine.cpus}"
        if self.counters > machine.counters.all:
            return f"{self.counters} counters, of which {machine.name} has {machine.counters.all}"
        missing = [word for word in self.needs if word not in machine.offers]
        return f"{' and '.join(missing)}, which {machine.name} has not" if missing else ""

    def for_machine(self, machine: Machine) -> "Scenario":
        """The scenario with its `copies: rest` as many as the machine's counters leave."""
        taken = sum(e.copies for e in self.events.values() if isinstance(e.copies, int))
        events = {}
        for name, event in self.events.items():
            copies = event.copies
            if copies == "rest":
                copies = machine.counters.of(event.counts) - taken
            if copies > 0:
                events[name] = event.model_copy(update={"copies": copies})
        return self.model_copy(update={"events": events})

    @property
    def event_names(self) -> list[str]:
        """The events' names, those of copies included, in the order of opening."""
        return [copy for name, event in self.events.items() for copy in copies(name, event)]

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
            if kind == "task" and word not in self.tasks:
                raise ValueError(f"{task}: {step}: there is no task {word}")
            if kind in ("ms", "times", "bytes", "cpu") and not word.isdigit():
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


class SeriesPatch(Frozen):
    """One patch file, the kernels that it is for, and the architecture where not all."""

    file: str
    versions: VersionRange = VersionRange()
    architecture: str | None = None


class Claim(Frozen):
    """What a series says of itself: checks that turn, and the scenarios that show it.

    Without `scenarios`, the whole suite is what shows it.  `only` names, for checks
    that turn on one architecture, which.
    """

    fixes: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    only: dict[str, str] = {}


class Series(Frozen):
    """An ordered list of patches, on top of another series or of the bare source.

    Of a bug of history, put back: `fixed_by` is the upstream commit that ended
    it, `symptom` how a user saw it.
    """

    name: str
    title: str
    origin: str = ""
    fixed_by: str = ""
    symptom: str = ""
    stands_on: str | None = None
    patches: tuple[SeriesPatch, ...] = Field(min_length=1)
    claim: Claim = Claim()

    def patches_for(self, version: str, architecture: str) -> tuple[str, ...]:
        """Files, in order, for one kernel release; empty when the series has none for it."""
        return tuple(
            patch.file
            for patch in self.patches
            if version in patch.versions and patch.architecture in (None, architecture)
        )


class Erratum(Frozen):
    """A known defect of kernels or emulators that is not a patch's fault.

    `excuses` maps scenarios (or any) to the checks that it makes fail; each line of
    evidence must match `matching` (a regular expression) for it to be that.
    What shows `by_chance` need not show in the reference as well.
    """

    name: str
    what: str
    source: str
    versions: VersionRange = VersionRange()
    architecture: str | None = None
    excuses: dict[str, tuple[str, ...]]
    matching: str
    by_chance: bool = False

    def covers(self, scenario: str, verdict: "Verdict", version: str, architecture: str) -> bool:
        """True if a failed verdict on a kernel release is this defect and nothing else."""
        excused = self.excuses.get(scenario, ()) + self.excuses.get("any", ())
        return (
            version in self.versions
            and self.architecture in (None, architecture)
            and bool(verdict.evidence)
            and verdict.check in excused
            and all(re.search(self.matching, line) for line in verdict.evidence)
        )


class Package(Frozen):
    """A Debian package that the host needs: what it brings, and why."""

    package: str
    why: str
    provides: str
    test: bool = False


# --- what a run is made of --------------------------------------------------


class PatchFile(Frozen):
    """One patch: its path as given, and its text."""

    path: str
    text: str


class Subject(Frozen):
    """Source + patches; `name` is what a person reads, such as 6.12+pre-callbacks."""

    name: str
    source: str
    version: str
    patches: tuple[PatchFile, ...]


class Role(Enum):
    """A candidate is judged against a reference."""

    REFERENCE = "reference"
    CANDIDATE = "candidate"


class Cell(Frozen):
    """One combination of the plan, with a stable, printable id."""

    subject: str
    role: Role
    machine: str
    scenario: str

    @property
    def id(self) -> str:
        """Such as `6.12+pre-callbacks/aarch64-tcg/cycles-cpu`; also its folder in a run."""
        return f"{self.subject}/{self.machine}/{self.scenario}"


class Plan(Frozen):
    """Everything a run is going to do, decided before it begins."""

    source: str
    series: str
    claim: Claim
    subjects: dict[Role, Subject]
    machine: Machine
    scenarios: tuple[Scenario, ...]
    errata: tuple[Erratum, ...] = ()
    cells: tuple[Cell, ...]


# --- what comes out ---------------------------------------------------------


class Status(Enum):
    """A verdict, from best to worst."""

    PASS = "pass"
    SKIP = "skip"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"
    FAIL = "fail"


class Verdict(Frozen):
    """What one check found in one cell."""

    check: str
    status: Status
    measured: str
    expected: str
    evidence: tuple[str, ...] = ()
    metrics: dict[str, int | float] = {}


class GuestEnd(Enum):
    """How a guest's run ended."""

    NOT_STARTED = "not started"
    DONE = "done"
    PANIC = "panic"
    OOPS = "oops"
    WARNING = "warning"
    STALL = "stall"
    HANG = "hang"
    FLOOD = "flood"
    INIT_FAILED = "init failed"
    STOPPED_EARLY = "stopped early"
    QEMU_FAILED = "qemu failed"


class Outcome(Frozen):
    """How one cell's guest ended, with the lines that say so."""

    end: GuestEnd
    stage: Literal["boot", "batch", "none"]
    summary: str
    evidence: tuple[str, ...] = ()


class CellResult(Frozen):
    """A cell with its outcome and its verdicts."""

    cell: Cell
    outcome: Outcome
    verdicts: tuple[Verdict, ...]
    repeat: str
    reused: bool = False
    seconds: float = 0.0


class RunResult(Frozen):
    """The whole run: what `results.json` holds."""

    schema_version: Literal[1] = 1
    command: str
    plan: str
    started: str
    seconds: float
    status: Status
    headline: str
    claim: dict[str, bool]
    cells: tuple[CellResult, ...]
    failures: tuple[str, ...] = ()


class Kill(Frozen):
    """What became of one saboteur on one kernel.

    `turned` are the checks that failed, `missed` those meant to that did not;
    `scenarios` say where each failed; `false_alarms` are the clean kernel's.
    """

    saboteur: str
    title: str
    kernel: str
    turned: tuple[str, ...]
    missed: tuple[str, ...]
    false_alarms: tuple[str, ...]
    scenarios: dict[str, tuple[str, ...]]
    explanation: str
    failures: tuple[str, ...]
    evidence: str
    checks: tuple[str, ...]

    @property
    def as_meant(self) -> bool:
        """True if every check that was meant to turn did."""
        return bool(self.turned) and not self.missed


class KillMatrix(Frozen):
    """All saboteurs on all kernels: what `mutants.json` holds."""

    kills: tuple[Kill, ...]

    @property
    def survivors(self) -> list[Kill]:
        """Those that no check caught, or not the one that was meant to."""
        return [kill for kill in self.kills if not kill.as_meant]

    @property
    def false_alarms(self) -> list[str]:
        """What failed on a clean kernel, each once."""
        return list(dict.fromkeys(alarm for kill in self.kills for alarm in kill.false_alarms))
