# SPDX-License-Identifier: MIT
"""Rows of configs/: architectures, machines, accelerators, emulators, packages."""

from enum import Enum
from typing import Literal

from pydantic import Field, field_validator, model_validator

from harness.model.base import ALL_VERSIONS, Frozen, Version, VersionRange


class KconfigFragment(Frozen):
    """A file of CONFIG_ lines and the kernels that it is for."""

    file: str
    versions: VersionRange = ALL_VERSIONS


class Architecture(Frozen):
    """What the kernel, Debian and the toolchain call one instruction set.

    `suite` is the one that has its packages where not every suite does; else the host's own.
    """

    name: str
    kernel: str
    triplet: str
    debian: str
    suite: str = Field(default="", pattern=r"^[a-z]*$", exclude=True)
    image: str
    # e_machine of its programs (elf.h).  Nothing that is built depends on it.
    elf: int = Field(exclude=True)
    kconfig: tuple[KconfigFragment, ...]


class Regime(Enum):
    """How far two runs of one machine agree."""

    EXACT = "exact"
    STATISTICAL = "statistical"


# What not every machine has.
Feature = Literal[
    "breakpoints",  # the kernel can set them: CONFIG_HAVE_HW_BREAKPOINT
    "idle-cycles",  # cycles are counted while a CPU sleeps
    "instruction-clock",  # each instruction takes the same time, and as many cycles
    "instructions",  # are counted
    "joint-enable",  # one register lets all counters go at once
    "plain-counters",  # an event may take any counter but one that is for cycles only
    "readable-registers",  # the kernel can read its counters' selects and enable bits
    "register-trace",
    "shared-counters",  # some events' counters are shared by the CPUs of a node
    "steady-cycles",  # each nanosecond has cycles_per_ns of them
    "steady-speed",  # work takes about as long each time
    "throttling",  # overflows are noticed so soon that there can be too many
    "virtualization",  # its kernels have KVM, and guests with a vPMU
]


# What a register trace may tell of: harness/guest/trace.py.
Traced = Literal["write", "read", "rdpmc", "overflow", "interrupt"]


class Counters(Frozen):
    """How many events of a kind a CPU can count at once, and of all kinds together."""

    instructions: int = Field(ge=0)
    cycles: int = Field(ge=1)
    all: int = Field(ge=1)

    def of(self, counts: str) -> int:
        """Counters for events that count instructions, cycles, or anything else."""
        return {"instructions": self.instructions, "cycles": self.cycles}.get(counts, self.all)


class Machine(Frozen):
    """Architecture + accelerator + QEMU + CPUs + regime.

    `qemu` is the host's program, unless `emulator` names one that the harness
    builds (configs/emulators.yaml), or that of the `outer` system that it runs in
    (configs/outers.yaml).
    `cpus` and `counters` are the most that a scenario may ask for, `offers` names
    what else there is; `kernel_arguments` what its kernels are told beside what all
    are; `repetitions` how many guests each scenario gets, and `tolerances` by check how far
    a measurement may be off (as a share; docs/architecture.md), both in the statistical
    regime; `cycles_per_ns` the most that a counter counts in a nanosecond (all the time
    with steady-cycles); `clock_step_ns` how coarse the clock is that a guest reads;
    `call_ns` how far the kernel's time of an event is from the observer's, where it switches many;
    `skew_ns` how far from its count a record's times are taken, at the most; `pause_ns` how
    long a guest stands still in an interrupt while its clock goes on; `largest_left` and
    `least_left` how far from its wrap a counter is programmed; `late_overflow` by how many
    counts at most, or those of a tick, an emulator notices the overflow of an event too late
    (docs/errata.md); `trace_events` is how QEMU calls the events of its register trace, *
    being one of Traced; with `boots_once` its guests go on from where a kernel, or its outer
    system, was saved when it had booted.
    """

    name: str
    title: str
    architecture: str
    qemu: str
    emulator: str | None = None
    outer: str | None = None
    accelerator: str
    board: str
    cpu: str
    cpus: int = Field(ge=1)
    counters: Counters
    offers: tuple[Feature, ...] = ()
    memory_mib: int = Field(ge=64)
    # None where the time is the host's.
    clock: tuple[str, ...] = ()
    # For guests that are spoken to while they run: time must not race ahead of the network.
    session_clock: tuple[str, ...] = ()
    console: str
    kernel_arguments: tuple[str, ...] = ()
    boots_once: bool = False
    regime: Regime
    repetitions: int = Field(default=1, ge=1)
    tolerances: dict[str, float] = {}
    cycles_per_ns: int = Field(ge=1)
    # 62.5 MHz: Arm's generic timer as QEMU has it.
    clock_step_ns: int = Field(default=16, ge=1)
    # Some microseconds each (ctx_sched_in() in kernel/events/core.c).
    call_ns: int = Field(default=20_000, ge=0)
    # A sample's, 1224 instructions later on x86_64 (6.12), which are ns on an instruction clock.
    skew_ns: int = Field(default=2000, ge=0)
    pause_ns: int = Field(default=0, ge=0)
    largest_left: int = Field(ge=1)
    least_left: int = Field(default=1, ge=1)
    # How wide counters are is the host's, and largest_left that of the narrowest.
    widths_vary: bool = False
    # hw.idx is the counter's bit in the hardware's enable registers.
    index_is_bit: bool = False
    late_overflow: dict[str, int | Literal["tick"]] = {}
    trace_events: str = ""
    timeout_s: int = Field(ge=1)

    @model_validator(mode="after")
    def _trace_is_named(self) -> "Machine":
        if ("register-trace" in self.offers) != bool(self.trace_events):
            raise ValueError("register-trace and trace_events go together")
        return self

    @model_validator(mode="after")
    def _regime_fits(self) -> "Machine":
        exact = self.regime is Regime.EXACT
        if exact != ("instruction-clock" in self.offers):
            raise ValueError("an instruction-clock makes the regime exact, and nothing else does")
        if exact and (self.repetitions > 1 or self.tolerances):
            raise ValueError("repetitions and tolerances are for the statistical regime")
        if ("instructions" in self.offers) != bool(self.counters.instructions):
            raise ValueError("instructions are offered where there are counters for them")
        return self

    def with_cpus(self, number: int) -> "Machine":
        """The machine as a scenario boots it that asks for so many."""
        return self.model_copy(update={"cpus": number})


