# SPDX-License-Identifier: MIT
"""From what a host was seen doing to what is said of it.

tests/data/doctor has the words of real trials: KVM that aborts, KVM that boots and has no
PMU, emulation without and with one.
"""

from pathlib import Path

import pytest
from rich.console import Console

from harness.doctor.findings import (
    accelerated,
    automatic,
    conclude,
    device,
    failed_at,
    heard,
    host,
    qemu,
    unusable,
)
from harness.model import (
    Boot,
    DeviceFacts,
    Disk,
    HostFacts,
    Obstacle,
    Package,
    Stage,
    Trial,
)
from harness.report.examination import show
from harness.run.request import DEFAULT_MACHINE

DATA = Path(__file__).parents[1] / "data" / "doctor"
GIB = 1 << 30
GOOD = "booted\npmu PMUv3\ncounter 0x4e27\noverflow 0x1\ndone\n"


def boot(console=GOOD, status=0, signal="", words=()):
    return Boot(
        status=status, signal=signal, seconds=0.1, console=console, words=words, evidence="/e"
    )


def captured(name, status=0, signal=""):
    console = (DATA / name / "console.log").read_text()
    words = tuple((DATA / name / "qemu.log").read_text().splitlines()[-8:])
    return boot(console, status, signal, words)


@pytest.fixture
def kvm(catalog):
    return catalog.accelerators["x86_64-kvm"]


def tried(row, boot, **more):
    return Trial(accelerator=row.name, version="QEMU 0", binary="/q", boot=boot, **more)


def test_what_the_guest_says_is_heard():
    guest = heard(GOOD)
    assert (guest.booted, guest.pmu, guest.done) == (True, "PMUv3", True)
    assert (guest.counter, guest.overflows) == (0x4E27, 1)


@pytest.mark.parametrize(
    "noise",
    ["", "\n", "SeaBIOS\nbooted?\n", "xbooted\n", " booted\n", "counter\n", "counter 0xzz\n"],
)
def test_noise_is_not_heard(noise):
    guest = heard(noise)
    assert not guest.booted
    assert guest.counter is None


def test_noise_between_the_lines_is_no_matter():
    assert heard(GOOD.replace("\n", "\nnoise \x00 booted\n")) == heard(GOOD)


@pytest.mark.parametrize("length", range(len(GOOD)))
def test_what_was_cut_off_is_not_believed(length):
    """Of a number, or of a word, the first half is another one."""
    assert failed_at(boot(GOOD[:length])) is not None


def test_a_number_that_is_too_long_is_none():
    assert heard("counter 0x" + "f" * 17 + "\n").counter is None


@pytest.mark.parametrize(
    ("console", "status", "stage"),
    [
        (GOOD, 0, None),
        ("", None, Stage.BOOT),
        ("", 1, Stage.BOOT),
        ("", 0, Stage.BOOT),
        ("booted\n", None, Stage.PMU),
        ("booted\npmu none: PMUVer is 0x0\n", 0, Stage.PMU),
        ("booted\nexception 0xd at 0x1\n", 0, Stage.PMU),
        ("booted\npmu PMUv3\n", None, Stage.COUNTER),
        ("booted\npmu PMUv3\ncounter 0x0\n", 0, Stage.COUNTER),
        ("booted\npmu PMUv3\ncounter 0x1\n", None, Stage.OVERFLOW),
        ("booted\npmu PMUv3\ncounter 0x1\noverflow 0x0\ndone\n", 0, Stage.OVERFLOW),
        ("booted\npmu PMUv3\ncounter 0x1\noverflow 0x1\n", None, Stage.END),
        (GOOD, None, Stage.END),
        (GOOD, -6, Stage.END),
        # A guest that skips a stage did not pass it.
        (GOOD.replace("counter 0x4e27\n", ""), 0, Stage.COUNTER),
    ],
)
def test_a_trial_fails_at_the_first_stage_that_it_did_not_pass(console, status, stage, kvm):
    found = accelerated(kvm, tried(kvm, boot(console, status)))
    assert found.stage is stage
    assert found.good == (stage is None)
    assert found.good or (found.advice and found.evidence == "/e")


@pytest.mark.parametrize(
    ("status", "signal", "said"),
    [
        (None, "", "10 s were over before the guest's first word"),
        (-6, "SIGABRT", "QEMU was ended by SIGABRT before the guest's first word"),
        (1, "", "QEMU ended with status 1 before the guest's first word"),
    ],
)
def test_how_qemu_ended_is_said(kvm, status, signal, said):
    assert accelerated(kvm, tried(kvm, boot("", status, signal))).said.startswith(said)


