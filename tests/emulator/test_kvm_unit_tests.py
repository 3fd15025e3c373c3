# SPDX-License-Identifier: MIT
"""The script that runs a user's kvm-unit-tests: what it makes of their lines."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "kvm-unit-tests"
ENDED = "SUMMARY: 3 tests"


@pytest.fixture
def script(tmp_path):
    """Run it on a checkout, with a QEMU that only says these lines."""
    (tmp_path / "x86").mkdir()
    for name in ("pmu.c", "pmu.flat"):
        (tmp_path / "x86" / name).touch()

    def call(*lines, checkout=tmp_path):
        (tmp_path / "said").write_text("".join(f"{line}\n" for line in lines))
        fake = tmp_path / "qemu"
        fake.write_text(f"#!/bin/sh\ncat {tmp_path}/said\n")
        fake.chmod(0o755)
        environment = {**os.environ, "PMU_HARNESS_QEMU": str(fake)}
        return subprocess.run(
            [SCRIPT, checkout], check=False, capture_output=True, text=True, env=environment
        )

    return call


def test_all_passes(script):
    done = script("PASS: Intel: instructions-0", "SKIP: Intel: rdpmc: fast-0", ENDED)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("  passed       Intel: instructions-0") == 6
    assert "not offered  Intel: rdpmc: fast-0: fast RDPMC" in done.stdout


def test_what_the_emulator_does_not_count_is_no_failure(script):
    done = script("GP event 'llc misses' is disabled", "FAIL: AMD: branch misses-1", ENDED)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not offered  GP event 'llc misses' is disabled: no caches" in done.stdout
    assert "not offered  AMD: branch misses-1: no branches are predicted" in done.stdout


@pytest.mark.parametrize(
    "lines",
    [
        ("FAIL: Intel: ref cycles-0", ENDED),
        ("FAIL: AMD: overflow: irq-1", ENDED),
        ("GP event 'instructions' is disabled", ENDED),
        ("PASS: Intel: instructions-0",),
        (),
    ],
)
def test_failures(script, lines):
    done = script(*lines)
    assert done.returncode == 1, done.stdout + done.stderr


def test_no_checkout(script, tmp_path):
    done = script(ENDED, checkout=tmp_path / "nothing")
    assert done.returncode == 2
    assert "no checkout" in done.stderr
