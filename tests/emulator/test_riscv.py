# SPDX-License-Identifier: MIT
"""RISC-V's counters in the patched QEMU, by programs that need no kernel."""

import io

import pytest
from rich.console import Console

from harness.ask.catalog import Catalog
from harness.build import bare
from harness.build.emulator import provide
from harness.build.recipe import VM_MAIN
from harness.doctor.findings import accelerated
from harness.doctor.trial import Doctor
from harness.host import process
from harness.host.progress import Progress
from harness.host.store import Cache
from harness.machine.argv import trial_argv
from harness.model import Stage

CATALOG = Catalog()
NAME = "riscv64-tcg"
ROW = CATALOG.accelerators[NAME]
# The program in virtual machines never ends.
SECONDS, BYTES = 4.0, 1 << 20

pytestmark = pytest.mark.needs("riscv64-linux-gnu-gcc", "ninja")


@pytest.fixture(scope="module")
def riscv():
    """The emulator, built."""
    with Progress(Console(stderr=True)) as progress:
        return provide(ROW.emulator, CATALOG, Cache(), progress).program


@pytest.fixture
def tried(riscv, monkeypatch):
    """A function that tries the row, changed: what came of it."""
    cache = Cache()
    progress = Progress(Console(file=io.StringIO()))

    def attempt(**changes):
        row = ROW.model_copy(update=changes)
        return accelerated(row, Doctor(CATALOG, cache, progress, rerun=True).trial(row))

    with cache.scratch() as place:
        monkeypatch.setattr(cache, "trials", place)
        yield attempt


@pytest.mark.parametrize("clock", [(), ROW.clock], ids=["host", "icount"])
def test_the_counters_count_and_interrupt(tried, clock):
    finding = tried(clock=clock)
    assert finding.good, finding
    assert ": SBI PMU and Sscofpmf" in finding.said


@pytest.mark.parametrize(
    ("cpu", "stage", "said"),
    [
        ("rv64,sscofpmf=off,pmu-mask=0x1f8", Stage.PMU, "sie has no bit 13"),
        ("rv64,sscofpmf=on,pmu-mask=0", Stage.COUNTER, "the counter stayed 0"),
    ],
)
def test_without_overflow_or_counters_there_is_no_pmu_to_speak_of(tried, cpu, stage, said):
    finding = tried(cpu=cpu)
    assert finding.stage is stage
    assert said in finding.said


def test_two_counters_count_a_loop_and_overflow_as_often_as_they_are_set(riscv, tmp_path):
    """To the instruction, cycles beside instructions, reloaded from the interrupt."""
    program = bare.Program(
        ROW, CATALOG.architectures[ROW.architecture], CATALOG.root / "guest-images", VM_MAIN
    )
    program.compile(tmp_path / "vm")
    console = tmp_path / "console"
    process.bounded(
        trial_argv(ROW, tmp_path / "vm", riscv),
        stdout=console,
        stderr=tmp_path / "log",
        seconds=SECONDS,
        size=BYTES,
    )
    # Behind the firmware's own words; the last line is not whole.
    said = console.read_text().partition("pmu SBI PMU")[2].splitlines()[1:-1]
    assert len(said) > 40
    assert set(said) == {
        "counted 0x0 0x1e8480 0x1e8480",
        "counted 0x1 0x1e8480 0x1e8480",
        "overflows 0x0 0x3 0x3",
        "overflows 0x1 0x3 0x3",
    }