def test_kvm_that_aborts_is_told_in_qemus_own_words(kvm):
    found = accelerated(kvm, tried(kvm, captured("kvm-aborts", -6, "SIGABRT")))
    assert found.stage is Stage.BOOT
    assert "QEMU: qemu-system-x86_64: error: failed to set MSR 0x10a to 0x69" in found.details
    line = unusable(found)
    assert line.startswith("x86_64-kvm fails at stage boot: QEMU was ended by SIGABRT")
    assert "failed to set MSR 0x10a" in line and "Assertion" not in line


def test_kvm_that_boots_without_a_pmu_is_no_use(kvm):
    found = accelerated(kvm, tried(kvm, captured("kvm-without-pmu")))
    assert found.stage is Stage.COUNTER
    assert found.said.startswith("the counter stayed 0 while the guest worked")
    assert "guest: counter 0x0" in found.details


def test_emulation_without_and_with_a_pmu(catalog):
    row = catalog.accelerators["x86_64-tcg"]
    without = accelerated(row, tried(row, captured("tcg-without-pmu")))
    assert without.stage is Stage.PMU
    assert "told of no PMU (none: CPUID leaf 10 says version 0)" in without.said
    found = accelerated(row, tried(row, captured("tcg")))
    assert found.good and not found.details and not found.advice
    assert found.said.startswith("counts (20014), interrupts (1): AMD K7")


def test_an_exception_is_told(kvm):
    found = accelerated(kvm, tried(kvm, boot("booted\npmu AMD K7\nexception 0xd at 0x100042\n")))
    assert found.said.startswith("the guest met an exception: 0xd at 0x100042")


@pytest.mark.parametrize(
    ("error", "said", "advice"),
    [
        ("ENOENT", "/dev/kvm: there is no such file", "enable virtualization"),
        ("EACCES", "/dev/kvm: this user may not open it", "usermod -aG kvm"),
        ("ENODEV", "/dev/kvm: no driver is behind it", "load kvm"),
        ("ENOTTY", "/dev/kvm: it opens, and is no KVM", "ls -l"),
        ("EMFILE", "/dev/kvm: open(2) or ioctl(2) says EMFILE", "dmesg"),
    ],
)
def test_a_device_that_does_not_open_is_told_with_what_helps(kvm, error, said, advice):
    trial = Trial(accelerator=kvm.name, device=DeviceFacts(path="/dev/kvm", error=error))
    found = accelerated(kvm, trial)
    assert (found.stage, found.said) == (Stage.DEVICE, said)
    assert advice in found.advice
    of_device = device(trial)
    assert of_device and not of_device.good and advice in of_device.advice


def test_an_obstacle_is_told_with_its_stage(kvm):
    obstacle = Obstacle(stage=Stage.QEMU, what="no QEMU", why="a\nb", advice="setup")
    trial = Trial(accelerator=kvm.name, obstacle=obstacle)
    found = accelerated(kvm, trial, needed=True)
    assert (found.stage, found.said, found.advice) == (Stage.QEMU, "no QEMU", "setup")
    assert found.details == ("a", "b")
    assert qemu(kvm, trial).said == "no QEMU"


def test_what_was_not_tried_is_not_good(kvm):
    found = accelerated(kvm, Trial(accelerator=kvm.name))
    assert not found.good and found.said.startswith("not tried")


@pytest.mark.parametrize(
    ("capability", "parameters", "good"),
    [
        (1, {}, True),
        (1, {"kvm.enable_pmu": "Y"}, True),
        (0, {}, False),
        (1, {"kvm.enable_pmu": "N"}, False),
    ],
)
def test_a_driver_says_whether_it_has_a_vpmu(kvm, capability, parameters, good):
    facts = DeviceFacts(
        path="/dev/kvm",
        api=12,
        capabilities={"KVM_CAP_PMU_CAPABILITY": capability},
        parameters=parameters,
    )
    found = device(Trial(accelerator=kvm.name, device=facts))
    assert found and found.good is good
    assert f"KVM_CAP_PMU_CAPABILITY {capability}" in found.said


def test_emulation_has_no_device(catalog):
    assert device(Trial(accelerator="aarch64-tcg")) is None


FACTS = HostFacts(
    compilers={"gcc": "gcc 12", "aarch64-linux-gnu-gcc": "gcc 12", "x86_64-linux-gnu-gcc": ""},
    kernels=("6.12",),
    disks=(Disk(name="cache", path="/c", free_bytes=5 * GIB, wanted_bytes=4 * GIB),),
)
LACKING = Package(package="bc", provides="bc", why="kbuild")


