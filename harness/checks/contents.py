# SPDX-License-Identifier: MIT
"""Contents: what samples say of where they were taken, and the traps that stand for them."""

from itertools import pairwise

from harness.checks.adjustments import event_names
from harness.checks.base import (
    FEW,
    Check,
    Observation,
    Property,
    inconclusive,
    milliseconds,
    named,
    verdict,
)
from harness.checks.points import events
from harness.guest.aux_records import WORD
from harness.guest.pmu_records import Answered, Cgroup
from harness.guest.records import Event, Read, Sample, Signals
from harness.model import Status, Verdict

CONTENTS = "sampling.contents"
SIGTRAP = "sampling.sigtrap"

_SOFTWARE, _BREAKPOINT = 1, 5
# PERF_RECORD_MISC_KERNEL and _USER, and what a call chain of each begins with
# (PERF_CONTEXT_KERNEL, PERF_CONTEXT_USER): include/uapi/linux/perf_event.h.
_CONTEXTS = {1: 2**64 - 128, 2: 2**64 - 512}
_USER = 2
# What guest-images/probes/script.c asks for.
_REGISTERS, _STACK, _TRACED = 8, 256, 256
_PAGE = 4096
# The id of the cgroup that has all tasks in the beginning (cgroup_id()).
_ROOT = 1
# What every tracepoint has: struct trace_entry in include/linux/trace_events.h.
_TRACE_ENTRY = 8
# PERF_MEM_NA in include/linux/perf_event.h, without what later kernels have more.
_NO_SOURCE = 0x5080021


def _place(sample: Sample, wanted: tuple[str, ...]) -> str:
    """What is wrong with where a sample says it was."""
    if sample.mode not in _CONTEXTS:
        return f"is of mode {sample.mode}, neither the kernel's nor the user's"
    kernel = sample.ip >= 2**63
    if "ip" in wanted and (not sample.ip or kernel == (sample.mode == _USER)):
        return f"is of mode {sample.mode}, at {sample.ip:#x}"
    if "chain" in wanted:
        begin = (_CONTEXTS[sample.mode], *((sample.ip,) if "ip" in wanted else ()))
        if sample.chain[: len(begin)] != begin:
            return f"at {sample.ip:#x} has the chain {', '.join(map(hex, sample.chain[:3]))}"
    return ""


def _dump(sample: Sample, wanted: tuple[str, ...]) -> str:
    """What is wrong with the registers or the stack of a task in a sample."""
    for part, number in (("registers", sample.registers), ("interrupted", sample.interrupted)):
        if part in wanted and number != _REGISTERS:
            return f"has {number} registers, not {_REGISTERS}"
    if "stack" in wanted and not 0 < sample.stack <= _STACK:
        return f"has {sample.stack} bytes of the stack, not up to {_STACK}"
    return ""


def _memory(sample: Sample, wanted: tuple[str, ...]) -> str:
    """What is wrong with what a sample says of the memory that was touched, in user space.

    perf_virt_to_phys() and perf_get_page_size() in kernel/events/core.c.
    """
    inside = _PAGE - 1
    if "physical" in wanted and (
        not sample.physical or sample.physical & inside != sample.address & inside
    ):
        return f"has the physical address {sample.physical:#x} of {sample.address:#x}"
    pages = (sample.data_page, *((sample.code_page,) if sample.mode == _USER else ()))
    if "pages" in wanted and set(pages) != {_PAGE}:
        return f"is of pages of {' and '.join(map(str, pages))} bytes, not of {_PAGE}"
    return ""


