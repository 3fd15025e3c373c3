# SPDX-License-Identifier: MIT
"""Scenarios drawn by chance find a saboteur, and the same ones for the same seed."""

import json
import shlex
import subprocess
import sys

import pytest

from tests.guest.test_guests import ROOT

pytestmark = pytest.mark.needs(
    "git", "make", "qemu-system-aarch64", "aarch64-linux-gnu-gcc", "cpio", "bwrap"
)
KERNEL = ("--source", "debian:6.12", "--machine", "aarch64-tcg")


def explored(folder, *options):
    """(exit status, what exploration.json holds)."""
    command = [sys.executable, "-m", "harness", "explore", *KERNEL, "--output", str(folder)]
    done = subprocess.run(
        [*command, *options], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert (folder / "exploration.json").exists(), done.stdout + done.stderr
    return done.returncode, json.loads((folder / "exploration.json").read_text())


def test_a_saboteur_is_found_and_its_scenario_shows_it_again(tmp_path):
    """Without the scenario that its claim names."""
    saboteur = ("--series", "saboteurs/sched-count-left", "--without", "attached")
    status, found = explored(tmp_path / "found", *saboteur, "--examples", "32", "--fail-fast")
    assert status == 1
    (one,) = found["discoveries"]
    assert one["check"] == "kernel.residue"
    assert "perf_sched_count was 0, and is" in one["evidence"][0]
    assert found["near"] and found["near"] == found["entered"]
    assert len(one["scenario"].splitlines()) <= 8
    words = shlex.split(one["repeat"])[1:]
    again = [sys.executable, "-m", "harness", *words, "--output", str(tmp_path / "again")]
    done = subprocess.run(again, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 1 and "kernel.residue" in done.stdout, done.stdout + done.stderr


def test_the_same_seed_comes_to_the_same(tmp_path):
    options = ("--bare", "--examples", "12", "--seed", "5")
    _, once = explored(tmp_path / "once", *options)
    _, twice = explored(tmp_path / "twice", *options, "--jobs", "1")
    assert not once["undecided"] and once["reached"] > 0
    for found in (once, twice):
        del found["seconds"]
        for one in found["discoveries"]:
            del one["repeat"]
    assert once == twice