def diagnosed(**changes):
    found = host(FACTS.model_copy(update=changes), "aarch64-linux-gnu-gcc")
    return conclude(found, "aarch64-tcg")


def test_a_host_that_has_all_can_do_the_main_job():
    diagnosis = diagnosed()
    assert diagnosis.able
    assert diagnosis.headline == "this host can do the main job, on aarch64-tcg"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"missing": (LACKING,)}, "packages, main job: missing: bc"),
        ({"kernels": (), "unreachable": "no route"}, "archive does not answer"),
        ({"compilers": {"aarch64-linux-gnu-gcc": ""}}, "aarch64-linux-gnu-gcc: not installed"),
        (
            {"disks": (Disk(name="cache", path="/c", free_bytes=GIB, wanted_bytes=4 * GIB),)},
            "1.0 GiB free in /c; a run takes up to 4.0 GiB",
        ),
    ],
)
def test_what_the_main_job_lacks_is_in_the_headline(changes, said):
    diagnosis = diagnosed(**changes)
    assert not diagnosis.able
    assert said in diagnosis.headline
    assert all(finding.advice for finding in diagnosis.findings if not finding.good)


@pytest.mark.parametrize("changes", [{"unconfined": "no bwrap"}, {"wanting": (LACKING,)}])
def test_what_the_main_job_does_without_is_told_all_the_same(changes):
    diagnosis = diagnosed(**changes)
    assert diagnosis.able
    assert [finding for finding in diagnosis.findings if not finding.good and finding.advice]


def test_sources_need_no_network_once_they_are_in_the_cache():
    assert "in the cache: 6.12" in str(diagnosed().findings)
    assert "Debian's archive answers" in str(diagnosed(kernels=()).findings)


@pytest.fixture
def machines(catalog):
    return catalog.machines


def chosen(machines, row, boot):
    finding = accelerated(row, tried(row, boot))
    return automatic(machines, [row], {row.name: finding}, "aarch64-tcg")


def test_hardware_that_works_is_chosen(machines, kvm):
    choice = chosen(machines, kvm, boot())
    assert (choice.asked, choice.machine) == ("auto", "x86_64-kvm")
    assert choice.reason.startswith("x86_64-kvm works here: counts (20007), interrupts (1)")


def test_hardware_that_fails_is_not_and_the_reason_says_why(machines, kvm):
    choice = chosen(machines, kvm, captured("kvm-aborts", -6, "SIGABRT"))
    assert choice.machine == "aarch64-tcg"
    assert choice.reason.startswith("emulated, as x86_64-kvm fails at stage boot")
    assert "failed to set MSR 0x10a" in choice.reason


def test_a_host_without_hardware_is_emulated(machines):
    choice = automatic(machines, [], {}, "aarch64-tcg")
    assert choice.reason == "emulated, as no hardware accelerator is for this host"


def test_no_machine_is_played_by_two(catalog):
    for name, machine in catalog.machines.items():
        rows = [row for row in catalog.accelerators.values() if row.plays(machine)]
        assert len(rows) <= 1, name
        assert rows or name != DEFAULT_MACHINE


def test_a_machine_runs_on_all_hardware(catalog):
    for row in catalog.accelerators.values():
        if row.device:
            assert [name for name, m in catalog.machines.items() if row.plays(m)] == [row.name]


def test_the_page_says_what_why_where_and_what_next(kvm, capsys):
    findings = [accelerated(kvm, tried(kvm, captured("kvm-aborts", -6, "SIGABRT")))]
    show(Console(), conclude(findings, "aarch64-tcg"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "accelerators"
    assert lines[1].startswith("  no   x86_64-kvm  at stage boot: QEMU was ended by SIGABRT")
    assert lines[1].endswith("before the guest's first word (0.1 s)")
    assert any("failed to set MSR 0x10a to 0x69" in line for line in lines)
    assert any(line.strip() == "evidence: /e" for line in lines)
    assert any(line.strip().startswith("next:") for line in lines)
    assert not any(line != line.rstrip() for line in lines)


def test_what_a_guest_says_does_not_drive_the_terminal(kvm, capsys):
    findings = [accelerated(kvm, tried(kvm, boot("booted\npmu none: \x1b[2J[bold]\n")))]
    show(Console(), conclude(findings, "aarch64-tcg"))
    out = capsys.readouterr().out
    assert "\x1b" not in out and "[bold]" in out
