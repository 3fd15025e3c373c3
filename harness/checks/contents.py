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
from harness.guest.pmu_records import Answered
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
_REGISTERS, _STACK = 8, 256


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
    if "registers" in wanted and sample.registers != _REGISTERS:
        return f"has {sample.registers} registers, not {_REGISTERS}"
    if "stack" in wanted and not 0 < sample.stack <= _STACK:
        return f"has {sample.stack} bytes of the stack, not up to {_STACK}"
    return ""


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
            wrong = _place(sample, wanted) or _dump(sample, wanted)
            if wrong:
                faults.append(f"{name}: the sample at {milliseconds(sample.time)} {wrong}")
        if "address" in wanted:
            faults += [f"{name}: {wrong}" for wrong in _addresses(event, taken)]
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
