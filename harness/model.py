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


class Machine(Frozen):
    """Architecture + accelerator + QEMU + CPUs + regime."""

    name: str
    title: str
    architecture: str
    qemu: str
    accelerator: str
    board: str
    cpu: str
    cpus: int = Field(ge=1)
    memory_mib: int = Field(ge=64)
    clock: tuple[str, ...]
    # For guests that are spoken to while they run: time must not race ahead of the network.
    session_clock: tuple[str, ...]
    console: str
    regime: Regime
    cycles_per_ns: int = Field(ge=1)
    timeout_s: int = Field(ge=1)


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

    Exactly one of `probe` (in the batch) and `tool` (over SSH) says what it does.
    """

    name: str
    title: str
    sysctl: dict[str, int] = {}
    observe: bool = True
    probe: tuple[str, ...] = ()
    tool: Tool | None = None
    checks: tuple[str, ...] = Field(min_length=1)
    expect: dict[str, int | float | bool] = {}

    @model_validator(mode="after")
    def _does_one_thing(self) -> "Scenario":
        if bool(self.probe) == (self.tool is not None):
            raise ValueError("a scenario has either a probe or a tool")
        return self

    def for_kernel(self, version: str) -> "Scenario":
        """The scenario with what is known of one kernel release, and of no other."""
        if self.tool is None:
            return self
        known = tuple(failure for failure in self.tool.known if version in failure.versions)
        return self.model_copy(update={"tool": self.tool.model_copy(update={"known": known})})


class SeriesPatch(Frozen):
    """One patch file and the kernels that it is for."""

    file: str
    versions: VersionRange = VersionRange()


class Claim(Frozen):
    """What a series says of itself."""

    fixes: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()


class Series(Frozen):
    """An ordered list of patches, on top of another series or of the bare source."""

    name: str
    title: str
    origin: str = ""
    stands_on: str | None = None
    patches: tuple[SeriesPatch, ...] = Field(min_length=1)
    claim: Claim = Claim()

    def patches_for(self, version: str) -> tuple[str, ...]:
        """Files, in order, for one kernel release; empty when the series has none for it."""
        return tuple(patch.file for patch in self.patches if version in patch.versions)


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