class Outer(Frozen):
    """An outer system: an emulated machine with KVM, in which a machine's QEMU runs.

    `memory_mib` is what it needs beside its guest's; `kernel` is Debian's package, or one
    that depends on it, `modules` those of it that KVM is, in their order; `packages` bring
    the `programs`, whose shared libraries come with them, and the `data`.
    """

    name: str
    title: str
    architecture: str
    qemu: str
    emulator: str | None = None
    accelerator: str
    board: str
    cpu: str
    memory_mib: int = Field(ge=64)
    clock: tuple[str, ...]
    console: str
    kernel_arguments: tuple[str, ...] = ()
    kernel: str
    modules: tuple[str, ...] = ()
    packages: tuple[str, ...]
    programs: tuple[str, ...]
    data: tuple[str, ...] = ()


class Accelerator(Frozen):
    """A way to play guests of an architecture, and how to find out whether it works.

    `qemu` and `emulator` are as a machine's; `device` is the file of the hardware's
    driver, empty for emulation, and `capabilities` what it is asked for.  `program` is
    the folder of guest-images/accelerator that is booted, `flags` what its compiler is
    told beside what all are; it has `timeout_s` for all that it does.
    """

    name: str
    title: str
    architecture: str
    accelerator: str
    device: str = ""
    capabilities: dict[str, int] = {}
    qemu: str
    emulator: str | None = None
    board: str
    cpu: str
    clock: tuple[str, ...] = ()
    program: str
    flags: tuple[str, ...] = ()
    timeout_s: int = Field(ge=1)

    def plays(self, machine: Machine) -> bool:
        """True if it is by this that a machine's guests run."""
        ours = (self.architecture, self.accelerator, self.qemu, self.emulator, None)
        return ours == (
            machine.architecture,
            machine.accelerator,
            machine.qemu,
            machine.emulator,
            machine.outer,
        )


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


class Package(Frozen):
    """A Debian package that the host needs: what it brings, and why.

    `only` names the architecture, emulator, accelerator or compiler that alone needs it, or
    those that do.
    """

    package: str
    why: str
    provides: str
    only: tuple[str, ...] = ()
    test: bool = False

    @field_validator("only", mode="before")
    @classmethod
    def _one_or_more(cls, given: object) -> object:
        return (given,) if isinstance(given, str) else given

    def needed_for(self, *names: str | None) -> bool:
        """True if one of these architectures, emulators, accelerators, compilers needs it."""
        return not self.test and (not self.only or any(name in names for name in self.only))


class Rung(Frozen):
    """A kernel of the ladder: its source, and the machines that its whole suite runs on."""

    name: str
    source: str
    machines: tuple[str, ...] = Field(min_length=1)
