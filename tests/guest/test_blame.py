# SPDX-License-Identifier: MIT
"""Whose fault it is, on real kernels: what no guest has, old defects, and their repairs."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from harness.ask.catalog import Catalog
from harness.host.progress import Progress
from harness.host.store import Cache
from harness.model import Change, Series, SeriesPatch, Status
from harness.run.folder import RunFolder
from harness.run.pipeline import Run, Settings
from harness.run.request import Asked, prepare

ROOT = Path(__file__).parents[2]
PATCHES = ROOT / "tests" / "data" / "patches"
# Gives the counter up where a period is set, and so in one of the two scenarios.
OLD_DEFECT = "saboteurs/period-ioctl-releases"
SCENARIOS = ("cycles-task", "period-ioctl")
RELEASE = "retention.release"

pytestmark = pytest.mark.needs("git", "make", "qemu-system-aarch64", "aarch64-linux-gnu-gcc")


@pytest.fixture
def judged(tmp_path):
    """Judge a patch of tests/data against a kernel that has the old defect already."""

    def judge(file):
        catalog, cache = Catalog(), Cache()
        catalog.series["new"] = Series(
            name="new",
            title="new",
            stands_on=OLD_DEFECT,
            patches=(SeriesPatch(file=str(file)),),
        )
        asked = Asked(series="new", source="debian:6.12", scenarios=SCENARIOS)
        return Run(
            prepared=prepare(catalog, cache, asked, lambda _: None),
            catalog=catalog,
            cache=cache,
            folder=RunFolder(tmp_path),
            progress=Progress(Console(file=io.StringIO())),
            settings=Settings(),
            command="test",
            repeat=lambda cell: cell.id,
        ).execute()

    return judge


def changes(result):
    """{scenario: change} of whether the counter is released."""
    return {one.scenario: one.change for one in result.changes if one.check == RELEASE}


def test_an_old_defect_is_not_a_harmless_patchs(judged):
    result = judged(PATCHES / "harmless.patch")
    assert result.status is Status.PASS, result.headline
    assert f"not this patch's: {RELEASE}" in result.headline
    assert {one.change for one in result.changes} == {Change.STILL_FAILING}
    assert changes(result) == {"period-ioctl": Change.STILL_FAILING}


def test_the_patch_that_repairs_it_fixes_it(judged):
    result = judged(PATCHES / "repair.patch")
    assert result.status is Status.PASS, result.headline
    assert "fixed: " in result.headline
    assert changes(result) == {"period-ioctl": Change.FIXED}


def test_a_second_defect_of_the_same_check_elsewhere_is_the_patchs(judged):
    (patch,) = Catalog().series["pre-callbacks"].patches_for("6.12.1", "arm64")
    result = judged(patch)
    assert result.status is Status.FAIL
    assert RELEASE in result.headline
    assert changes(result)["cycles-task"] is Change.BROKEN


@pytest.mark.parametrize(
    ("patch", "status", "said"),
    [
        ("harmless", 0, "passes every check"),
        ("another-architecture", 3, "for x86, which --machine x86_64-tcg builds"),
        (
            "left-out",
            1,
            "arm_spe_pmu.c does not compile, which this config leaves out",
        ),
        ("documentation", 3, "changes only what no kernel contains"),
    ],
)
def test_a_patch_is_judged_by_what_guests_have_of_it(tmp_path, patch, status, said):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "harness", "run", "--source", "debian:6.12"]
    command += ["--patch", str(PATCHES / f"{patch}.patch"), "--output", str(folder)]
    command += [word for name in SCENARIOS for word in ("--scenario", name)]
    done = subprocess.run(
        command, cwd=ROOT, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == status, done.stdout + done.stderr
    results = json.loads((folder / "results.json").read_text())
    assert said in results["headline"]
    assert results["exercised"] is (status != 3)
