# SPDX-License-Identifier: MIT
"""Guests by turns: the order they are booted in, and a run that ends at the first fault."""

from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from harness.cli.results import write_reports
from harness.host.progress import Progress
from harness.model import Cell, GuestEnd, Role, Status
from harness.run.conclusion import rejudge
from harness.run.folder import RunFolder
from harness.run.history import History
from harness.run.pipeline import Settings
from harness.run.turns import Turns
from tests.component.fakes import BEFORE, CLEAN

NAMES = ("a", "b", "c", "d")


class Guests:
    """Knows what is stored, and notes what happens to each."""

    def __init__(self, stored=()):
        self.stored, self.booted, self.left = set(stored), [], []

    def look(self, cell, *_):
        return cell.id in self.stored

    def boot(self, cell, *_):
        self.booted.append((cell.role.value, cell.scenario))

    def leave(self, cell, why):
        self.left.append((cell.scenario, why))


def job(name, role=Role.CANDIDATE, lines=None):
    cell = Cell(subject=role.value, role=role, machine="m", scenario=name)
    scenario = SimpleNamespace(name=name, tool=None, trace=())
    return cell, scenario, None, SimpleNamespace(lines=lines)


def by_turns(guests, *batches, order="abcd", ended=lambda: "", jobs=1):
    over = []
    turns = Turns(guests, rank=order.index, over=lambda cell: over.append(cell.id), ended=ended)
    with ThreadPoolExecutor(jobs) as pool:
        # One that holds the pool, until all is there.
        gate = Future()
        for _ in range(jobs):
            pool.submit(gate.result)
        for batch in batches:
            turns.add(batch, pool)
        gate.set_result(None)
        turns.wait()
    return over


def test_what_is_stored_is_taken_and_the_rest_booted_in_order():
    guests = Guests(stored={"candidate/m/b"})
    over = by_turns(guests, [job(name) for name in NAMES], order="dcba")
    assert guests.booted == [("candidate", "d"), ("candidate", "c"), ("candidate", "a")]
    assert over[0] == "candidate/m/b" and len(over) == 4


def test_a_references_guest_comes_before_the_candidates_of_the_same_scenario():
    guests = Guests()
    references = [job(name, Role.REFERENCE) for name in "ab"]
    by_turns(guests, references, [job(name) for name in "ab"], order="ba")
    roles = ("reference", "candidate")
    assert guests.booted == [(role, name) for name in "ba" for role in roles]


@pytest.mark.parametrize("jobs", [1, 2, 3, 7])
def test_each_has_its_turn_however_many_at_a_time(jobs):
    guests = Guests(stored={f"candidate/m/{number}" for number in range(0, 60, 3)})
    batch = [job(str(number)) for number in range(60)]
    turns = Turns(guests, rank=int, over=lambda cell: None, ended=lambda: "")
    with ThreadPoolExecutor(jobs) as pool:
        turns.add(batch[:20], pool)
        turns.add(batch[20:], pool)
        turns.wait()
    assert len(guests.booted) == len(set(guests.booted)) == 40


def test_what_waits_for_the_line_table_holds_nobody_up():
    lines, guests = Future(), Guests()

    class Releasing(Guests):
        def boot(self, cell, *_):
            super().boot(cell)
            if not lines.done():
                lines.set_result(None)

        def look(self, cell, *_):
            assert cell.scenario == "b" or lines.done()
            return False

    guests = Releasing()
    by_turns(guests, [job("a", lines=lines), job("b")])
    assert [name for _, name in guests.booted] == ["b", "a"]


def test_where_it_is_ended_the_rest_is_left():
    guests = Guests()
    by_turns(guests, [job(name) for name in NAMES], ended=lambda: "why" if guests.booted else "")
    assert guests.booted == [("candidate", "a")]
    assert guests.left == [(name, "why") for name in "bcd"]


def test_what_a_guest_raises_is_raised():
    class Breaking(Guests):
        def boot(self, cell, *_):
            raise ValueError(cell.scenario)

    with pytest.raises(ValueError, match="a"):
        by_turns(Breaking(), [job("a")])


# --- a whole run -------------------------------------------------------------


