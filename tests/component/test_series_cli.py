# SPDX-License-Identifier: MIT
"""ci and bisect as commands, with a tiny tree and a QEMU that is a script."""

import email
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.component.fakes import BEFORE, CLEAN, diff, git, make_qemu, make_tree

pytestmark = pytest.mark.needs("git", "make", "cpio", "setpriv", "aarch64-linux-gnu-gcc")

ROOT = Path(__file__).parents[2]
HELLO, AGAIN = f"print hello~{CLEAN}", f"print hello~{BEFORE}"
PANIC = "print Kernel panic - not syncing: saboteur"
RELEASE = "retention.release"

# What harness/__main__.py is, in a world with one machine and one scenario.
DRIVER = """\
import sys
from pathlib import Path
from harness.ask.catalog import Catalog
from harness.build.image import GuestImage, ImageBuilder
from harness.model import Machine
from harness.run import pipeline
from harness.run.bisect import Repository

root = Path(__file__).parent
known = Catalog().machines["aarch64-tcg"].model_dump()
row = Machine.model_validate({**known, "qemu": str(root / "qemu"), "timeout_s": 5})
scenario = Catalog().scenarios["cycles-task"]
Catalog.machines = property(lambda self: {row.name: row})
Catalog.scenarios = property(lambda self: {scenario.name: scenario})
ImageBuilder.build = lambda self: GuestImage(root / "image.cpio", "sha")
pipeline.qemu_version = lambda _: "fake"
Repository.step = property(
    lambda self: [sys.executable, __file__, "bisect-step", str(self.folder)]
)
from harness.cli import main
main()
"""


@pytest.fixture
def call(tmp_path):
    """Run a command in that world: (exit status, what it printed)."""
    qemu = make_qemu(tmp_path)
    qemu.write_text(qemu.read_text().replace("script.splitlines()", 'script.strip().split("~")'))
    (tmp_path / "image.cpio").write_bytes(b"")
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER)
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }

    def run(*words, stdin=""):
        done = subprocess.run(
            [sys.executable, driver, *map(str, words)],
            cwd=tmp_path,
            env=env,
            check=False,
            capture_output=True,
            text=True,
            input=stdin,
        )
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture
def tree(tmp_path):
    """A repository with a commit for each line of its kernel: (folder, the commits)."""
    folder = make_tree(tmp_path / "linux", f"{CLEAN}\n")
    git(folder, "init", "--quiet")

    def commits(*lines):
        found = []
        for number, line in enumerate((CLEAN, *lines)):
            (folder / "kernel" / "core.c").write_text(f"{line}\n")
            git(folder, "add", "--all", "--force")
            message = f"part {number}\n\nMessage-Id: <{number}@x>"
            git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
            found.append(git(folder, "rev-parse", "HEAD"))
        return folder, found

    return commits


LINES = (HELLO, CLEAN, BEFORE, AGAIN, HELLO)


def test_ci_takes_commits_of_a_tree(call, tree, tmp_path):
    folder, commits = tree(*LINES)
    place = tmp_path / "out"
    where = ("--source", folder, "--range", f"{commits[0]}..")
    status, said = call("ci", *where, "--output", place)
    assert status == 1, said
    result = json.loads((place / "series.json").read_text())
    assert [step["state"] for step in result["steps"]] == ["pass", "pass", "fail", "pass", "pass"]
    assert result["first_bad"] == 3
    assert "patch 3 of 5 (part 3) breaks retention.release" in " ".join(said.split())
    names = {path.name for path in place.iterdir()}
    assert {"report.html", "junit.xml", "kcidb.json", "summary.md", "reply.eml"} <= names
    assert email.message_from_bytes((place / "reply.eml").read_bytes())["Subject"] == "Re: part 3"
    (place / "reply.eml").unlink()
    assert call("report", place)[0] == 1
    assert (place / "reply.eml").exists()
    # As the person's own command has it, from any folder.
    again = result["steps"][2]["repeat"].split()
    assert again[1:4] == ["run", "--source", f"git:{folder}@{commits[0]}"]
    status, said = call(*again[1:])
    assert status == 1, said
    assert f"breaks {RELEASE}" in said


def test_ci_takes_a_mailbox_on_standard_input_and_into_the_same_folder(call, tree, tmp_path):
    folder, commits = tree(*LINES[:3])
    box = git(folder, "format-patch", "--stdout", f"{commits[0]}..")
    git(folder, "checkout", "--quiet", commits[0])
    for _ in range(2):
        command = ("ci", "-", "--source", folder, "--output", tmp_path / "out")
        status, said = call(*command, stdin=box + "\n")
        assert status == 1, said
        assert "breaks retention.release" in said
    assert len(list((tmp_path / "out").glob("0*-*"))) == 3


def test_ci_without_a_series_says_what_to_give(call):
    status, said = call("ci")
    assert status == 2 and "no series was given" in said


def test_bisect_finds_the_commit_in_a_tree_and_leaves_that_alone(call, tree, tmp_path):
    folder, commits = tree(HELLO, "error: no C", CLEAN, PANIC, BEFORE, AGAIN)
    refs = git(folder, "for-each-ref"), git(folder, "status", "--porcelain")
    place = tmp_path / "out"
    ends = (commits[0], commits[-1])
    status, said = call("bisect", *ends, "--source", folder, "--output", place)
    found = json.loads((place / "bisect.json").read_text())
    tried = {commits.index(one["commit"]): one["taken"] for one in found["tried"]}
    assert tried[0] == "good" and tried[6] == "bad"
    assert all(tried.get(number, "skip") == "skip" for number in (2, 4))
    # Between the commit that panics and the one behind it nobody can tell.
    assert status in (0, 3), said
    suspects = {commits.index(commit) for commit in found["suspects"]}
    assert found["first_bad"] == commits[5] or suspects == {4, 5}
    assert "git bisect" in (place / "bisect.log").read_text()
    assert refs == (git(folder, "for-each-ref"), git(folder, "status", "--porcelain"))


def test_bisect_finds_what_breaks_the_build(call, tree, tmp_path):
    folder, commits = tree(HELLO, CLEAN, "error: no C", "error: no C++")
    ends = (commits[0], commits[-1])
    status, said = call("bisect", *ends, "--source", folder, "--output", tmp_path / "out")
    assert status == 0, said
    assert f"first bad commit: {commits[3]}" in said
    assert "kernel.builds" in said


def test_bisect_of_a_series(call, tree, tmp_path):
    folder, _ = tree()
    files, before = [], CLEAN
    for number, line in enumerate((HELLO, CLEAN, BEFORE, AGAIN), 1):
        file = tmp_path / f"{number}-part.patch"
        file.write_text(diff("kernel/core.c", before, line))
        files.append(file)
        before = line
    place = tmp_path / "out"
    command = ("bisect", "--patch", *files, "--source", folder, "--check", RELEASE)
    status, said = call(*command, "--output", place)
    assert status == 0, said
    assert "3-part" in said.partition("first bad commit:")[2]
    status, said = call("bisect", 0, 2, *command[1:], "--output", tmp_path / "good")
    assert status == 2 and "breaks nothing" in said
    status, said = call("bisect", 0, 9, *command[1:], "--output", tmp_path / "none")
    assert status == 2 and "no number of patches" in said
