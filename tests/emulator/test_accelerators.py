# SPDX-License-Identifier: MIT
"""guest-images/accelerator in real QEMUs: where there is a PMU, where there is none, on KVM."""

import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from harness.ask.catalog import Catalog
from harness.build.emulator import stored
from harness.doctor.findings import accelerated
from harness.doctor.gather import of_this_host
from harness.doctor.trial import Doctor
from harness.host.progress import Progress
from harness.host.store import Cache
from harness.model import Stage

GRACE_S = 5.0
CATALOG = Catalog()
HARDWARE = [
    row for row in CATALOG.accelerators.values() if row.device and of_this_host(row, CATALOG)
]
STOCK = {"emulator": None, "clock": ()}


@pytest.fixture
def tried(qemu, monkeypatch):
    """A function that tries a row, changed, now: (finding, seconds).

    The emulator is the one that the other tests here have built; trials go elsewhere.
    """
    cache = Cache()
    progress = Progress(Console(file=io.StringIO()))

    def attempt(name, **changes):
        row = CATALOG.accelerators[name].model_copy(update=changes)
        if row.emulator and stored(row.emulator, CATALOG, cache, progress) is None:
            pytest.skip("PMU_HARNESS_QEMU names another emulator, and the row's is not built")
        began = time.monotonic()
        trial = Doctor(CATALOG, cache, progress, rerun=True).trial(row)
        return accelerated(row, trial), time.monotonic() - began

    with cache.scratch() as place:
        monkeypatch.setattr(cache, "trials", place)
        yield attempt


@pytest.mark.needs("x86_64-linux-gnu-gcc")
@pytest.mark.parametrize("clock", [(), ("-icount", "shift=0,sleep=off")], ids=["host", "icount"])
@pytest.mark.parametrize(
    ("cpu", "pmu"),
    [
        ("EPYC,pmu=on", "AMD K7"),
        ("EPYC,pmu=on,perfctr-core=on", "AMD PerfCtrExtCore"),
        (
            "qemu64,vendor=GenuineIntel,family=6,model=13,stepping=3,pmu=on",
            "architectural, version 0x2, general counters 0x4",
        ),
    ],
    ids=["amd", "amd-core", "intel"],
)
def test_the_patched_qemus_pmu_counts_and_interrupts(tried, cpu, pmu, clock):
    finding, _ = tried("x86_64-tcg", cpu=cpu, clock=clock)
    assert finding.good, finding
    assert f": {pmu}" in finding.said


@pytest.mark.needs("qemu-system-aarch64", "aarch64-linux-gnu-gcc")
@pytest.mark.parametrize("clock", [(), ("-icount", "shift=0,sleep=off")], ids=["host", "icount"])
def test_arm64s_pmu_counts_and_interrupts(tried, clock):
    finding, _ = tried("aarch64-tcg", clock=clock)
    assert finding.good, finding
    assert ": PMUv3" in finding.said


@pytest.mark.needs("qemu-system-aarch64", "aarch64-linux-gnu-gcc")
def test_arm64_without_a_pmu(tried):
    finding, _ = tried("aarch64-tcg", cpu="max,pmu=off")
    assert finding.stage is Stage.PMU
    assert "ID_AA64DFR0_EL1.PMUVer is 0x0" in finding.said


@pytest.mark.needs("qemu-system-aarch64", "aarch64-linux-gnu-gcc")
def test_a_board_that_the_program_does_not_know_is_an_exception(tried):
    finding, _ = tried("aarch64-tcg", board="virt,gic-version=2")
    assert finding.stage is Stage.PMU
    assert "the guest met an exception: 0x2000000 at 0x404" in finding.said


@pytest.mark.needs("qemu-system-x86_64", "x86_64-linux-gnu-gcc")
@pytest.mark.parametrize(
    ("cpu", "stage", "said"),
    [
        ("Nehalem", Stage.PMU, "the guest is told of no PMU (none: CPUID leaf 10 says version 0)"),
        # AMD's CPUID does not tell: registers that are not there read as 0.
        ("max", Stage.COUNTER, "the counter stayed 0 while the guest worked"),
        ("no-such-cpu", Stage.BOOT, "QEMU ended with status 1 before the guest's first word"),
    ],
)
def test_an_unpatched_qemu_has_no_pmu_for_x86(tried, cpu, stage, said):
    finding, _ = tried("x86_64-tcg", cpu=cpu, **STOCK)
    assert finding.stage is stage
    assert finding.said.startswith(said)


@pytest.mark.needs("qemu-system-x86_64", "x86_64-linux-gnu-gcc")
@pytest.mark.parametrize("row", HARDWARE, ids=lambda row: row.name)
def test_hardware_delivers_or_is_told_in_time(tried, row):
    """Whatever the host is: it delivers, or the finding says where it does not, and what to do."""
    finding, seconds = tried(row.name)
    assert seconds < row.timeout_s + GRACE_S
    assert finding.good or (finding.stage and finding.said and finding.advice)
    if finding.stage in (Stage.BOOT, Stage.PMU, Stage.COUNTER, Stage.OVERFLOW, Stage.END):
        assert any(Path(finding.evidence).iterdir())