@pytest.fixture
def several(world, monkeypatch, tmp_path):
    """The world with three scenarios that are alike, and what is said."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    rows = world.catalog.scenarios
    first = rows["cycles-task"]
    for name in ("second", "third"):
        rows[name] = first.model_copy(update={"name": name})
    (world.tree / "kernel" / "core.c").write_text(CLEAN + "\n")
    world.add_series("bad", CLEAN, BEFORE)
    world.add_series("good", CLEAN, f"print hello~{CLEAN}")
    said = []
    monkeypatch.setattr(Progress, "say", lambda self, text: said.append(text))
    world.said = said
    return world


def faults(said):
    return [text for text in said if text.startswith("FAIL")]


@pytest.mark.needs("git", "make", "cpio", "setpriv", "aarch64-linux-gnu-gcc")
def test_the_first_fault_ends_a_run_that_fails_fast(several):
    result = several(Settings(jobs=1, live=True, fail_fast=True), series="bad")
    assert result.status is Status.FAIL
    assert len(faults(several.said)) == 1
    mine = [cell for cell in result.cells if cell.cell.role is Role.CANDIDATE]
    ran = [cell for cell in mine if cell.outcome.end is not GuestEnd.NOT_STARTED]
    assert len(ran) == 1
    left = [cell for cell in result.cells if cell.outcome.end is GuestEnd.NOT_STARTED]
    scenario = ran[0].cell.scenario
    assert result.ended == f"{len(left)} of 6 guests {left[0].outcome.summary}"
    assert left[0].outcome.summary.startswith("not run: --fail-fast, after retention.")
    assert left[0].outcome.summary.endswith(f"failed in {scenario}")
    assert result.headline.startswith("6.12+bad breaks retention.")
    assert result.headline.endswith(result.ended)
    assert {one.scenario for one in result.changes} == {scenario}
    write_reports(result, several.folder)
    suite = ElementTree.parse(several.folder / "junit.xml").getroot()[0]
    cases = list(suite.iter("testcase"))
    wrong = {case.get("classname") for case in cases if case.find("failure") is not None}
    unjudged = [case for case in cases if case.get("classname") != scenario]
    assert wrong == {scenario}
    assert unjudged and all(case.find("skipped") is not None for case in unjudged)
    again = rejudge(RunFolder(several.folder))
    assert (again.status, again.headline, again.ended) == (
        result.status,
        result.headline,
        result.ended,
    )


@pytest.mark.needs("git", "make", "cpio", "setpriv", "aarch64-linux-gnu-gcc")
def test_faults_are_said_before_the_run_is_over(several):
    result = several(Settings(jobs=2, live=True), series="bad")
    assert len(faults(several.said)) == 3 and not result.ended
    assert all("retention.release" in text for text in faults(several.said))
    several.said.clear()
    assert several(Settings(live=True), series="bad").status is Status.FAIL
    assert not faults(several.said), "nothing was booted"
    result = several(Settings(fail_fast=True, live=True), series="bad")
    assert result.status is Status.FAIL and faults(several.said)


@pytest.mark.needs("git", "make", "cpio", "setpriv", "aarch64-linux-gnu-gcc")
def test_without_a_fault_nothing_is_ended(several):
    result = several(Settings(live=True, fail_fast=True), series="good")
    assert (result.ended, faults(several.said)) == ("", [])
    assert all(cell.outcome.end is GuestEnd.DONE for cell in result.cells)


@pytest.mark.needs("git", "make", "cpio", "setpriv", "aarch64-linux-gnu-gcc")
def test_the_order_is_in_no_report(several):
    """What failed before is booted first, and stands where it stood."""
    first = several(Settings(jobs=1), series="bad")
    order = [cell.cell.id for cell in first.cells]
    for cell in first.cells:
        failed = cell.cell.scenario == "third" and cell.cell.role is Role.CANDIDATE
        if not failed:
            continue
        History().record(RunFolder(several.folder).read_plan(), first, several.folder)
    again = several(Settings(jobs=1, rerun=True), series="bad")
    assert [cell.cell.id for cell in again.cells] == order
    assert [cell.verdicts for cell in again.cells] == [cell.verdicts for cell in first.cells]


def test_history_knows_who_failed_last(several, tmp_path):
    result = several(Settings(jobs=1), series="bad")
    history = History(tmp_path / "history.sqlite")
    history.record(RunFolder(several.folder).read_plan(), result, several.folder)
    assert history.failed("6.12", "aarch64-tcg") == ["cycles-task", "second", "third"]
    assert history.failed("6.1", "aarch64-tcg") == []
