# SPDX-License-Identifier: MIT
"""Programs that are to show a bug, in real guests: compared, bounded, without network."""

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
from harness.model import Series, SeriesPatch, Status
from harness.run.folder import RunFolder
from harness.run.pipeline import Run, Settings
from harness.run.request import Asked, prepare

ROOT = Path(__file__).parents[2]
ADJUST = ROOT / "guest-images" / "reproducers" / "adjust.c"
CRASHES = "saboteurs/oops-in-adjust"

pytestmark = pytest.mark.needs("git", "make", "qemu-system-aarch64", "aarch64-linux-gnu-gcc")


@pytest.fixture
def run(tmp_path):
    """Run reproducers: (exit status, results, run folder)."""

    def call(*argv):
        folder = tmp_path / "run"
        command = [sys.executable, "-m", "harness", "run", "--source", "debian:6.12"]
        command += ["--output", str(folder), *map(str, argv)]
        done = subprocess.run(
            command, cwd=ROOT, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        assert (folder / "results.json").exists(), done.stdout + done.stderr
        return done.returncode, json.loads((folder / "results.json").read_text()), folder

    return call


@pytest.fixture
def programs(tmp_path):
    """Write a file of this name, and return the option that names it."""

    def write(name, text):
        file = tmp_path / name
        file.write_text(text)
        return "--reproducer", file

    return write


def said(folder, name):
    """(what a reproducer wrote, how it ended), as its guest recorded it."""
    (path,) = folder.glob(f"cells/*/aarch64-tcg/reproducer-{name}/records.jsonl")
    records = [json.loads(line) for line in path.read_text().splitlines()]
    (end,) = (record for record in records if record["kind"] == "reproduced")
    return [record["text"] for record in records if record["kind"] == "said"], end


def verdicts(results):
    """{(role, check): (status, what was measured)} of one reproducer."""
    return {
        (cell["cell"]["role"], verdict["check"]): (verdict["status"], verdict["measured"])
        for cell in results["cells"]
        for verdict in cell["verdicts"]
    }


def test_a_crash_of_the_candidate_only_is_its_fault(run):
    status, results, _ = run("--series", CRASHES, "--reproducer", ADJUST)
    assert status == 1
    assert results["headline"] == f"6.12+{CRASHES} breaks kernel.health"
    found = verdicts(results)
    assert found["reference", "kernel.health"] == ("pass", "done")
    assert found["reference", "reproducer.end"][0] == "pass"
    measured = found["candidate", "kernel.health"][1]
    assert measured.startswith("oops in step 1 (reproduce 5): Unable to handle kernel NULL")


def reversed_patch(text):
    """A patch that takes back what another one does; of lines that are replaced only."""
    swap = {"-": "+", "+": "-"}
    lines = [
        line if line[:3] in ("---", "+++") else swap.get(line[:1], line[:1]) + line[1:]
        for line in text[text.index("diff --git") :].splitlines()
    ]
    return "".join(f"{line}\n" for line in lines)


def test_a_crash_of_the_reference_only_is_fixed(tmp_path):
    """The reference has the saboteur, the candidate its repair as well."""
    catalog = Catalog()
    (patch,) = catalog.series[CRASHES].patches_for("6.12.1", "arm64")
    repair = tmp_path / "repair.patch"
    repair.write_text(reversed_patch(Path(patch).read_text()))
    catalog.series["repair"] = Series(
        name="repair",
        title="repair",
        stands_on=CRASHES,
        patches=(SeriesPatch(file=str(repair)),),
    )
    asked = Asked(series="repair", source="debian:6.12", reproducers=(ADJUST,))
    cache, folder = Cache(), tmp_path / "run"
    folder.mkdir()
    result = Run(
        prepared=prepare(catalog, cache, asked, lambda _: None),
        catalog=catalog,
        cache=cache,
        folder=RunFolder(folder),
        progress=Progress(Console(file=io.StringIO())),
        settings=Settings(),
        command="test",
        repeat=lambda cell: cell.id,
    ).execute()
    assert result.status is Status.PASS, result.headline
    assert result.headline == "6.12+repair passes every check; fixed: kernel.health"


LOOP = """
#include <stdio.h>
#include <unistd.h>
int main(void)
{
	if (!fork()) {
		setsid();
		for (;;)
			pause();
	}
	for (unsigned long i = 0;; i++) {
		if (i % 1000 == 0) {
			printf("round %lu, a line that is as long as others are\\n", i);
			fflush(stdout);
		}
		getppid();
	}
}
"""
ODD = r"""
#include <stdio.h>
#include <stdlib.h>
int main(void)
{
	puts("\"quoted\" \\ and \x1b[2J");
	fflush(stdout);
	return system("cat /proc/net/dev | wc -l; exit 3") >> 8;
}
"""
SCRIPT = """#!/bin/bash
perf stat -x, -e cycles:u true 2>&1 | cut -d, -f3
ls /sys/class/net
[[ -n $BASH_VERSION ]]
"""


def test_what_a_reproducer_does_is_bounded_and_recorded(run, programs):
    asked = (*programs("loop.c", LOOP), *programs("odd.c", ODD), *programs("script", SCRIPT))
    status, results, folder = run("--alone", "--seconds", "2", *asked)
    assert status == 1
    assert results["headline"].endswith(" fails reproducer.end")
    lines, end = said(folder, "loop")
    assert end["ended"] == "time" and not end["stuck"]
    # The last line is cut where the bound is.
    assert len("\n".join(lines)) <= 64 << 10 < end["output"]
    lines, end = said(folder, "odd")
    # Two lines of a head, and the loopback.
    assert lines == ['"quoted" \\ and ?[2J', "3"]
    assert (end["ended"], end["status"]) == ("exit", 3)
    lines, end = said(folder, "script")
    assert lines == ["cycles:u", "lo"]
    assert (end["ended"], end["status"]) == ("exit", 0)


def test_a_guest_that_is_powered_off_by_its_reproducer_is_told_of(run, programs):
    code = "#include <sys/reboot.h>\nint main(void) { return reboot(RB_AUTOBOOT); }\n"
    status, results, _ = run("--alone", *programs("off.c", code))
    assert status == 1
    assert "without a word (guest-reset)" in verdicts(results)["candidate", "kernel.health"][1]
