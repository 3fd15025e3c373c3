# SPDX-License-Identifier: MIT
"""Trials with a QEMU that is a script: it hangs, floods, aborts, lies; and what is remembered."""

import io
import json
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

from harness.ask.catalog import Catalog
from harness.build.bare import COMPILE
from harness.doctor import gather
from harness.doctor.device import ask
from harness.doctor.findings import AUTO, accelerated
from harness.doctor.gather import Examination
from harness.doctor.trial import FILE_BYTES, Doctor
from harness.errors import HostError, PlanError
from harness.host import mirror, process
from harness.host.progress import Progress
from harness.host.store import Cache
from harness.model import Choice, Stage
from tests.component.test_process import wait_until

needs_compiler = pytest.mark.needs("aarch64-linux-gnu-gcc", "setpriv")
LINES = r"printf 'booted\npmu PMUv3\ncounter 0x10\noverflow 0x1\ndone\n'"


def running(word: str) -> bool:
    """True if a process has such a word on its command line."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if word.encode() in path.read_bytes():
                return True
    return False


class Place:
    """A cache, a QEMU whose boot is a line of shell, and rows that name it."""

    def __init__(self, folder: Path) -> None:
        self.cache = Cache(folder / "cache")
        self.file = folder / "qemu"
        self.boots = folder / "boots"
        self.catalog = Catalog()
        row = self.catalog.accelerators["aarch64-tcg"]
        self.row = row.model_copy(update={"qemu": str(self.file), "timeout_s": 1})

    def qemu(self, script: str, version: str = "echo QEMU emulator version 0") -> None:
        self.file.write_text(
            f"#!/bin/sh\n[ $1 = --version ] && {{ {version}; exit; }}\n"
            f"echo boot >> {self.boots}\n{script}\n"
        )
        self.file.chmod(0o755)

    def doctor(self, rerun: bool = False) -> Doctor:
        progress = Progress(Console(file=io.StringIO()))
        return Doctor(self.catalog, self.cache, progress, rerun=rerun)

    def finding(self, **changes):
        row = self.row.model_copy(update=changes)
        return accelerated(row, self.doctor().trial(row))

    def booted(self) -> int:
        return len(self.boots.read_text().splitlines()) if self.boots.exists() else 0


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@needs_compiler
def test_a_guest_that_counts_is_believed(place):
    place.qemu(LINES)
    finding = place.finding()
    assert finding.good, finding
    assert finding.said.startswith("counts (16), interrupts (1): PMUv3")


@needs_compiler
def test_a_qemu_that_hangs_and_ignores_sigterm_is_ended_with_its_children(place):
    asleep = str(1_000_000_000 + os.getpid())
    place.qemu(f"trap '' TERM\necho booted\nsleep {asleep}")
    began = time.monotonic()
    finding = place.finding()
    assert time.monotonic() - began < 10
    assert finding.stage is Stage.PMU
    assert finding.said.startswith("1 s were over when the guest looked for a PMU")
    wait_until(lambda: not running(asleep))


@needs_compiler
@pytest.mark.parametrize("stream", ["", " >&2"])
def test_a_flood_fills_no_disk(place, stream):
    place.qemu(f"while :; do echo flood flood flood{stream}; done")
    finding = place.finding()
    assert finding.stage is Stage.BOOT
    assert "SIGXFSZ" in finding.said
    for file in Path(finding.evidence).iterdir():
        assert file.stat().st_size <= 2 * FILE_BYTES, file
    assert len(str(finding)) < 10_000


@needs_compiler
def test_a_qemu_that_aborts_is_told_in_its_own_words(place):
    place.qemu("echo 'error: failed to set MSR 0x10a to 0x69' >&2\nkill -ABRT $$")
    finding = place.finding()
    assert finding.stage is Stage.BOOT
    assert finding.said.startswith("QEMU was ended by SIGABRT")
    assert finding.details == ("QEMU: error: failed to set MSR 0x10a to 0x69",)
    assert "failed to set MSR" in (Path(finding.evidence) / "qemu.log").read_text()


@needs_compiler
def test_a_qemu_that_ends_at_once_says_with_which_status(place):
    place.qemu("exit 1")
    assert place.finding().said.startswith("QEMU ended with status 1 before")


@needs_compiler
def test_garbage_is_no_word_of_a_guests(place):
    place.qemu("head -c 60000 /dev/urandom")
    finding = place.finding()
    assert finding.stage is Stage.BOOT
    assert len(finding.model_dump_json()) < 10_000


@needs_compiler
def test_a_line_that_does_not_end_is_no_word_of_a_guests(place):
    place.qemu("printf 'booted\\npmu '; head -c 30000 /dev/zero | tr '\\0' x; echo")
    finding = place.finding()
    assert finding.stage is Stage.PMU
    assert len(finding.model_dump_json()) < 2_000


@needs_compiler
def test_a_signal_without_a_name(place):
    place.qemu("kill -40 $$")
    assert place.finding().said.startswith("QEMU was ended by signal 40")


def test_a_qemu_that_is_not_there(place):
    finding = place.finding()
    assert (finding.stage, finding.said) == (Stage.QEMU, f"{place.file} is not installed")
    assert finding.advice == "./pmu-harness setup"


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("exit 3", "does not run"),
        ("true", "says nothing"),
        ("trap '' TERM; sleep 1000", "did not end within"),
    ],
)
def test_a_qemu_without_a_version(place, version, said, monkeypatch):
    monkeypatch.setattr(process, "VERSION_S", 0.5)
    place.qemu(LINES, version)
    finding = place.finding()
    assert finding.stage is Stage.QEMU
    assert said in finding.said
    assert place.booted() == 0


def test_an_emulator_that_is_not_built_is_not_built_now(place):
    finding = place.finding(emulator="qemu-x86-pmu")
    assert finding.stage is Stage.QEMU
    assert finding.said == "the emulator qemu-x86-pmu is not built"
    assert finding.advice == "./pmu-harness emulator build qemu-x86-pmu"


@needs_compiler
def test_a_program_that_does_not_compile(place):
    place.qemu(LINES)
    finding = place.finding(flags=("-fno-such-flag",))
    assert finding.stage is Stage.PROGRAM
    assert any("no-such-flag" in line for line in finding.details)


@needs_compiler
def test_a_trial_is_remembered_until_it_is_asked_for_again(place):
    place.qemu(LINES)
    assert place.doctor().remembered(place.row).boot is None
    assert place.booted() == 0
    first = place.doctor().trial(place.row)
    again = place.doctor().trial(place.row)
    assert (first.remembered, again.remembered, place.booted()) == (False, True, 1)
    assert again.boot == first.boot
    assert place.doctor().remembered(place.row) == again
    assert not place.doctor(rerun=True).trial(place.row).remembered
    assert place.booted() == 2


@needs_compiler
@pytest.mark.parametrize("change", ["boot", "version", "file", "row", "program"])
def test_what_a_trial_depends_on_makes_it_another_one(place, change, tmp_path, monkeypatch):
    place.qemu(LINES)
    place.finding()
    if change == "boot":
        (tmp_path / "boot_id").write_text("another\n")
        monkeypatch.setattr("harness.doctor.trial.BOOT_ID", tmp_path / "boot_id")
    if change == "version":
        place.qemu(LINES, "echo QEMU emulator version 1")
    if change == "file":
        os.utime(place.file, ns=(0, 0))
    if change == "program":
        monkeypatch.setattr("harness.build.bare.COMPILE", ("-O1", *COMPILE))
    place.finding(**({"cpu": "other"} if change == "row" else {}))
    assert place.booted() == 2


@needs_compiler
def test_a_memory_that_is_damaged_is_forgotten(place):
    place.qemu(LINES)
    evidence = Path(place.finding().evidence)
    for text in ("", "{}", '{"key": 1}', "[]"):
        (evidence / "trial.json").write_text(text)
        assert place.finding().good
    assert place.booted() == 5


def test_a_device_that_is_missing_or_none(place, tmp_path):
    row = place.row.model_copy(update={"device": str(tmp_path / "kvm")})
    assert ask(row).error == "ENOENT"
    assert ask(row.model_copy(update={"device": "/dev/null"})).error == "ENOTTY"


def test_a_modules_parameters_are_read(place, tmp_path):
    file = tmp_path / "kvm" / "parameters" / "enable_pmu"
    file.parent.mkdir(parents=True)
    file.write_text("N\n")
    assert ask(place.row, tmp_path).parameters == {"kvm.enable_pmu": "N"}


def test_a_device_that_does_not_open_is_not_tried(place, tmp_path):
    place.qemu(LINES)
    finding = place.finding(device=str(tmp_path / "kvm"))
    assert finding.stage is Stage.DEVICE
    assert place.booted() == 0


@pytest.fixture
def hardware(place, monkeypatch):
    """A host whose hardware accelerator is the place's QEMU, and a machine that wants it."""
    emulated = place.catalog.accelerators["aarch64-tcg"]
    # What opens: the trial decides.
    row = place.row.model_copy(update={"name": "kvm", "accelerator": "kvm", "device": "/dev/kvm"})
    machine = place.catalog.machines["aarch64-tcg"].model_copy(
        update={"name": "hardware", "accelerator": "kvm", "qemu": str(place.file)}
    )
    place.catalog.accelerators = {"aarch64-tcg": emulated, "kvm": row}
    place.catalog.machines = {**place.catalog.machines, "hardware": machine}
    monkeypatch.setattr(gather, "of_this_host", lambda row, catalog: True)
    facts = ask(place.row.model_copy(update={"device": "/dev/null", "capabilities": {}}))
    opens = facts.model_copy(update={"error": ""})
    monkeypatch.setattr("harness.doctor.trial.ask", lambda row: opens)
    return Examination(place.catalog, place.cache, place.doctor(), "aarch64-tcg")


