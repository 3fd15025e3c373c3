# SPDX-License-Identifier: MIT
"""What was found out of a host, and what is said of it: what `doctor --json` prints."""

from enum import Enum
from typing import Literal

from harness.model.base import Frozen
from harness.model.rows import Package


class Stage(Enum):
    """What an accelerator is put through, in this order; an unusable one failed at one."""

    QEMU = "qemu"  # is there, and says its version
    DEVICE = "device"  # opens, and answers
    PROGRAM = "program"  # what is to be booted compiles
    BOOT = "boot"  # the guest's first word
    PMU = "pmu"  # the guest is told of one
    COUNTER = "counter"  # reads non-zero after work
    OVERFLOW = "overflow"  # interrupts
    END = "end"  # the guest ends QEMU


class DeviceFacts(Frozen):
    """What a driver's device file answers; `error` is errno's name, empty where it opened.

    `parameters` are those of its modules that decide about a vPMU.
    """

    path: str
    error: str = ""
    api: int | None = None
    capabilities: dict[str, int] = {}
    parameters: dict[str, str] = {}


class Obstacle(Frozen):
    """Why nothing was booted."""

    stage: Stage
    what: str
    why: str = ""
    evidence: str = ""
    advice: str = ""


class Boot(Frozen):
    """A time-boxed boot: what the guest and QEMU said, and how QEMU ended.

    `status` is QEMU's, minus the signal that ended it, or None where its time was up.
    """

    status: int | None
    signal: str = ""
    seconds: float
    console: str
    words: tuple[str, ...]
    evidence: str


class Trial(Frozen):
    """All that was seen of an accelerator; without a boot there is an obstacle, or the device's."""

    accelerator: str
    binary: str = ""
    version: str = ""
    device: DeviceFacts | None = None
    obstacle: Obstacle | None = None
    boot: Boot | None = None
    remembered: bool = False


class Disk(Frozen):
    """A folder on a disk: how much is free there, and how much a run takes."""

    name: str
    path: str
    free_bytes: int
    wanted_bytes: int


class HostFacts(Frozen):
    """What else a run needs of a host.

    `compilers` have the first line of --version, empty where there is none;
    `unreachable` says why Debian's archive did not answer, where it was asked;
    `unconfined` why no sandbox can be made.  The main job needs what is `missing`,
    other machines and the tests what is `wanting`.
    """

    compilers: dict[str, str]
    kernels: tuple[str, ...]
    unreachable: str = ""
    disks: tuple[Disk, ...]
    unconfined: str = ""
    missing: tuple[Package, ...] = ()
    wanting: tuple[Package, ...] = ()


Topic = Literal[
    "accelerators", "devices", "QEMU", "compilers", "kernel sources", "disk", "sandbox", "packages"
]


class Finding(Frozen):
    """What is said of one thing: good or not, why, where the evidence lies, what to do.

    The main job cannot do without what is `needed`; `stage` is where an
    accelerator failed, `seconds` what its boot took, `remembered` that this was not now.
    """

    topic: Topic
    name: str
    good: bool
    needed: bool = False
    said: str
    stage: Stage | None = None
    seconds: float | None = None
    remembered: bool = False
    details: tuple[str, ...] = ()
    evidence: str = ""
    advice: str = ""


class Diagnosis(Frozen):
    """All findings, whether the host can do the main job, and the facts behind them."""

    schema_version: Literal[1] = 1
    able: bool
    headline: str
    findings: tuple[Finding, ...]
    trials: tuple[Trial, ...] = ()
    facts: HostFacts | None = None


class Choice(Frozen):
    """Which machine is played, and why that one."""

    asked: str
    machine: str
    reason: str
