# SPDX-License-Identifier: MIT
"""Real kernels in real guests: the claim, the saboteurs, the same bytes twice.

They share the user's cache: a kernel that was built once is not built again.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.catalog import Catalog

ROOT = Path(__file__).parents[2]
KERNELS = ("6.1", "6.12")
CATALOG = Catalog()
SABOTEURS = [name for name in CATALOG.series if name.startswith("saboteurs/")]
FIXED = CATALOG.series["start-stop-callbacks"].claim.fixes

pytestmark = pytest.mark.needs(
    "git", "make", "qemu-system-aarch64", "aarch64-linux-gnu-gcc", "cpio", "bwrap"
)


@pytest.fixture
def run(tmp_path):
    """Run the command line: (exit status, results, run folder)."""

    def call(*argv, name="run"):
        folder = tmp_path / name
        command = [sys.executable, "-m", "harness", "run", "--output", str(folder), *argv]
        done = subprocess.run(
            command, cwd=ROOT, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        assert (folder / "results.json").exists(), done.stdout + done.stderr
        return done.returncode, json.loads((folder / "results.json").read_text()), folder

    return call


def statuses(results, role):
    """{(scenario, check): status} of one role."""
    return {
        (cell["cell"]["scenario"], verdict["check"]): verdict["status"]
        for cell in results["cells"]
        if cell["cell"]["role"] == role
        for verdict in cell["verdicts"]
    }


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_callbacks_keep_the_counter(run, kernel):
    status, results, folder = run("--source", f"debian:{kernel}")
    assert status == 0, results["headline"]
    assert results["claim"] == dict.fromkeys(FIXED, True)
    assert set(statuses(results, "candidate").values()) == {"pass"}
    failed = {check for (_, check), s in statuses(results, "reference").items() if s == "fail"}
    assert failed == set(FIXED)
    assert {path.name for path in folder.iterdir()} >= {"junit.xml", "report.html", "plan.json"}


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_kernel_without_them_fails(run, kernel):
    status, results, _ = run("--source", f"debian:{kernel}", "--series", "pre-callbacks")
    assert status == 1
    assert set(statuses(results, "reference").values()) == {"pass"}
    assert all(results["claim"].values()), results["claim"]
    moved = next(
        verdict
        for cell in results["cells"]
        if cell["cell"]["role"] == "candidate" and cell["cell"]["scenario"] == "cycles-task"
        for verdict in cell["verdicts"]
        if verdict["check"] == "retention.counter"
    )
    assert moved["metrics"]["witnesses"] == 2
    assert any(line.startswith("log: target") for line in moved["evidence"])
    assert any(line.startswith("page: target") for line in moved["evidence"])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", SABOTEURS)
def test_a_saboteur_is_caught(run, name, kernel):
    patience = ["--timeout-scale", "0.15"] if "hangs" in name else []
    where = ["--source", f"debian:{kernel}", "--scenario", "cycles-cpu"]
    status, results, _ = run("--series", name, *where, *patience)
    assert status == 1, results["headline"]
    assert set(statuses(results, "reference").values()) == {"pass"}
    verdicts = statuses(results, "candidate")
    for check in CATALOG.series[name].claim.breaks:
        assert verdicts["cycles-cpu", check] == "fail", check


def test_the_same_machine_does_the_same_under_load(run):
    """The run compares with what the same machines did before; so does this test, byte by byte."""
    _, _, first = run(name="first")
    spin = [sys.executable, "-c", "while True: pass"]
    load = [subprocess.Popen(spin) for _ in range((os.cpu_count() or 1) * 2)]
    try:
        status, results, second = run("--rerun", "--timeout-scale", "5", name="second")
    finally:
        for child in load:
            child.kill()
            child.wait()
    assert status == 0, results["headline"]
    assert not any(cell["reused"] for cell in results["cells"])
    for cell in first.rglob("records.jsonl"):
        place = cell.parent.relative_to(first)
        for name in ("records.jsonl", "console.log", "outcome.json"):
            assert (first / place / name).read_bytes() == (second / place / name).read_bytes()