@needs_compiler
def test_auto_takes_the_hardware_that_works(place, hardware):
    place.qemu(LINES)
    choice = hardware.choose(AUTO)
    assert choice.machine == "hardware"
    assert choice.reason.startswith("kvm works here")


@needs_compiler
def test_auto_goes_on_with_emulation_where_it_does_not(place, hardware):
    place.qemu("exit 1")
    choice = hardware.choose(AUTO)
    assert choice.machine == "aarch64-tcg"
    assert "kvm fails at stage boot: QEMU ended with status 1" in choice.reason


@needs_compiler
def test_a_machine_asked_for_by_name_never_degrades(place, hardware):
    place.qemu("echo 'error: no MSR' >&2; exit 1")
    with pytest.raises(HostError) as raised:
        hardware.choose("hardware")
    assert "hardware cannot be played here: kvm fails at stage boot" in raised.value.what
    assert "QEMU: error: no MSR" in raised.value.why
    assert raised.value.evidence and (raised.value.evidence / "qemu.log").exists()
    assert raised.value.advice
    assert raised.value.blame.exit_code == 3


@needs_compiler
def test_a_machine_asked_for_by_name_is_played_where_it_works(place, hardware):
    place.qemu(LINES)
    assert hardware.choose("hardware").machine == "hardware"


