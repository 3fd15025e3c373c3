# SPDX-License-Identifier: MIT
"""Verdicts that are not found out twice, and never believed where anything is another."""

import json
import shutil
import subprocess
import sys

import pytest

from harness.ask.catalog import ROOT
from harness.ask.plan import make_plan
from harness.cli.results import write_reports
from harness.guest.files import OUTCOME, RECORDS
from harness.host import memory
from harness.host.memory import Memory
from harness.host.store import Cache
from harness.model import Claim, Erratum, GuestEnd, Outcome, Role, Status, Subject
from harness.report import html
from harness.run import concluded as concluded_module
from harness.run import conclusion, judged
from harness.run.concluded import concluded
from harness.run.folder import RunFolder
from harness.run.guests import take
from harness.run.judged import JUDGED, Judge
from tests.conftest import captured

DONE = Outcome(end=GuestEnd.DONE, stage="batch", summary="done")
SCENARIOS = ("cycles-task", "flexible", "cost-cycles")


@pytest.fixture
def plan(catalog):
    """A kernel that lost its counters against one that keeps them."""

    def make(errata=(), version="6.12", **changed):
        def subject(name):
            return Subject(name=name, source="debian:6.12", version=version, patches=())

        rows = [catalog.scenarios[name] for name in SCENARIOS]
        return make_plan(
            source="debian:6.12",
            series="",
            claim=Claim(),
            candidate=subject("6.12+pre-callbacks"),
            reference=subject("6.12"),
            machine=catalog.machines["aarch64-tcg"],
            scenarios=tuple(row.model_copy(update=changed) for row in rows),
            errata=errata,
        )

    return make


@pytest.fixture
def place(tmp_path, plan):
    """A run's folder in which all guests are over, with the stored observations beside it."""
    folder = RunFolder(tmp_path / "run")
    stored = {}
    for cell in plan().cells:
        stored[cell.id] = tmp_path / "observations" / cell.id.replace("/", "-")
        stored[cell.id].mkdir(parents=True)
        (stored[cell.id] / RECORDS).write_bytes(captured(f"{cell.subject}/{cell.scenario}"))
        (stored[cell.id] / OUTCOME).write_text(DONE.model_dump_json())
        take(stored[cell.id], folder.cell(cell))
    return folder, stored


@pytest.fixture
def asked(monkeypatch):
    """The cells that were judged since one looked last."""
    seen = []

    def judge(plan, folder, cells):
        cells = list(cells)
        seen.extend(cell.id for cell in cells)
        return judged_before(plan, folder, cells)

    judged_before = judged._judge
    monkeypatch.setattr(judged, "_judge", judge)

    def since():
        found = list(seen)
        seen.clear()
        return found

    return since


def all_of(plan):
    return [cell.id for cell in plan.cells]


def test_what_was_said_is_known(place, plan, asked):
    folder, stored = place
    first = Judge(plan(), folder, stored, reused=stored).all()
    assert asked() == all_of(plan())
    again = Judge(plan(), folder, stored, reused=stored).all()
    assert (again, asked()) == (first, [])
    candidate = next(cell for cell in plan().cells if cell.role is Role.CANDIDATE)
    said = {verdict.check: verdict.status for verdict in again[candidate.id].verdicts}
    assert said["retention.release"] is Status.FAIL


def test_what_was_booted_is_judged_anew(place, plan, asked):
    folder, stored = place
    Judge(plan(), folder, stored, reused=stored).all()
    asked()
    Judge(plan(), folder, stored, reused=()).all()
    assert asked() == all_of(plan())


EXCUSED = {"any": ("cost.adjustment",)}
ERRATUM = Erratum(name="e", what="w", source="s", excuses=EXCUSED, matching="")


@pytest.mark.parametrize(
    "changed",
    [{"errata": (ERRATUM,)}, {"version": "6.1"}, {"checks": ("retention.release",)}, {"cpus": 2}],
    ids=["erratum", "release", "checks", "scenario"],
)
def test_another_erratum_release_or_scenario_is_judged_anew(place, plan, asked, changed):
    folder, stored = place
    Judge(plan(), folder, stored, reused=stored).all()
    asked()
    Judge(plan(**changed), folder, stored, reused=stored).all()
    assert asked() == all_of(plan())


def test_other_checks_code_is_judged_anew(place, plan, asked, monkeypatch):
    folder, stored = place
    Judge(plan(), folder, stored, reused=stored).all()
    asked()
    monkeypatch.setattr(judged, "code", lambda *below: "another")
    Judge(plan(), folder, stored, reused=stored).all()
    assert asked() == all_of(plan())


