# SPDX-License-Identifier: MIT
"""What sysfs says of PMUs: of two of our guests, and what a kernel might say instead."""

import pytest

from harness.guest.pmu_records import Attribute
from harness.model import Status
from tests.unit.changes import a, every, fault, judge, nth, without

ARM64, X86_64 = "6.12/attributes", "6.12@x86_64-tcg/attributes"
CHECK = "kernel.attributes"


def _said(name: str):
    return a(Attribute, pmu="hardware", name=name)


@pytest.mark.parametrize("guest", [ARM64, X86_64])
def test_two_kernels_say_what_they_should(observe, guest):
    verdict = judge(CHECK, observe(guest), observe(guest))
    assert verdict.status is Status.PASS
    assert verdict.metrics["events"] >= 7


@pytest.mark.parametrize(
    ("guest", "name", "value", "said"),
    [
        (ARM64, "format/event", "config:0-a", "format/event is no format: config:0-a"),
        (X86_64, "format/umask", "config:7-14", "has bit 7 of config, which event has"),
        (X86_64, "events/cpu-cycles", "event=0x1076", "event=0x1076 does not fit into config:0-7"),
        (X86_64, "events/cpu-cycles", "evnt=0x76", "evnt=0x76 is of no format"),
        (ARM64, "events/cpu_cycles", "", " is of no format"),
    ],
)
def test_what_is_malformed(observe, guest, name, value, said):
    assert said in fault(CHECK, observe(guest, every(_said(name), value=value)))


def test_what_changes_from_one_look_to_the_next(observe):
    changed = observe(ARM64, nth(1, _said("cpus"), value="1"))
    assert "hardware/cpus was 0, and later 1" in fault(CHECK, changed)


def test_what_the_reference_says_otherwise(observe):
    cycles = _said("events/cpu_cycles")
    other = observe(ARM64, every(cycles, value="event=0x0010"))
    said = judge(CHECK, other, observe(ARM64)).evidence
    assert said == ("hardware/events/cpu_cycles is event=0x0010, of the reference event=0x0011",)
    gone = judge(CHECK, observe(ARM64, without(cycles)), observe(ARM64)).evidence
    assert gone == ("hardware/events/cpu_cycles is not there, of the reference event=0x0011",)
    assert judge(CHECK, observe(ARM64), observe(ARM64, without(cycles))).status is Status.PASS


def test_nobody_looked(observe):
    nothing = observe(ARM64, without(a(Attribute)))
    assert judge(CHECK, nothing).status is Status.INCONCLUSIVE


def test_what_is_asked_for_by_name_may_change(observe):
    """The ranges of addresses of whoever was told last; and the reference's were the same."""
    filters = "6.12/address-filters"
    assert judge(CHECK, observe(filters), observe(filters)).status is Status.PASS
    assert judge(CHECK, observe(filters)).status is Status.PASS
    for number, value in ((0, "1000+100"), (1, ""), (2, "400000+200"), (3, "400000+10 400040+0")):
        wrong = nth(number, a(Attribute, name="ranges"), value=value)
        assert "the PMU was told" in fault(CHECK, observe(filters, wrong))
    moved = nth(2, a(Attribute, name="ranges"), value="500100+200")
    said = judge(CHECK, observe(filters, moved), observe(filters)).evidence
    assert len(said) == 1
    assert "500100+200, then" in said[0]