def test_an_emulated_machine_is_not_tried(place, hardware):
    place.qemu(LINES)
    choice = hardware.choose("aarch64-tcg")
    assert choice == Choice(asked="aarch64-tcg", machine="aarch64-tcg", reason="asked for by name")
    assert place.booted() == 0


def test_hardware_that_no_row_tries_is_not_believed(place, hardware):
    machine = place.catalog.machines["hardware"].model_copy(update={"qemu": "other"})
    place.catalog.machines["hardware"] = machine
    with pytest.raises(PlanError, match="how to try the accelerator of hardware is not known"):
        hardware.choose("hardware")


@needs_compiler
def test_a_runs_notes_have_what_is_known_and_boot_nothing(place, hardware):
    place.qemu(LINES)
    choice = hardware.choose("aarch64-tcg")
    noted = hardware.noted(choice)
    assert noted["machine"]["reason"] == "asked for by name"
    said = {finding["name"]: finding["said"] for finding in noted["findings"]}
    assert said["kvm"].startswith("not tried")
    assert place.booted() == 0
    hardware.choose(AUTO)
    (kvm,) = (one for one in hardware.noted(choice)["findings"] if one["name"] == "kvm")
    assert kvm["good"] and kvm["remembered"]
    assert json.dumps(noted)


@pytest.mark.needs("setpriv")
def test_an_archive_that_does_not_answer_is_said_in_time(tmp_path, monkeypatch):
    helper = tmp_path / "helper"
    helper.write_text("#!/bin/sh\necho 'E: no route' >&2\nexit 100\n")
    helper.chmod(0o755)
    monkeypatch.setattr(mirror, "HELPER", str(helper))
    monkeypatch.setattr(mirror, "machine_archives", lambda: [("http://site/d/", "old", "main")])
    with pytest.raises(HostError) as raised:
        mirror.reach(tmp_path, 5)
    assert raised.value.what == "http://site/d/dists/old/InRelease cannot be fetched"
    assert raised.value.why == "E: no route"
    helper.write_text("#!/bin/sh\nsleep 1000\n")
    with pytest.raises(HostError, match=r"did not come within 0\.5 s"):
        mirror.reach(tmp_path, 0.5)
