# SPDX-License-Identifier: MIT
"""Records of the register trace: what the machine says of its PMU's registers, typed."""

from typing import Literal

from harness.model import Frozen


class Access(Frozen):
    """A machine register of a PMU, read or written, by the register trace.

    `role` is what it is for: a counter's value, a counter's select register, or a
    control register of all.  `counter` has the kernel's numbers (hw.idx), 0 for a
    control register; `time` is the machine's virtual clock, in ns.
    """

    kind: Literal["access"] = "access"
    access: Literal["write", "read"]
    cpu: int
    time: int
    msr: int
    role: Literal["counter", "select", "control"]
    counter: int
    value: int


class Rdpmc(Frozen):
    """A counter read by RDPMC, in the kernel or in user space."""

    kind: Literal["rdpmc"] = "rdpmc"
    cpu: int
    time: int
    counter: int
    value: int


class Overflow(Frozen):
    """A counter that passed its end; `value` is what it then held."""

    kind: Literal["overflow"] = "overflow"
    cpu: int
    time: int
    counter: int
    value: int


class Interrupt(Frozen):
    """The PMU asked its CPU for an interrupt."""

    kind: Literal["interrupt"] = "interrupt"
    cpu: int
    time: int
