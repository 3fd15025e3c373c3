# SPDX-License-Identifier: MIT
"""guest-images/vm, what virtual machines execute, on emulated machines of its own."""

import pytest

from harness.ask.catalog import Catalog
from harness.build import bare
from harness.build.recipe import VM_MAIN
from harness.host import process
from harness.machine.argv import trial_argv

CATALOG = Catalog()
# It never ends.
SECONDS, BYTES = 2.0, 1 << 20


@pytest.fixture
def said(tmp_path, qemu):
    """A function that runs the program on an accelerator: what it said, line by line."""

    def run(name):
        row = CATALOG.accelerators[name]
        architecture = CATALOG.architectures[row.architecture]
        program = bare.Program(row, architecture, CATALOG.root / "guest-images", VM_MAIN)
        program.compile(tmp_path / "vm")
        argv = trial_argv(row, tmp_path / "vm", None)
        command = qemu if row.emulator else [row.qemu]
        console = tmp_path / "console"
        process.bounded(
            [*command, *argv[1:]],
            stdout=console,
            stderr=tmp_path / "log",
            seconds=SECONDS,
            size=BYTES,
        )
        return console.read_text().splitlines()[:-1]

    return run


@pytest.mark.needs("x86_64-linux-gnu-gcc")
def test_amds_counters_count_a_loop_and_overflow_as_often_as_they_are_set(said):
    booted, *results = said("x86_64-tcg")
    assert booted.startswith("pmu AMD")
    assert len(results) > 40
    assert set(results) == {
        "counted 0x0 0x1e8480 0x1e8480",
        "counted 0x1 0x1e8480 0x1e8480",
        "overflows 0x0 0x3 0x3",
        "overflows 0x1 0x3 0x3",
    }


@pytest.mark.needs("qemu-system-aarch64", "aarch64-linux-gnu-gcc")
def test_arm64s_counters_do_too_but_for_what_qemu_notices_late(said):
    """docs/errata.md, qemu-late-overflow: where no host ticks, nothing helps it."""
    booted, *results = said("aarch64-tcg")
    assert booted.startswith("pmu PMUv3")
    assert len(results) > 2
    sure = [line for line in results if not line.startswith("overflows 0x1")]
    assert set(sure) == {
        "counted 0x0 0x1e8480 0x1e8480",
        "counted 0x1 0x1e8480 0x1e8480",
        "overflows 0x0 0x3 0x3",
    }
