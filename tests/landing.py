# SPDX-License-Identifier: MIT
"""What a landing runs of many tests alike: what changed lately, and a sample that rotates."""

import hashlib
import subprocess
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
# One in so many; another one with each commit.
PARTS = 3
# How far back a change is taken for one of this landing.
COMMITS = 25


def _git(*argv: str) -> str:
    done = subprocess.run(["git", *argv], cwd=ROOT, check=False, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""


def commit() -> str:
    """The commit that is tested, in hex digits; empty where git does not say."""
    return _git("rev-parse", "HEAD").strip()


def changed_files() -> frozenset[str]:
    """What the last commits touched, and what is not committed."""
    lately = _git("log", f"-{COMMITS}", "--name-only", "--format=")
    now = _git("diff", "--name-only", "HEAD")
    return frozenset(filter(None, (lately + now).splitlines()))


def part(name: str) -> int:
    """Of which part a test is: the same for ever."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % PARTS


def in_sample(name: str, sha: str) -> bool:
    """True if a test is in the sample of a commit; without a commit, each is."""
    return not sha or part(name) == int(sha, 16) % PARTS


def touches(changed: Iterable[str], *places: str) -> bool:
    """True if something below one of the places changed."""
    return any(file.startswith(place) for file in changed for place in places)
