# SPDX-License-Identifier: MIT
"""Real kernels in real guests: the claim, the saboteurs, the same bytes twice.

They share the user's cache: a kernel that was built once is not built again.
"""

import io
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pexpect
import pytest
from rich.console import Console

from harness.ask.catalog import Catalog
from harness.ask.plan import fits
from harness.build.emulator import provide_for
from harness.guest.blocks import read
from harness.guest.files import EXECUTED
from harness.host.progress import Progress
from harness.host.store import Cache
from harness.run.folder import RunFolder
from harness.run.mutants import on_machine
from harness.run.pipeline import Run, Settings
from harness.run.request import Asked, prepare

ROOT = Path(__file__).parents[2]
KERNELS = ("6.1", "6.12")
CATALOG = Catalog()
ARM64, X86_64 = "aarch64-tcg", "x86_64-tcg"
# Each machine with the newest kernel, and the first with all of them: a further kernel takes as
# long to build as all of a machine's guests to run.  `mutants --machine` judges both, clean.
MACHINES = (ARM64, X86_64, "x86_64-tcg-core", "x86_64-tcg-intel")
# A third architecture: a kernel and an emulator more, and so not all that there is.
RISCV64 = "riscv64-tcg"
FEW = ("cycles-cpu", "cycles-task", "exact-user", "flexible", "overflow-cycles", "two-cpus")
# Those whose kernels are hypervisors, and what they are asked.
VIRTUAL = ("aarch64-tcg-el2", "x86_64-tcg-svm")
KVM = ("kvm-cpu", "kvm-task", "kvm-scarce", "kvm-perf-record")
GUESTS = [(m, k) for m in MACHINES for k in (KERNELS if m == ARM64 else KERNELS[-1:])]
NESTED = [name for name, row in CATALOG.machines.items() if row.outer]
OBSERVED = ("records.jsonl", "console.log", "outer.log")
# Of all kinds: ticks, interrupts, switches, other CPUs, CPUs that go.
TIMED = (
    *("cycles-cpu", "cycles-task", "exact-user", "flexible", "group-frequency", "hotplug"),
    *("migrate", "overflow-together", "sleepers", "switched-out", "throttle-frequency", "two-cpus"),
)
SABOTEURS = {n: s for n, s in CATALOG.series.items() if n.startswith("saboteurs/")}
CLAIM = CATALOG.series["start-stop-callbacks"].claim

# How the lack of the callbacks shows: scenario, check, and what each witness says.
LOST = {
    ARM64: ("cycles-task", "retention.counter", ("log: target", "page: target")),
    X86_64: ("competition", "retention.competition", ("rival (id 6) on CPU 1 took it",)),
}

# What clean kernels prove to lack: an event that QEMU's arm64 PMU has not, and before 6.2
# perf's own test of groups.
NO_BRANCHES = {("branches", "counting.exact")}
NO_TEST = {("perf-groups", "tool.selftests")}
# Known defects of a kernel that its guests cannot show: one of a task's events of two PMUs.
NOT_SHOWN = {"6.1": {"stat-of-another-event"}, "6.12": set()}


def known_defects(machine, kernel):
    """The errata that a clean kernel's guests show on a machine, each time."""
    row = CATALOG.machines[machine]
    asked = [
        (scenario.name, check)
        for scenario in CATALOG.scenarios.values()
        if not scenario.lacks(row, kernel)
        for check in scenario.checks
    ]
    return {
        name
        for name, erratum in CATALOG.errata.items()
        if not erratum.by_chance
        and any(erratum.concerns(*place, kernel, row) for place in asked)
        and name not in NOT_SHOWN[kernel]
    }


def see_that_skips_are_explained(results, role, machine, kernel):
    """Each is an erratum's, or what this machine or kernel lacks; and all known defects show."""
    skips = {
        (cell["cell"]["scenario"], verdict["check"]): verdict["measured"].partition(": erratum ")
        for cell in results["cells"]
        if cell["cell"]["role"] == role
        for verdict in cell["verdicts"]
        if verdict["status"] == "skip"
    }
    unexplained = {place for place, (_, _, errata) in skips.items() if not errata}
    assert unexplained == (NO_BRANCHES if machine == ARM64 else set()) | (
        NO_TEST if kernel == "6.1" else set()
    )
    shown = {name for _, _, errata in skips.values() for name in errata.split(", ") if name}
    assert known_defects(machine, kernel) <= shown <= set(CATALOG.errata)


