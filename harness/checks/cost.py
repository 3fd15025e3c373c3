# SPDX-License-Identifier: MIT
"""Cost: how many instructions, and accesses to registers, one period adjustment takes."""

from bisect import bisect_left
from collections import Counter
from itertools import pairwise
from statistics import median

from harness.checks.base import Check, NoMore, Observation, inconclusive, verdict
from harness.guest.records import Interruption
from harness.guest.trace_records import Access
from harness.model import Verdict

COST = "cost.adjustment"
REGISTERS = "cost.registers"


def _kernel_instructions(observation: Observation, phase: str) -> float | None:
    """Median of what the kernel executed in one tick: the time between two ticks,
    in cycles, less what user space executed in it.

    With an instruction clock this is exact but for the loop that sees the tick
    (10 instructions); the median over all ticks levels that out.
    """
    rate = observation.machine.cycles_per_ns
    marks = [mark for mark in observation.records.of(Interruption) if mark.phase == phase]
    taken = [
        (after.clock - before.clock) * 1_000_000_000 * rate // before.hz
        - (after.user - before.user)
        for before, after in pairwise(marks)
    ]
    return median(taken) if taken else None


def adjustment_cost(observation: Observation) -> float | None:
    """Instructions by which a tick is longer that adjusts one event; None if not measured."""
    baseline = _kernel_instructions(observation, "baseline")
    adjusting = _kernel_instructions(observation, "adjusting")
    if baseline is None or adjusting is None:
        return None
    return adjusting - baseline


def _user_speed(observation: Observation, phase: str) -> float | None:
    """Median of the cycles that user space had of a nanosecond, from one tick to the next."""
    marks = [mark for mark in observation.records.of(Interruption) if mark.phase == phase]
    speeds = [
        (after.user - before.user) * before.hz / ((after.clock - before.clock) * 1_000_000_000)
        for before, after in pairwise(marks)
        if after.clock > before.clock
    ]
    return median(speeds) if speeds else None


def cost_of_adjustment(observation: Observation) -> dict[str, float]:
    """What one adjustment costs, in cycles: those that user space lacks in a tick of it.

    This takes no rate of cycles to time, which hardware changes as it goes, but that
    it was the same in both phases; nothing where no tick was timed.
    """
    baseline = _user_speed(observation, "baseline")
    adjusting = _user_speed(observation, "adjusting")
    if baseline is None or adjusting is None:
        return {}
    return {"cost": (baseline - adjusting) * observation.tick_ns}


def judge_cost(observation: Observation, reference: Observation | None) -> Verdict:
    """An adjustment costs no more than the reference's, within `cost_tolerance`."""
    mine = adjustment_cost(observation)
    theirs = adjustment_cost(reference) if reference else None
    if mine is None or (reference and theirs is None):
        return inconclusive(COST, "no ticks were timed", "instructions per adjustment")
    measured = f"{mine:.0f} instructions per adjustment"
    metrics: dict[str, int | float] = {"instructions": mine}
    if theirs is None:
        return verdict(
            COST, [], measured=measured, expected="(the reference's own)", metrics=metrics
        )
    tolerance = float(observation.scenario.expect.get("cost_tolerance", 0))
    most = theirs * (1 + tolerance)
    change = mine - theirs
    metrics |= {"reference": theirs, "change": change}
    return verdict(
        COST,
        [f"{change:+.0f} instructions against the reference's {theirs:.0f}"] if mine > most else [],
        measured=f"{measured} ({change:+.0f})",
        expected=f"at most {most:.0f} (reference {theirs:.0f})",
        metrics=metrics,
    )


def _accesses(observation: Observation, phase: str, access: str) -> Counter[str] | None:
    """The tick with the median number of writes or reads, as how many there were of each kind.

    A tick's are those between two interruptions.  Their clock is the trace's: with an
    instruction clock a guest's TSC counts the nanoseconds of the machine's virtual
    clock.  (`hz` is what the kernel has calibrated, and a little off.)
    """
    records = observation.records
    clocks = [mark.clock for mark in records.of(Interruption) if mark.phase == phase]
    ticks: list[Counter[str]] = [Counter() for _ in clocks]
    for one in records.of(Access):
        if one.access == access and clocks and clocks[0] < one.time <= clocks[-1]:
            ticks[bisect_left(clocks, one.time)][one.role] += 1
    # The first mark ends no tick: what came before it is not known.
    ticks = sorted(ticks[1:], key=lambda tick: (tick.total(), sorted(tick.items())))
    return ticks[(len(ticks) - 1) // 2] if ticks else None


def adjustment_accesses(observation: Observation, access: str) -> Counter[str] | None:
    """The writes or reads by which a tick has more that adjusts one event, of each kind.

    None if no tick was timed, or no register traced: an adjustment takes some.
    """
    baseline = _accesses(observation, "baseline", access)
    adjusting = _accesses(observation, "adjusting", access)
    if baseline is None or adjusting is None or not observation.records.of(Access):
        return None
    adjusting.subtract(baseline)
    return adjusting


def writes_of_adjustment(observation: Observation) -> dict[str, float]:
    """How many registers one adjustment writes; nothing where none was traced."""
    writes = adjustment_accesses(observation, "write")
    return {} if writes is None else {"cost": writes.total()}


def _of_kinds(writes: Counter[str]) -> str:
    """Such as `6 writes: 5 select, 1 counter`."""
    kinds = ", ".join(f"{number} {kind}" for kind, number in writes.most_common() if number)
    return f"{writes.total()} writes" + (f": {kinds}" if kinds else "")


def judge_cost_registers(observation: Observation, reference: Observation | None) -> Verdict:
    """An adjustment writes no more registers than the reference's.

    A write of an MSR serializes the CPU, and leaves a virtual machine; the instruction
    cost has it as one instruction.  The numbers are exact, so nothing is tolerated.
    Reads are told, but not judged: those by RDPMC are not among them.
    """
    mine = adjustment_accesses(observation, "write")
    theirs = adjustment_accesses(reference, "write") if reference else None
    reads = adjustment_accesses(observation, "read")
    if mine is None or reads is None or (reference and theirs is None):
        return inconclusive(REGISTERS, "no registers of ticks were traced", "writes per adjustment")
    writes = mine.total()
    metrics: dict[str, int | float] = {"writes": writes, "reads": reads.total()}
    if theirs is None:
        expected = "(the reference's own)"
        return verdict(REGISTERS, [], measured=_of_kinds(mine), expected=expected, metrics=metrics)
    most = theirs.total()
    metrics |= {"reference": most, "change": writes - most}
    faults = [f"{_of_kinds(mine)}; the reference's are {_of_kinds(theirs)}"]
    return verdict(
        REGISTERS,
        faults if writes > most else [],
        measured=f"{_of_kinds(mine)} ({writes - most:+d})",
        expected=f"at most {_of_kinds(theirs)}",
        metrics=metrics,
    )


CHECKS = (
    Check(
        COST,
        "What does one adjustment cost, in guest instructions?",
        judge_cost,
        NoMore(cost_of_adjustment, "cycles"),
    ),
    Check(
        REGISTERS,
        "What does one adjustment cost, in register writes?",
        judge_cost_registers,
        NoMore(writes_of_adjustment, "writes"),
    ),
)
