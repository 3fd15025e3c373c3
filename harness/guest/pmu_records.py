# SPDX-License-Identifier: MIT
"""Records of what the kernel answers, and of PMUs: their attributes, pages and timers, typed."""

from typing import Literal

from harness.model import Frozen


class Answered(Frozen):
    """What the kernel said to a call that it may refuse: `open EVENT`, or a step's text.

    `errno` is 0 where it did what was asked.
    """

    kind: Literal["answer"]
    what: str
    errno: int
    time: int


class EndOfFile(Frozen):
    """read(2) of a leader gave nothing: it is pinned, and found no place."""

    kind: Literal["end-of-file"]
    id: int
    time: int
    phase: int


class Page(Frozen):
    """The times of an event's mmap page, and those that a read between two looks gives.

    (page, read, page), in ns, as linux/perf_event.h has user space compute them.
    """

    kind: Literal["page"]
    id: int
    time: int
    phase: int
    index: tuple[int, int]
    enabled: tuple[int, int, int]
    running: tuple[int, int, int]


class Attribute(Frozen):
    """What a PMU's attribute in sysfs holds; the PMU `hardware` is the CPU's own."""

    kind: Literal["attribute"]
    pmu: str
    name: str
    value: str
    time: int


class Cgroup(Frozen):
    """The task `tid` joins a cgroup, whose id is what its samples have from then on."""

    kind: Literal["cgroup"]
    name: str
    id: int
    tid: int
    time: int


class Timers(Frozen):
    """How many of the kernel's timers that rotate events are running."""

    kind: Literal["timers"]
    number: int
    time: int
