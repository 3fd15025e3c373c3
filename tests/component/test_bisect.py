# SPDX-License-Identifier: MIT
"""git's own bisection in a repository of ours: what is skipped, what is left, the log."""

import sys

import pytest

from harness.errors import HostError, PlanError
from harness.model import PatchFile
from harness.run.bisect import LOG, Repository, State, of_clone, of_patches
from harness.run.request import Asked
from harness.source.clone import Clone
from harness.source.kernel import Request, resolve
from tests.component.fakes import diff, git

pytestmark = pytest.mark.needs("git", "setpriv")

# Takes a commit for what its subject says.
STEP = """\
import subprocess, sys
commit = subprocess.check_output(["git", "rev-parse", "BISECT_HEAD"], text=True).strip()
said = subprocess.check_output(["git", "log", "-1", "--format=%s", commit], text=True)
sys.exit({"good": 0, "bad": 1, "skip": 125, "stop": 255}[said.split()[0]])
"""


@pytest.fixture
def bisect(tmp_path):
    """Bisect a person's repository with commits of such subjects: its result, and the two."""
    person, folder = tmp_path / "linux", tmp_path / "bisect"
    person.mkdir()
    folder.mkdir()
    step = tmp_path / "step.py"
    step.write_text(STEP)
    git(person, "init", "--quiet")

    def run(*subjects):
        commits = []
        for number, subject in enumerate(subjects):
            (person / "file").write_text(str(number))
            git(person, "add", "file")
            git(person, "commit", "--quiet", "--message", f"{subject} {number}")
            commits.append(git(person, "rev-parse", "HEAD"))
        run.before = git(person, "for-each-ref"), git(person, "status", "--porcelain")
        repository = Repository(folder)
        of_clone(Clone(person), repository)
        first, suspects = repository.start(commits[0], commits[-1]), ()
        if not first:
            argv = [sys.executable, str(step)]
            first, suspects = repository.bisect(argv, lambda _: None)
        run.repository, run.log = repository, (folder / LOG).read_text()
        assert run.before == (git(person, "for-each-ref"), git(person, "status", "--porcelain"))
        found = commits.index(first) if first else None
        return found, sorted(commits.index(commit) for commit in suspects)

    run.person = person
    return run


def test_the_first_bad_commit_is_found(bisect):
    assert bisect("good", "good", "good", "bad", "bad", "bad") == (3, [])
    assert bisect.log.startswith("git bisect start") or "git bisect start" in bisect.log
    assert "# first bad commit: [" in bisect.log
    first = bisect.repository.about(git(bisect.person, "rev-parse", "HEAD~2"))
    assert "bad 3" in first and "file | 2 +-" in first


def test_what_is_skipped_is_passed_over(bisect):
    assert bisect("good", "skip", "good", "bad", "skip", "bad") == (3, [])


def test_where_only_skipped_commits_are_left_they_are_the_suspects(bisect):
    assert bisect("good", "good", "skip", "skip", "bad") == (None, [2, 3, 4])


def test_ends_that_follow_each_other_need_no_step(bisect):
    assert bisect("good", "bad") == (1, [])


def test_a_step_that_cannot_be_carried_out_ends_it(bisect):
    with pytest.raises(HostError, match="did not come to an end"):
        bisect("good", "good", "stop", "bad", "bad")


def test_ends_the_wrong_way_round_are_refused(tmp_path, bisect):
    bisect("good", "good", "bad")
    folder = tmp_path / "other"
    folder.mkdir()
    repository = Repository(folder)
    of_clone(Clone(bisect.person), repository)
    head = git(bisect.person, "rev-parse", "HEAD")
    with pytest.raises(PlanError, match="nothing to bisect"):
        repository.start(head, head)


def test_patches_are_commits(world, tmp_path):
    request = Request(world.cache, None, False, lambda _: None)
    source = resolve(f"path:{world.tree}", request)
    texts = [("bare", "one"), ("one", "two")]
    patches = [
        PatchFile.of(f"{n}.patch", diff("kernel/core.c", *text).encode(), subject=f"part {n}")
        for n, text in enumerate(texts, 1)
    ]
    folder = tmp_path / "bisect"
    folder.mkdir()
    repository = Repository(folder)
    numbers = of_patches(source, patches, repository)
    assert list(numbers.values()) == [0, 1, 2]
    subjects = [repository.subject(commit) for commit in numbers]
    assert subjects == ["the base", "part 1", "part 2"]
    assert "kernel/core.c | 2 +-" in repository.about(list(numbers)[2])


def test_what_the_steps_know_is_read_back(tmp_path):
    asked = Asked(source="debian:6.12", patches=(tmp_path,), checks=("retention",))
    state = State(asked, numbers={"a": 1}).narrowed("good", (("task", "retention.release"),))
    state.write(tmp_path)
    again = State.read(tmp_path)
    assert again == state
    assert (again.asked.scenarios, again.asked.checks) == (("task",), ())
