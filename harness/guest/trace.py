# SPDX-License-Identifier: MIT
"""The register trace: lines of QEMU's log as records.

Their form is that of target/i386/trace-events in qemu-patches/10.0.  The values are a
guest's, the lines QEMU's own: one that has no such form is an error that shows it.
"""

import re

from harness.guest.records import RecordsError
from harness.guest.trace_records import Access, Interrupt, Overflow, Rdpmc

Traced = Access | Rdpmc | Overflow | Interrupt

_PLACE = r"cpu (?P<cpu>\d+) time (?P<time>\d+)"
_COUNTER = r"counter (?P<counter>\d+) value (?P<value>0x[0-9a-f]+)"
_MSR = r"msr (?P<msr>0x[0-9a-f]+) (?P<role>counter|select|control) (?P<counter>\d+)"
_FORMS: dict[type[Traced], re.Pattern[str]] = {
    Access: re.compile(
        rf"\w+_pmu_(?P<access>write|read) {_PLACE} {_MSR} value (?P<value>0x[0-9a-f]+)"
    ),
    Rdpmc: re.compile(rf"\w+_pmu_rdpmc {_PLACE} {_COUNTER}"),
    Overflow: re.compile(rf"\w+_pmu_overflow {_PLACE} {_COUNTER}"),
    Interrupt: re.compile(rf"\w+_pmu_interrupt {_PLACE}"),
}
_WORDS = ("access", "role")
_SHOWN = 200


def accesses(trace: bytes) -> list[Traced]:
    """The lines of a trace, in order; raises RecordsError that shows the first bad one."""
    lines = trace.decode("ascii", errors="replace").splitlines()
    return [_record(number, line) for number, line in enumerate(lines, 1)]


def _record(number: int, line: str) -> Traced:
    for kind, form in _FORMS.items():
        if match := form.fullmatch(line):
            fields = match.groupdict()
            values = {k: v if k in _WORDS else int(v, 0) for k, v in fields.items()}
            return kind.model_validate(values)
    raise RecordsError(f"line {number} of the register trace is not one: {line[:_SHOWN]!r}")
