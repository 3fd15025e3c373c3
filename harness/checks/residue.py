# SPDX-License-Identifier: MIT
"""Residue: what was opened is gone after the last close, in perf's books and in the hardware."""

from harness.checks.adjustments import event_names
from harness.checks.base import (
    ANY,
    Check,
    Observation,
    Property,
    inconclusive,
    milliseconds,
    named,
    verdict,
)
from harness.checks.stays import NEVER, event_calls, stays
from harness.guest.callback_records import Observer, State
from harness.model import Verdict

RESIDUE = "kernel.residue"


def _left_on_counters(observation: Observation) -> list[str]:
    """Events that were added to a PMU, and never taken off."""
    names = event_names(observation.records)
    return [
        f"{named(names, event)} is still on CPU {stay.cpu}, where it was put at "
        f"{milliseconds(stay.begin)}"
        for event, found in stays(observation).items()
        for stay in found
        if stay.end == NEVER
    ]


def _differences(before: State, after: State) -> list[str]:
    """What is another number than before."""
    faults = [
        f"{name} was {was}, and is {after.counts.get(name, 0)} when all is closed"
        for name, was in before.counts.items()
        if after.counts.get(name, 0) != was
    ]
    cpus = {cpu.cpu: cpu for cpu in before.cpus}
    for cpu in after.cpus:
        was = cpus.get(cpu.cpu)
        # Not `interrupts`: x86 leaves that bit to a counter that it disables
        # (x86_pmu_disable_event()), and without the enable bit it does nothing.
        for kind in ("events", "counters", "enabled"):
            then, now = getattr(was, kind) if was else 0, getattr(cpu, kind)
            if now != then:
                faults.append(
                    f"{kind} of CPU {cpu.cpu} were {then:#x}, and are {now:#x} when all is closed"
                )
    return faults


def judge_residue(observation: Observation, _: Observation | None) -> Verdict:
    """When a scenario's programs have ended, no event of theirs is left anywhere.

    Neither on a counter, by the callback log, nor in the kernel's numbers of events
    (account_event() and unaccount_event() in kernel/events/core.c), its contexts, the pages
    charged for rings, the driver's counters or the hardware's enable bits.
    """
    expected = "no event on a counter, all numbers what they were before"
    records = observation.records
    if not records.all or (observation.scenario.observe and not records.of(Observer)):
        return inconclusive(RESIDUE, "no one looked", expected)
    faults = _left_on_counters(observation)
    states = {state.when: state for state in records.of(State)}
    if len(states) == 2:
        faults += _differences(states["before"], states["after"])
    numbers = sum(len(state.counts) + 3 * len(state.cpus) for state in states.values()) // 2
    return verdict(
        RESIDUE,
        faults,
        measured=f"{len(event_calls(observation))} events gone, {numbers} numbers as before",
        expected=expected,
        metrics={"numbers": numbers, "left": len(faults)},
    )


CHECKS = (
    Check(
        RESIDUE,
        "Is nothing left of what was opened?",
        judge_residue,
        Property("numbers", most=ANY),
    ),
)