@pytest.mark.parametrize("role", list(Role))
def test_other_bytes_are_judged_anew(place, plan, asked, role):
    """The candidate's verdicts are of its reference as well."""
    folder, stored = place
    Judge(plan(), folder, stored, reused=stored).all()
    asked()
    costs = [cell for cell in plan().cells if cell.scenario == "cost-cycles"]
    cell = next(cell for cell in costs if cell.role is role)
    (folder.cell(cell) / RECORDS).write_bytes(captured("6.1/cost-cycles"))
    Judge(plan(), folder, stored, reused=stored).all()
    mine = [one.id for one in costs]
    assert asked() == (mine if role is Role.REFERENCE else [cell.id])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file, other: file.write_bytes(b""),
        lambda file, other: file.write_bytes(file.read_bytes()[:-1]),
        lambda file, other: file.write_bytes(file.read_bytes().replace(b'"fail"', b'"pass"')),
        lambda file, other: shutil.copyfile(other, file),
    ],
    ids=["empty", "cut", "edited", "another cell's"],
)
def test_what_is_not_whole_or_anothers_is_judged_anew(place, plan, asked, spoil):
    folder, stored = place
    first = Judge(plan(), folder, stored, reused=stored).all()
    asked()
    one, other = (cell for cell in plan().cells if cell.scenario == "cycles-task")
    cell, other = (one, other) if one.role is Role.CANDIDATE else (other, one)
    (file,), (others,) = (stored[name.id].glob(f"{JUDGED}*") for name in (cell, other))
    spoil(file, others)
    assert Judge(plan(), folder, stored, reused=stored).all() == first
    assert asked() == [cell.id]


def test_what_was_said_goes_into_no_runs_folder(place, plan, tmp_path):
    folder, stored = place
    Judge(plan(), folder, stored, reused=stored).all()
    cell = plan().cells[0]
    assert list(stored[cell.id].glob(f"{JUDGED}*"))
    take(stored[cell.id], tmp_path / "taken")
    assert {path.name for path in (tmp_path / "taken").iterdir()} == {RECORDS, OUTCOME}


def test_of_one_observation_only_the_last_are_kept(place, plan, monkeypatch):
    folder, stored = place
    monkeypatch.setattr(judged, "_KEPT", 2)
    for number in range(4):
        monkeypatch.setattr(judged, "code", lambda *below, number=number: str(number))
        Judge(plan(), folder, stored, reused=stored).all()
    assert {len(list(path.glob(f"{JUDGED}*"))) for path in stored.values()} == {2}


def test_processes_say_what_one_does(place, plan, monkeypatch):
    folder, _ = place
    alone = Judge(plan(), folder).all()
    monkeypatch.setattr(judged, "_FEW", 1)
    monkeypatch.setattr(judged.os, "cpu_count", lambda: 2)
    assert Judge(plan(), folder).all() == alone


def test_all_that_a_verdict_is_made_by_is_in_its_digest():
    code = "import sys, harness.verdict.judge as j; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    names = [name for name in done.stdout.split() if name.startswith("harness.")]
    paths = {name: name.removeprefix("harness.").replace(".", "/") for name in names}
    empty = {"guest", "host"}

    def covered(path):
        return any(f"{path}.py" == one or f"{path}/".startswith(f"{one}/") for one in judged.CODE)

    assert [name for name, path in paths.items() if path not in empty and not covered(path)] == []


# --- memories ----------------------------------------------------------------


@pytest.fixture
def remembered(tmp_path):
    """Ask for a value: (what is known, how often it was found out)."""
    found = []

    def ask(key="k"):
        def find():
            found.append(key)
            return {"found": len(found)}

        return Memory(Cache(tmp_path)).known("kind", key, "of", find), len(found)

    ask.file = tmp_path / "memories" / "kind-k" / "value"
    return ask


def test_a_value_is_found_out_once(remembered):
    assert remembered() == ({"found": 1}, 1)
    assert remembered() == ({"found": 1}, 1)
    assert remembered("other") == ({"found": 2}, 2)


@pytest.mark.parametrize("content", [b"", b"\n{}", b'x\n{"found": 7}', b"\xff"])
def test_a_value_that_is_not_whole_is_found_out_again(remembered, content):
    remembered()
    remembered.file.write_bytes(content)
    assert remembered() == ({"found": 2}, 2)
    assert remembered() == ({"found": 2}, 2)


def test_anothers_value_is_found_out_again(remembered):
    remembered()
    remembered("other")
    other = remembered.file.parent.parent / "kind-other" / "value"
    shutil.copyfile(other, remembered.file)
    assert remembered() == ({"found": 3}, 3)


def test_a_cache_that_cannot_be_written_remembers_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file" / "cache")
    assert Memory(cache).known("kind", "k", "of", lambda: 1) == 1


