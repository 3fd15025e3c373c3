# SPDX-License-Identifier: MIT
"""The pytest plugin: a plan's checks as tests, whose run is a stored one here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from junitparser import JUnitXml

from harness.pytest_plugin import parsed

ROOT = Path(__file__).parents[2]
# A plan of two scenarios; what carries it out notes which were asked for.
CONFTEST = """\
from pathlib import Path
from harness.ask.catalog import Catalog
from harness.model import Role, Status
from harness.pytest_plugin import Suite
from tests.unit.test_forwarded import cell, result_of, verdict

NAMES = ("cycles-task", "period-ioctl")

def scenarios(self):
    rows = (Catalog().scenarios[name] for name in NAMES)
    return [row.model_copy(update={"checks": ("retention.release",)}) for row in rows]

def carry_out(self, asked):
    with open("asked", "a") as file:
        file.write(" ".join(asked.scenarios) + "\\n")
    health, release = "kernel.health", "retention.release"
    cells = []
    for name in asked.scenarios:
        bad = Status.FAIL if name == "period-ioctl" else Status.PASS
        before = (verdict(health, Status.PASS), verdict(release, Status.PASS))
        after = (verdict(health, Status.PASS), verdict(release, bad, "it was released"))
        cells.append(cell(Role.REFERENCE, *before, scenario=name))
        cells.append(cell(Role.CANDIDATE, *after, scenario=name))
    return result_of(cells=tuple(cells))

Suite.scenarios, Suite.carry_out = scenarios, carry_out
"""


@pytest.fixture
def run(tmp_path):
    """Run pytest with a plan in a folder: (its status, what it said, which scenarios ran)."""
    (tmp_path / "conftest.py").write_text(CONFTEST)

    def go(*words, plan="--patch x"):
        command = [sys.executable, "-m", "pytest", "-p", "harness.pytest_plugin"]
        command += ["-p", "no:cacheprovider", "-p", "no:randomly", "--rootdir", str(tmp_path)]
        command += ["-c", os.devnull, "--confcutdir", str(tmp_path), "-rA"]
        command += [*(["--pmu-plan", plan] if plan else []), *words]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
        done = subprocess.run(
            command, cwd=tmp_path, env=env, check=False, capture_output=True, text=True
        )
        asked = tmp_path / "asked"
        ran = asked.read_text().splitlines() if asked.exists() else []
        asked.unlink(missing_ok=True)
        return done.returncode, done.stdout + done.stderr, ran

    (tmp_path / "x").write_text("a patch")
    return go


def test_each_check_of_each_scenario_is_a_test(run):
    status, said, ran = run()
    assert status == 1, said
    assert ran == ["cycles-task period-ioctl"]
    assert "PASSED pmu::cycles-task::retention.release" in said
    assert "FAILED pmu::period-ioctl::retention.release" in said
    assert "it was released" in said and "repeat: ./pmu-harness run" in said
    assert "Traceback" not in said
    # kernel.calls, which this run's result does not have.
    assert "3 passed" in said and "2 skipped" in said


def test_only_what_is_selected_is_run(run):
    status, said, ran = run("-k", "cycles-task and retention")
    assert (status, ran) == (0, ["cycles-task"]), said
    assert "1 passed" in said


def test_with_x_a_scenario_is_run_when_it_is_reached(run):
    assert run("-x")[2] == ["cycles-task", "period-ioctl"]


def test_nothing_is_run_to_collect(run):
    status, said, ran = run("--collect-only", "-q")
    assert (status, ran) == (0, [])
    assert "pmu::cycles-task::kernel.health" in said


def test_pytests_own_junit_has_them(run, tmp_path):
    run("--junitxml", str(tmp_path / "out.xml"))
    (suite,) = JUnitXml.fromfile(str(tmp_path / "out.xml"))
    assert (suite.tests, suite.failures, suite.skipped) == (26, 1, 22)


def test_without_a_plan_pytest_is_as_it_was(run, tmp_path):
    (tmp_path / "test_mine.py").write_text("def test_mine(): pass\n")
    status, said, ran = run(plan="")
    assert (status, ran) == (0, []) and "1 passed" in said
    status, said, _ = run("test_mine.py", "-k", "mine or cycles-task")
    assert "test_mine.py::test_mine" in said and "pmu::cycles-task::retention.release" in said


def test_options_that_are_none_are_an_error_of_usage(run):
    status, said, _ = run(plan="--pach x")
    assert status == 4 and "--pmu-plan: No such option" in said
    with pytest.raises(pytest.UsageError):
        parsed("--scenario")
