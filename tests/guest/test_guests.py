# SPDX-License-Identifier: MIT
"""Real kernels in real guests: the claim, the saboteurs, the same bytes twice.

They share the user's cache: a kernel that was built once is not built again.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from harness.catalog import Catalog
from harness.plan import fits

ROOT = Path(__file__).parents[2]
KERNELS = ("6.1", "6.12")
CATALOG = Catalog()
SABOTEURS = {n: s for n, s in CATALOG.series.items() if n.startswith("saboteurs/")}
MACHINES = {"arm64": "aarch64-tcg", "x86_64": "x86_64-tcg"}
# Each on the newest kernel that it is for, and on the first machine.
# `./pmu-harness mutants` runs all of them on all kernels.
SABOTAGES = [
    next(
        (name, kernel, machine)
        for architecture, machine in MACHINES.items()
        for kernel in reversed(KERNELS)
        if fits(series, kernel, architecture, CATALOG.series)
    )
    for name, series in SABOTEURS.items()
]
# What clean kernels prove to lack: an event that QEMU's PMU has not, and what
# docs/errata.md says of siblings.
SKIPPED = {
    "6.1": {("branches", "counting.exact")},
    "6.12": {
        ("branches", "counting.exact"),
        ("group-frequency", "retention.pairing"),
        ("group-frequency", "sampling.rate"),
        ("throttle-sibling", "sampling.throttle"),
    },
}
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


def statuses_of(results, role):
    """{check: set of its statuses} of one role."""
    found = {}
    for (_, check), status in statuses(results, role).items():
        found.setdefault(check, set()).add(status)
    return found


def skipped(results, role):
    """(scenario, check) of what was skipped."""
    return {place for place, status in statuses(results, role).items() if status == "skip"}


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_callbacks_keep_the_counter(run, kernel):
    status, results, folder = run("--source", f"debian:{kernel}")
    assert status == 0, results["headline"]
    assert results["claim"] == dict.fromkeys(FIXED, True)
    assert set(statuses(results, "candidate").values()) <= {"pass", "skip"}
    assert skipped(results, "candidate") == SKIPPED[kernel]
    failed = {check for check, s in statuses_of(results, "reference").items() if "fail" in s}
    assert failed >= set(FIXED)
    assert {path.name for path in folder.iterdir()} >= {"junit.xml", "report.html", "plan.json"}


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_kernel_without_them_fails(run, kernel):
    status, results, _ = run("--source", f"debian:{kernel}", "--series", "pre-callbacks")
    assert status == 1
    assert set(statuses(results, "reference").values()) <= {"pass", "skip"}
    assert skipped(results, "reference") == SKIPPED[kernel]
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


@pytest.mark.parametrize(("name", "kernel", "machine"), SABOTAGES)
def test_a_saboteur_is_caught(run, name, kernel, machine):
    claim = CATALOG.series[name].claim
    patience = ["--timeout-scale", "0.15"] if "hangs" in name else []
    where = ["--source", f"debian:{kernel}", "--machine", machine]
    for scenario in claim.scenarios:
        where += ["--scenario", scenario]
    status, results, _ = run("--series", name, *where, *patience)
    assert status == 1, results["headline"]
    assert set(statuses(results, "reference").values()) <= {"pass", "skip"}
    found = statuses_of(results, "candidate")
    for check in claim.breaks:
        assert "fail" in found[check], check


def test_a_scenario_changes_no_other_ones_numbers(run):
    chosen = ("cycles-task", "two-cpus", "cgroup")
    whole = [word for name in chosen for word in ("--scenario", name)]
    _, _, together = run("--alone", "--rerun", *whole, name="together")
    for scenario in chosen:
        _, _, single = run("--alone", "--rerun", "--scenario", scenario, name=scenario)
        cells = list(single.rglob("records.jsonl"))
        assert len(cells) == 1
        for cell in cells:
            place = cell.relative_to(single)
            assert cell.read_bytes() == (together / place).read_bytes(), scenario


def test_a_crash_in_one_scenario_loses_no_other(run):
    chosen = ("software-frequency", "cycles-cpu", "exact-user")
    where = [word for name in chosen for word in ("--scenario", name)]
    status, results, _ = run("--series", "saboteurs/software-adjust-null", *where)
    assert status == 1
    ends = {
        cell["cell"]["scenario"]: cell["outcome"]["end"]
        for cell in results["cells"]
        if cell["cell"]["role"] == "candidate"
    }
    assert ends.pop("software-frequency") in ("panic", "oops")
    assert set(ends.values()) == {"done"}
    found = statuses(results, "candidate")
    assert {s for (scenario, _), s in found.items() if scenario in ends} == {"pass"}


def test_the_same_machine_does_the_same_under_load(run):
    """The run compares with what the same machines did before; so does this test, byte by byte."""
    _, _, first = run("--alone", name="first")
    spin = [sys.executable, "-c", "while True: pass"]
    load = [subprocess.Popen(spin) for _ in range((os.cpu_count() or 1) * 2)]
    try:
        status, results, second = run("--alone", "--rerun", "--timeout-scale", "5", name="second")
    finally:
        for child in load:
            child.kill()
            child.wait()
    assert status == 0, results["headline"]
    assert not any(cell["reused"] for cell in results["cells"])
    exact = [path for path in first.rglob("records.jsonl") if not (path.parent / "tool").exists()]
    assert exact
    for cell in exact:
        place = cell.parent.relative_to(first)
        for name in ("records.jsonl", "console.log", "outcome.json"):
            assert (first / place / name).read_bytes() == (second / place / name).read_bytes()


def shell(*argv, **options):
    """The shell command with a kernel that the other tests have built."""
    command = [sys.executable, "-m", "harness", "shell", "--source", "debian:6.12", *argv]
    return subprocess.run(
        command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=600, **options
    )


def test_perf_in_a_shell():
    done = shell("--", "perf", "stat", "-x,", "-e", "cycles", "sh", "-c", "echo hello; exit 3")
    assert (done.returncode, done.stdout) == (3, "hello\n")
    value, _, event, *_ = done.stderr.splitlines()[-1].split(",")
    assert event == "cycles" and int(value) > 10_000


def test_commands_that_are_piped_into_a_shell():
    done = shell(input="uname -m\nid -u\nexit 4\n")
    assert (done.returncode, done.stdout) == (4, "aarch64\n0\n")


def test_a_person_at_a_shell():
    """A terminal: its size is the guest's, Ctrl-C goes to the guest, its status comes out."""
    command = ["-m", "harness", "shell", "--source", "debian:6.12"]
    with pexpect.spawn(sys.executable, command, cwd=ROOT, timeout=120, dimensions=(33, 99)) as tty:
        tty.expect("root@guest:~# ")
        tty.sendline("stty size; sleep 1000")
        tty.expect("33 99")
        tty.setwinsize(44, 88)  # Told by SIGWINCH, before the key that is pressed next.
        tty.sendintr()
        tty.expect("root@guest:~# ")
        tty.sendline("stty size; exit 6")
        tty.expect("44 88")
        tty.expect(pexpect.EOF)
        tty.close()
        assert tty.exitstatus == 6


def test_a_guest_reaches_nothing():
    """10.0.2.2 would be the host's loopback, were the network not restricted."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        done = shell("--", "timeout", "2", "bash", "-c", f"echo >/dev/tcp/10.0.2.2/{port}")
        assert done.returncode != 0
        with pytest.raises(BlockingIOError):
            server.accept()