def test_the_code_is_what_lies_there(tmp_path, monkeypatch):
    def digest(*below):
        memory.code.cache_clear()
        return memory.code(*below)

    package = tmp_path / "harness"
    shutil.copytree(ROOT / "harness", package)
    monkeypatch.setattr(memory, "PACKAGE", package)
    whole, checks = digest(), digest("checks")
    (package / "checks" / "cost.py").write_text("")
    assert digest() != whole and digest("checks") != checks
    whole, checks = digest(), digest("checks")
    (package / "report" / "report.html").write_text("")
    assert digest() != whole and digest("checks") == checks
    memory.code.cache_clear()


# --- conclusions -------------------------------------------------------------


@pytest.fixture
def conclude(place, plan, tmp_path, monkeypatch):
    """Conclude a run: (its result, whether it was judged)."""
    folder, stored = place
    judged = []

    def count(*arguments, **named):
        judged.append(1)
        return before(*arguments, **named)

    before = conclusion.conclude
    monkeypatch.setattr(conclusion, "conclude", count)

    def run(started="2026-01-01T00:00:00Z", reused=True, failures=(), **changed):
        judged.clear()
        one = plan(**changed)
        result = concluded(
            Judge(one, folder, stored, reused=stored),
            Cache(tmp_path / "cache"),
            failures=list(failures),
            command="test",
            started=started,
            seconds=1.5,
            cells={cell.id: ("again", reused, 0.0) for cell in one.cells},
            touched=None,
            watch=None,
        )
        return result, bool(judged)

    return run


def test_a_conclusion_is_known_but_for_when_it_was(conclude, place):
    folder, _ = place
    first, was_judged = conclude()
    assert was_judged
    second, was_judged = conclude(started="2027-01-01T00:00:00Z")
    assert not was_judged
    assert second == first.model_copy(update={"started": "2027-01-01T00:00:00Z"})
    assert folder.read_results() == second


@pytest.mark.parametrize(
    "changed", [{"reused": False}, {"version": "6.1"}, {"errata": (ERRATUM,)}, {"title": "t"}]
)
def test_any_other_run_is_concluded_anew(conclude, changed):
    conclude()
    assert conclude(**changed)[1]


def test_other_code_concludes_anew(conclude, monkeypatch):
    conclude()
    monkeypatch.setattr(concluded_module, "code", lambda *below: "another")
    assert conclude()[1]


def test_a_conclusion_that_was_edited_is_found_out_again(conclude, tmp_path):
    first, _ = conclude()
    (file,) = (tmp_path / "cache" / "memories").glob("conclusion-*/value")
    file.write_bytes(file.read_bytes().replace(b'"fail"', b'"pass"'))
    again, was_judged = conclude()
    assert was_judged and again == first


def test_a_plan_is_json_that_json_reads(place, plan):
    """As tools of others do."""
    folder, _ = place
    folder.path.joinpath("plan.json").write_text("")
    folder.begin(plan(), {})
    assert json.loads((folder.path / "plan.json").read_text())["source"] == "debian:6.12"


# --- reports -----------------------------------------------------------------


@pytest.fixture
def reports(conclude, place, plan, tmp_path, monkeypatch):
    """Write a run's reports: their bytes by name, and whether they were made for it."""
    folder, _ = place
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    (folder.path / "plan.json").write_text(plan().model_dump_json())
    made = []

    def count(*arguments):
        made.append(1)
        return before(*arguments)

    before = html.render
    monkeypatch.setattr(html, "render", count)

    def write(**changed):
        made.clear()
        write_reports(conclude(**changed)[0], folder.path)
        names = ("junit.xml", "report.html", "kcidb.json", "summary.md", "results.ktap")
        return {name: (folder.path / name).read_bytes() for name in names}, bool(made)

    return write


def test_reports_are_made_once(reports, place):
    folder, _ = place
    first, made = reports()
    assert made
    (folder.path / "junit.xml").write_text("edited")
    (folder.path / "report.html").unlink()
    assert reports() == (first, False)


def test_reports_say_when_their_own_run_was(reports):
    first, _ = reports()
    second, made = reports(started="2027-05-06T07:08:09Z")
    assert not made
    for name in ("junit.xml", "report.html", "kcidb.json"):
        assert second[name] == first[name].replace(b"2026-01-01T00:00:00Z", b"2027-05-06T07:08:09Z")
        assert second[name] != first[name]
    assert b"1867" not in b"".join(second.values())
    assert b'time="1.5"' in second["junit.xml"]


def test_reports_of_other_records_are_made_anew(reports, place, plan):
    """Though the verdicts are the same, what is drawn is not."""
    folder, _ = place
    reports()
    cell = plan().cells[0]
    file = folder.cell(cell) / RECORDS
    file.write_bytes(file.read_bytes().replace(b'"end"', b'"end" '))
    assert reports()[1]
