# SPDX-License-Identifier: MIT
"""What a landing runs of many tests alike: what changed lately, and a sample that rotates."""

import hashlib
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
# A landing has time for so many: some twenty seconds each.
MOST = 40
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


def chosen(tests: Mapping[str, bool], sha: str, most: int = MOST) -> set[str]:
    """As many tests as a landing has time for; without a commit, all.

    `tests` says of each whether it changed: those come first, then the others, each in an order
    that is another one with each commit, and the same for the same commit.
    """
    if not sha:
        return set(tests)

    def place(name: str) -> tuple[bool, str]:
        return not tests[name], hashlib.sha256(f"{sha} {name}".encode()).hexdigest()

    return set(sorted(tests, key=place)[:most])


def touches(changed: Iterable[str], *places: str) -> bool:
    """True if something below one of the places changed."""
    return any(file.startswith(place) for file in changed for place in places)
