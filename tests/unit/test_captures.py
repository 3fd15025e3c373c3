# SPDX-License-Identifier: MIT
"""Each check on each capture of our own guests, and on nothing at all."""

import json

import pytest

from harness.ask.catalog import Catalog
from harness.checks import ALWAYS, CHECKS
from harness.guest.records import Records, Refused
from harness.model import Status
from tests.conftest import CAPTURES, captured, place_of
from tests.unit.changes import judge, undecided

CATALOG = Catalog()
CLEAN = sorted(
    f"{path.parent.name}/{path.name.partition('.jsonl')[0]}"
    for path in CAPTURES.glob("*/*.jsonl.gz")
    if "+" not in path.parent.name
)
JUDGED = [
    (name, check)
    for name in CLEAN
    for row in [CATALOG.scenarios[name.partition("/")[2]]]
    for check in (*(ALWAYS if row.speaks_of_calls else ()), *row.checks)
    if not name.endswith("/branches")
]


@pytest.mark.parametrize(("name", "check"), JUDGED)
def test_every_capture_is_judged_clean(observe, name, check):
    """A clean kernel passes, or fails for a known defect and for nothing else."""
    kernel, machine, scenario = place_of(name)
    verdict = judge(check, observe(name), observe(name))
    row = CATALOG.machines[machine]
    errata = [e for e in CATALOG.errata.values() if e.concerns(scenario, check, kernel, row)]
    known = verdict.evidence and all(
        any(erratum.explains(line) for erratum in errata) for line in verdict.evidence
    )
    assert verdict.status is (Status.FAIL if known else Status.PASS), verdict
    assert verdict.measured and verdict.expected
    assert bool(verdict.evidence) is bool(known)


def test_every_check_is_judged():
    """Those of the tools are in tests/unit/test_tool_checks.py, of rings in test_rings.py."""
    made = {check for check in CHECKS if check.startswith(("tool.", "buffer.", "records."))}
    made |= {"sampling.contents", "sampling.sigtrap"}
    assert {check for _, check in JUDGED} | made == CHECKS.keys()


@pytest.mark.parametrize("kernel", ["6.1", "6.12"])
def test_a_capture_without_the_event_says_so(load, kernel):
    records = load(f"{kernel}/branches")
    assert records.complete
    assert [refused.name for refused in records.of(Refused)] == ["target"]


@pytest.mark.parametrize("check", CHECKS)
def test_nothing_recorded_decides_nothing(observe, check):
    """Of each scenario that asks it; a guest that stopped early has no records."""
    asking = [name for name, row in CATALOG.scenarios.items() if check in (*ALWAYS, *row.checks)]
    for scenario in asking:
        assert undecided(check, observe(Records([]), scenario=scenario))


@pytest.mark.parametrize("name", CLEAN)
def test_a_capture_is_as_the_guest_wrote_it(load, name):
    """Nothing was cut out or edited: the log is whole, and each line is the guest's."""
    lines = captured(name).splitlines()
    records = load(name)
    assert records.complete and len(lines) == len(records.all)
    kinds = [json.loads(line)["kind"] for line in lines]
    observers = [json.loads(line) for line in lines if '"kind":"observer"' in line.decode()]
    assert kinds.count("callback") == sum(log["kept"] for log in observers)
    assert all(log["kept"] == log["calls"] for log in observers)