def _beside(sample: Sample, wanted: tuple[str, ...]) -> str:
    """What is wrong with what the event's own PMU, or another event of the group, has to say."""
    hints = (sample.weight, sample.transaction, sample.source & _NO_SOURCE)
    if "hints" in wanted and hints != (0, 0, _NO_SOURCE):
        return f"knows of hardware: {', '.join(map(hex, hints))}"
    if "raw" in wanted and (sample.raw < _TRACE_ENTRY or (sample.raw + 4) % 8):
        return f"has {sample.raw} bytes of its tracepoint"
    whole = (_TRACED // WORD, 0)
    if "aux" in wanted and (sample.aux.number, sample.aux.breaks) != whole:
        return f"has {sample.aux.number} traced words, {sample.aux.breaks} out of order"
    return ""


def _cgroups(observation: Observation, taken: list[Sample]) -> list[str]:
    """A sample is of the cgroup that its task joined last; of who joined none, of all tasks'."""
    joined = sorted(observation.records.of(Cgroup), key=lambda record: record.time)
    faults = []
    for sample in taken:
        before = [r.id for r in joined if r.tid == sample.tid and r.time < sample.time]
        wanted = before[-1] if before else _ROOT
        if sample.cgroup != wanted:
            faults.append(
                f"the sample at {milliseconds(sample.time)} is of cgroup {sample.cgroup}, "
                f"not {wanted}"
            )
    return faults


def _addresses(event: Event, taken: list[Sample]) -> list[str]:
    """A breakpoint is touched where it is; each page is faulted in once."""
    found = [sample.address for sample in taken]
    faults = [f"{found.count(0)} samples without an address"] if 0 in found else []
    if event.type == _BREAKPOINT and len(set(found)) > 1:
        faults.append(f"{len(set(found))} addresses of one breakpoint")
    if event.type == _SOFTWARE and event.period == 1:
        same = sum(before >> 12 == after >> 12 for before, after in pairwise(found))
        faults += [f"{same} pages that were faulted in twice"] if same else []
    return faults


_LOOKS = (_place, _dump, _memory, _beside)


def judge_contents(observation: Observation, _: Observation | None) -> Verdict:
    """Address, mode, chain, registers and stack of a sample fit each other, and the event.

    perf_prepare_sample(), perf_callchain(), perf_sample_regs_user() and perf_output_sample_ustack()
    in kernel/events/.
    """
    expected = "the mode of its address, the chain from there, all registers, what was touched"
    names = event_names(observation.records)
    specs = observation.scenario.specs
    faults, judged = [], 0
    for event in events(observation).values():
        wanted = specs[event.name].sample if event.name in specs else ()
        taken = [sample for sample in observation.records.of(Sample) if sample.id == event.id]
        if not wanted or not taken:
            continue
        judged += len(taken)
        name = named(names, event.id)
        for sample in taken:
            wrong = next(filter(None, (look(sample, wanted) for look in _LOOKS)), "")
            if wrong:
                faults.append(f"{name}: the sample at {milliseconds(sample.time)} {wrong}")
        if "address" in wanted:
            faults += [f"{name}: {wrong}" for wrong in _addresses(event, taken)]
        if "cgroup" in wanted:
            faults += [f"{name}: {wrong}" for wrong in _cgroups(observation, taken)]
    if not judged:
        return inconclusive(CONTENTS, "no sample has more than all have", expected)
    return verdict(
        CONTENTS,
        faults,
        measured=f"{judged} samples, {len(faults)} faults",
        expected=expected,
        metrics={"samples": judged, "faults": len(faults)},
    )


def judge_sigtrap(observation: Observation, _: Observation | None) -> Verdict:
    """With sigtrap each overflow is one SIGTRAP of the task, with the event's own data.

    __perf_event_overflow() leaves it to perf_pending_task(), before user space goes on.
    """
    expected = "a SIGTRAP for each period"
    names = event_names(observation.records)
    specs = observation.scenario.specs
    said = {signals.id: signals.arrived for signals in observation.records.of(Signals)}
    counts: dict[int, int] = {}
    for read in observation.records.of(Read):
        counts |= dict(read.counts)
    faults, judged = [], 0
    for event in events(observation).values():
        if event.name not in specs or not specs[event.name].sigtrap or not event.period:
            continue
        owed = counts.get(event.id, 0) // event.period
        judged += owed
        if said.get(event.id, 0) != owed:
            faults.append(
                f"{named(names, event.id)} overflowed {owed} times, and gave "
                f"{said.get(event.id, 0)} SIGTRAP"
            )
    refused = [a.what for a in observation.records.of(Answered) if a.errno]
    if not judged and not faults and refused:
        # Rightly or not: that is for kernel.calls to say.
        lacking = f"the kernel has no such event: {', '.join(refused)} refused"
        return Verdict(check=SIGTRAP, status=Status.SKIP, measured=lacking, expected=expected)
    if not judged and not faults:
        return inconclusive(SIGTRAP, "no event was to trap", expected)
    return verdict(
        SIGTRAP,
        faults,
        measured=f"{judged} overflows, {len(faults)} events with other traps",
        expected=expected,
        metrics={"overflows": judged, "events": len(faults)},
    )


CHECKS = (
    Check(
        CONTENTS,
        "Does a sample say where it was taken?",
        judge_contents,
        Property("samples", most=FEW),
    ),
    Check(
        SIGTRAP,
        "Is each overflow of an event with sigtrap a signal?",
        judge_sigtrap,
        Property("overflows", most=FEW),
    ),
)
