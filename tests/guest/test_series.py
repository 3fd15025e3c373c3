# SPDX-License-Identifier: MIT
"""Five patches, of which the third breaks retention and the fifth repairs it, on real kernels.

What ci, compare, bisect and all reports say of them is the same.
"""

import email
import email.policy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from junitparser import JUnitXml

ROOT = Path(__file__).parents[2]
SERIES = ROOT / "tests" / "data" / "series" / "third-breaks-fifth-repairs.mbox"
# In one the counter is given up where a period is set, in the other nobody sets one.
SCENARIOS = ("cycles-task", "period-ioctl")
CHOSEN = ("--source", "debian:6.12", *(word for name in SCENARIOS for word in ("--scenario", name)))
RELEASE = "retention.release"

pytestmark = pytest.mark.needs("git", "make", "qemu-system-aarch64", "aarch64-linux-gnu-gcc")


@pytest.fixture(scope="module")
def call(tmp_path_factory):
    """Run a command with a history of its own: (exit status, what it printed)."""
    state = tmp_path_factory.mktemp("history")

    def run(*words):
        done = subprocess.run(
            [sys.executable, "-m", "harness", *map(str, words)],
            cwd=ROOT,
            env={**os.environ, "XDG_STATE_HOME": str(state)},
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture(scope="module")
def judged(call, tmp_path_factory):
    """The series, judged: (exit status, what was printed, series.json, its folder)."""
    folder = tmp_path_factory.mktemp("series")
    status, said = call("ci", SERIES, *CHOSEN, "--output", folder)
    assert (folder / "series.json").exists(), said
    return status, said, json.loads((folder / "series.json").read_text()), folder


def test_ci_names_the_patch_that_breaks_and_the_one_that_repairs(judged):
    status, said, result, _ = judged
    assert status == 1, said
    states = [step["state"] for step in result["steps"]]
    assert states == ["pass", "not run", "fail", "not run", "pass"]
    assert result["first_bad"] == 3 and result["left"] == []
    third, fifth = result["steps"][2], result["steps"][4]
    assert {"check": RELEASE, "scenarios": ["period-ioctl"], "broken_by": 3} in third["broke"]
    assert {turn["broken_by"] for turn in fifth["repaired"]} == {3}
    assert {turn["check"] for turn in fifth["repaired"]} == {t["check"] for t in third["broke"]}
    assert "breaks retention.release" in result["headline"]
    assert result["headline"].endswith("; patch 5 repairs that")
    # The fourth makes the image of the third, the fifth that of the first: nothing runs twice.
    assert result["steps"][4]["guests"] == 0


def test_all_reports_say_the_same(judged):
    _, said, result, folder = judged
    mail = email.message_from_bytes(
        (folder / "reply.eml").read_bytes(), policy=email.policy.default
    )
    assert mail["In-Reply-To"] == "<20260101.3@example.org>"
    page, body = (folder / "report.html").read_text(), " ".join(mail.get_content().split())
    summary = (folder / "summary.md").read_text()
    for shown in (" ".join(said.split()), page.replace("&#39;", "'"), body, summary):
        assert "patch 3 of 5" in shown and "breaks" in shown and RELEASE in shown
        assert "patch 5 repairs" in shown
    (suite,) = JUnitXml.fromfile(str(folder / "junit.xml"))
    assert (suite.tests, suite.failures, suite.skipped) == (5, 1, 2)
    tests = json.loads((folder / "kcidb.json").read_text())["tests"]
    broken = {turn["check"] for turn in result["steps"][2]["broke"]}
    failed = {test["path"] for test in tests if test["misc"]["change"] == "broken"}
    assert failed == {f"pmu_harness.period-ioctl.{check}" for check in broken}


def test_compare_lists_exactly_what_moved(judged, call):
    _, _, result, folder = judged
    before, bad, after = (folder / result["steps"][number]["folder"] for number in (0, 2, 4))
    status, said = call("compare", before, bad, "--json")
    assert status == 1
    moved = {(one["scenario"], one["check"]) for one in json.loads(said)["changes"]}
    assert moved == {("period-ioctl", turn["check"]) for turn in result["steps"][2]["broke"]}
    status, said = call("compare", before, after, "--json")
    assert status == 0
    found = json.loads(said)
    assert (found["changes"], found["numbers"]) == ([], [])


def test_a_baseline_and_the_history_know_it(judged, call):
    _, _, result, folder = judged
    good, bad = (folder / result["steps"][number]["folder"] for number in (0, 2))
    assert call("baseline", "save", good)[0] == 0
    assert "6.12 on aarch64-tcg" in call("baseline", "show")[1]
    assert call("compare", bad)[0] == 1
    assert call("compare", good)[0] == 0
    status, said = call("history", RELEASE, "--scenario", "period-ioctl")
    assert status == 0 and "fail" in said and "pass" in said


def test_a_step_is_repeated_by_its_own_command(judged):
    _, _, result, _ = judged
    command = result["steps"][2]["repeat"]
    assert "--upon 2" in command and "--scenario period-ioctl" in command


def test_bisect_finds_the_third(judged, call, tmp_path):
    folder = tmp_path / "bisect"
    status, said = call("bisect", 0, 3, "--patch", SERIES, *CHOSEN, "--output", folder)
    assert status == 0, said
    found = json.loads((folder / "bisect.json").read_text())
    (subject,) = {t["subject"] for t in found["tried"] if t["commit"] == found["first_bad"]}
    assert subject == "[PATCH 3/5] perf: Set a period through the PMU's add and del"
    assert ["period-ioctl", RELEASE] in found["wanted"]
    log = (folder / "bisect.log").read_text()
    assert f"# first bad commit: [{found['first_bad']}]" in log
    # The end is as good as the base: there is nothing to find.
    assert call("bisect", "--patch", SERIES, *CHOSEN, "--output", tmp_path / "whole")[0] == 2