def sabotages():
    """(saboteur, machine, kernel): each of its architectures on the first machine that shows it.

    Where any architecture would do, arm64; the newest of KERNELS that it is for.
    `./pmu-harness mutants` runs all of them on all kernels.
    """
    for name, series in SABOTEURS.items():
        for architecture in dict.fromkeys(patch.architecture for patch in series.patches):
            found = (
                (name, row.name, kernel)
                for row in map(CATALOG.machines.get, (*MACHINES, *VIRTUAL, RISCV64))
                for kernel in reversed(KERNELS)
                if architecture in (None, row.architecture)
                and fits(series, kernel, row.architecture, CATALOG.series)
                and on_machine(series, row, CATALOG, kernel)
            )
            yield from islice(found, 1)


pytestmark = pytest.mark.needs(
    "git",
    "make",
    "qemu-system-aarch64",
    "aarch64-linux-gnu-gcc",
    "riscv64-linux-gnu-gcc",
    "x86_64-linux-gnu-gcc",
    "ninja",
    "cpio",
    "bwrap",
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


def on(machine, kernel):
    """The options that say where."""
    return "--machine", machine, "--source", f"debian:{kernel}"


def fixed(machine):
    """What the callbacks fix that a machine's scenarios ask for."""
    row = CATALOG.machines[machine]
    asked = {c for s in CATALOG.scenarios.values() if not s.lacks(row) for c in s.checks}
    return {check for check in CLAIM.on(row.architecture).fixes if check in asked}


@pytest.mark.parametrize(("machine", "kernel"), GUESTS)
def test_the_callbacks_keep_the_counter(run, machine, kernel):
    status, results, folder = run(*on(machine, kernel))
    assert status == 0, results["headline"]
    assert results["claim"] == dict.fromkeys(fixed(machine), True)
    assert set(statuses(results, "candidate").values()) <= {"pass", "skip"}
    see_that_skips_are_explained(results, "candidate", machine, kernel)
    failed = {check for check, s in statuses_of(results, "reference").items() if "fail" in s}
    assert failed >= fixed(machine)
    assert {path.name for path in folder.iterdir()} >= {"junit.xml", "report.html", "plan.json"}


def test_repetitions_show_it_where_no_two_runs_are_alike(run):
    """The candidate never fails, whatever this host does meanwhile, and the reference always."""
    status, results, folder = run(
        *on("aarch64-tcg-noisy", "6.12"),
        *("--scenario", "cycles-cpu", "--scenario", "cycles-task", "--repetitions", "6", "--rerun"),
    )
    assert status in (0, 3), results["headline"]
    assert "fail" not in statuses(results, "candidate").values()
    for scenario in ("cycles-cpu", "cycles-task"):
        for check in ("retention.release", "retention.pairing"):
            assert statuses(results, "candidate")[scenario, check] == "pass"
            assert statuses(results, "reference")[scenario, check] == "fail"
    assert statuses(results, "reference")["cycles-task", "retention.counter"] == "fail"
    guests = [guest for cell in results["cells"] for guest in cell["repetitions"]]
    assert len(guests) == 2 * 2 * 6
    assert all(guest["noise"]["seconds"] > 0 for guest in guests)
    seen = {
        (folder / "cells" / result["cell"]["subject"] / "aarch64-tcg-noisy/cycles-cpu" / str(n))
        .joinpath("records.jsonl")
        .read_bytes()
        for result in results["cells"]
        for n in range(1, 7)
    }
    assert len(seen) == 2 * 6


@pytest.mark.parametrize(("machine", "kernel"), [(ARM64, "6.1"), (ARM64, "6.12"), (X86_64, "6.12")])
def test_a_kernel_without_them_fails(run, machine, kernel):
    status, results, _ = run(*on(machine, kernel), "--series", "pre-callbacks")
    assert status == 1
    assert set(statuses(results, "reference").values()) <= {"pass", "skip"}
    see_that_skips_are_explained(results, "reference", machine, kernel)
    assert all(results["claim"].values()), results["claim"]
    lost = next(
        verdict
        for cell in results["cells"]
        if cell["cell"]["role"] == "candidate" and cell["cell"]["scenario"] == LOST[machine][0]
        for verdict in cell["verdicts"]
        if verdict["check"] == LOST[machine][1]
    )
    for said in LOST[machine][2]:
        assert any(said in line for line in lost["evidence"]), lost


@pytest.mark.parametrize("machine", [ARM64, X86_64])
def test_software_events_begin_the_period_that_was_asked_for(run, machine):
    """A defect of every kernel, which a series mends: docs/errata.md, software-period."""
    asked = ("--series", "software-period", "--scenario", "software-rate-cpu")
    status, results, _ = run(*on(machine, "6.12"), *asked)
    assert status == 0, results["headline"]
    assert statuses(results, "reference")["software-rate-cpu", "sampling.rate"] == "fail"
    assert statuses(results, "candidate")["software-rate-cpu", "sampling.rate"] == "pass"


@pytest.mark.saboteur
@pytest.mark.parametrize(("name", "machine", "kernel"), list(sabotages()))
def test_a_saboteur_is_caught(run, name, machine, kernel):
    claim = on_machine(CATALOG.series[name], CATALOG.machines[machine], CATALOG, kernel).claim
    patience = ["--timeout-scale", "0.15"] if "hangs" in name else []
    where = [*on(machine, kernel)]
    for scenario in claim.scenarios:
        where += ["--scenario", scenario]
    if claim.variant:
        # What only a debug tool shows is not seen without it.
        status, results, _ = run("--series", name, *where)
        assert status == 0, results["headline"]
        where += ["--variant", claim.variant]
    status, results, _ = run("--series", name, *where, *patience)
    assert status == 1, results["headline"]
    assert set(statuses(results, "reference").values()) <= {"pass", "skip"}
    found = statuses_of(results, "candidate")
    for check in claim.breaks:
        assert "fail" in found[check], check


@pytest.mark.parametrize("machine", NESTED)
def test_kvm_without_hardware_is_as_exact(run, machine):
    """Two runs of real KVM, in an emulated outer system: the same verdicts, the same bytes."""
    where = [*on(machine, "6.12"), "--rerun"]
    for scenario in ("cycles-task", "period-ioctl", "two-cpus"):
        where += ["--scenario", scenario]
    status, results, once = run(*where, name="once")
    assert status == 0, results["headline"]
    assert set(statuses(results, "candidate").values()) <= {"pass", "skip"}
    found = statuses_of(results, "reference")
    lost = fixed(machine) & found.keys()
    assert "retention.release" in lost
    assert all("fail" in found[check] for check in lost), found
    status, _, twice = run(*where, name="twice")
    assert status == 0
    files = [path for name in OBSERVED for path in once.rglob(name)]
    assert len(files) == 2 * 3 * len(OBSERVED)
    for path in files:
        assert path.read_bytes() == (twice / path.relative_to(once)).read_bytes(), path


@pytest.mark.parametrize("machine", NESTED)
def test_a_guest_in_an_outer_system_that_crashes_is_told_of_as_any(run, machine):
    where = [*on(machine, "6.12"), "--scenario", "cycles-cpu", "--alone"]
    status, results, _ = run("--series", "saboteurs/panics-at-boot", *where)
    assert status == 1
    assert [cell["outcome"]["end"] for cell in results["cells"]] == ["panic"]


def played(scenarios):
    """The options that say which."""
    return [word for name in scenarios for word in ("--scenario", name)]


@pytest.mark.parametrize("machine", VIRTUAL)
def test_a_hypervisor_keeps_its_counters_and_its_guests(run, machine):
    """Twice, to the byte but for perf's: what the virtual machine says is in the records."""
    asked = (*on(machine, "6.12"), *played(KVM))
    status, results, first = run(*asked, name="first")
    assert status == 0, results["headline"]
    before, after = statuses_of(results, "reference"), statuses_of(results, "candidate")
    assert before["retention.release"] == before["retention.pairing"] == {"fail"}
    assert "fail" in before["retention.counter"]
    assert before["counting.vm"] == before["retention.bystander"] == {"pass"}
    assert set().union(*after.values()) <= {"pass", "skip"}
    status, results, second = run(*asked, "--rerun", name="second")
    assert status == 0, results["headline"]
    exact = [path for path in first.rglob("records.jsonl") if not (path.parent / "tool").exists()]
    assert len(exact) == 2 * (len(KVM) - 1)
    for cell in exact:
        assert cell.read_bytes() == (second / cell.relative_to(first)).read_bytes()


def test_riscv64_keeps_its_counters_as_well(run):
    """Twice, to the byte; the firmware is in each call on a counter."""
    asked = (*on(RISCV64, "6.12"), *played(FEW))
    status, results, first = run(*asked, name="first")
    assert status == 0, results["headline"]
    assert set(statuses(results, "candidate").values()) == {"pass"}
    before = statuses(results, "reference")
    for check in ("retention.release", "retention.pairing"):
        assert before["cycles-cpu", check] == before["two-cpus", check] == "fail"
    assert before["cycles-task", "retention.counter"] == "fail"
    assert before["exact-user", "counting.exact"] == "pass"
    status, results, second = run(*asked, "--rerun", name="second")
    assert status == 0, results["headline"]
    cells = list(first.rglob("records.jsonl"))
    assert len(cells) == 2 * len(FEW)
    for cell in cells:
        assert cell.read_bytes() == (second / cell.relative_to(first)).read_bytes(), cell


def test_a_period_that_kvm_sets_is_an_adjustment_as_well(run):
    """A write to a counter that counts: pmc_update_sample_period() in arch/x86/kvm/pmu.c."""
    where = (*on("x86_64-tcg-svm", "6.12"), *played(["kvm-cpu"]))
    status, results, _ = run("--series", "saboteurs/period-ioctl-releases", *where)
    assert status == 1
    released = next(
        verdict
        for cell in results["cells"]
        if cell["cell"]["role"] == "candidate"
        for verdict in cell["verdicts"]
        if verdict["check"] == "retention.release"
    )
    line = released["evidence"][0]
    assert line.startswith("the kernel's own (id ")
    assert line.endswith("outside a tick (del from __perf_event_period)")


def test_a_scenario_changes_no_other_ones_numbers(run):
    chosen = ("cycles-task", "two-cpus", "cgroup")
    _, _, together = run("--alone", "--rerun", *played(chosen), name="together")
    for scenario in chosen:
        _, _, single = run("--alone", "--rerun", "--scenario", scenario, name=scenario)
        cells = list(single.rglob("records.jsonl"))
        assert len(cells) == 1
        for cell in cells:
            place = cell.relative_to(single)
            assert cell.read_bytes() == (together / place).read_bytes(), scenario


def test_a_crash_in_one_scenario_loses_no_other(run):
    chosen = ("software-frequency", "cycles-cpu", "exact-user")
    status, results, _ = run("--series", "saboteurs/software-adjust-null", *played(chosen))
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


@pytest.mark.parametrize("machine", [ARM64, X86_64])
def test_the_same_machine_does_the_same_under_load(run, machine):
    """The run compares with what the same machines did before; so does this test, byte by byte.

    What they went on from is saved anew, under load.
    """
    there = (*on(machine, KERNELS[-1]), "--alone", *played(TIMED))
    _, _, first = run(*there, name="first")
    forget = [sys.executable, "-m", "harness", "cache", "clear", "saved", "--yes"]
    subprocess.run(forget, cwd=ROOT, check=True, capture_output=True)
    spin = [sys.executable, "-c", "while True: pass"]
    load = [subprocess.Popen(spin) for _ in range((os.cpu_count() or 1) * 2)]
    try:
        status, results, second = run(*there, "--rerun", "--timeout-scale", "5", name="second")
    finally:
        for child in load:
            child.kill()
            child.wait()
    assert status == 0, results["headline"]
    assert not any(cell["reused"] for cell in results["cells"])
    exact = list(first.rglob("records.jsonl"))
    assert len(exact) == len(TIMED)
    for cell in exact:
        place = cell.parent.relative_to(first)
        for name in ("records.jsonl", "console.log", "outcome.json"):
            assert (first / place / name).read_bytes() == (second / place / name).read_bytes()


def plain(records):
    """What is the same whenever a guest began: all but times, and what there is of each tick.

    In no order: of tasks on two CPUs, who is first is a matter of time; so is which counters
    x86 leaves their interrupt bit.
    """
    kinds = ("event", "phase", "task", "work", "step", "state", "end")
    found = [
        {key: value for key, value in record.items() if key not in ("time", "tid")}
        for record in map(json.loads, records.read_text().splitlines())
        if record["kind"] in kinds
    ]
    for cpu in (cpu for record in found for cpu in record.get("cpus", ())):
        del cpu["interrupts"]
    return {json.dumps(record) for record in found}


def ran(executed):
    """The addresses that a guest executed."""
    return {at for start, end in read(executed.read_text()) for at in range(start, end)}


@pytest.mark.parametrize("machine", [ARM64, X86_64])
def test_a_guest_that_goes_on_does_what_one_does_that_boots(tmp_path, machine):
    """The same verdicts, and the same records but for what docs/architecture.md names."""
    cache, progress = Cache(), Progress(Console(file=io.StringIO()))
    asked = Asked(source="debian:6.12", machine=machine, scenarios=TIMED, alone=True)
    prepared = prepare(CATALOG, cache, asked, progress.say)
    found = {}
    for once in (True, False):
        row = prepared.plan.machine.model_copy(update={"boots_once": once})
        plan = prepared.plan.model_copy(update={"machine": row})
        folder = tmp_path / str(once)
        folder.mkdir()
        found[once] = Run(
            prepared=replace(prepared, plan=plan),
            catalog=CATALOG,
            cache=cache,
            folder=RunFolder(folder),
            progress=progress,
            settings=Settings(sources=("kernel/events/core.c",)),
            command="",
            repeat=lambda cell: "",
            emulator=provide_for(row, CATALOG, cache, progress),
        ).execute()
    verdicts = {
        once: {
            (cell.cell.scenario, verdict.check): verdict.status
            for cell in result.cells
            for verdict in cell.verdicts
        }
        for once, result in found.items()
    }
    assert verdicts[True] == verdicts[False]
    ours = list((tmp_path / "True").rglob("records.jsonl"))
    assert len(ours) == len(TIMED)
    for records in ours:
        theirs = tmp_path / "False" / records.relative_to(tmp_path / "True")
        assert plain(records) == plain(theirs), records
        assert records.read_bytes() != theirs.read_bytes(), "both booted, or none"
        executed, others = (ran(file.with_name(EXECUTED)) for file in (records, theirs))
        assert len(executed ^ others) < len(others) / 50, "the boot's code is missing"


def shell(*argv, **options):
    """The shell command with a kernel that the other tests have built."""
    command = [sys.executable, "-m", "harness", "shell", "--source", "debian:6.12", *argv]
    options = {"text": True, **options}
    return subprocess.run(
        command, cwd=ROOT, check=False, capture_output=True, timeout=600, **options
    )


def test_perf_in_a_shell():
    done = shell("--", "perf", "stat", "-x,", "-e", "cycles", "sh", "-c", "echo hello; exit 3")
    assert (done.returncode, done.stdout) == (3, "hello\n")
    value, _, event, *_ = done.stderr.splitlines()[-1].split(",")
    assert event == "cycles" and int(value) > 10_000


def test_commands_that_are_piped_into_a_shell():
    done = shell(input="uname -m\nid -u\nexit 4\n")
    assert (done.returncode, done.stdout) == (4, "aarch64\n0\n")


def test_pipes_at_a_command():
    """As with ssh: both ways at once, to the byte; one that reads nothing ends as it ends."""
    many = os.urandom(4 << 20)
    done = shell("--", "cat", input=many, text=False)
    assert (done.returncode, done.stdout) == (0, many)
    done = shell("--", "sh", "-c", "exit 3", input=many, text=False)
    assert (done.returncode, done.stdout) == (3, b"")
    done = shell("--", "sh", "-c", "exec >/root/size; wc -c; exit 4", input=many, text=False)
    assert done.returncode == 4


def test_files_into_a_guest_and_out_of_it(tmp_path):
    folder = tmp_path / "caf\udce9"  # A byte that is no UTF-8.
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "many").write_bytes(os.urandom(1 << 20))
    (folder / "run").write_text("#!/bin/sh\ncat /proc/version >version; exit 6\n")
    (folder / "run").chmod(0o750)
    files = ("--put", f"{folder}:work", "--get", f"work:{tmp_path}/back")
    files += ("--get", f"version:{tmp_path}", "--get", f"/proc/version:{tmp_path}/proc")
    done = shell(*files, "--", "work/run")
    assert done.returncode == 6, done.stderr
    for name in ("deep/many", "run"):
        assert (tmp_path / "back" / name).read_bytes() == (folder / name).read_bytes()
    assert (tmp_path / "back" / "run").stat().st_mode == (folder / "run").stat().st_mode
    assert (tmp_path / "version").read_text().startswith("Linux version 6.12")
    assert (tmp_path / "proc").read_text() == (tmp_path / "version").read_text()


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
