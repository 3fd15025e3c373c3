# SPDX-License-Identifier: MIT
"""The outputs in README.md and docs/ are today's.

`./pmu-harness test -e guest -- tests/guest/test_documents.py --make-anew` puts today's numbers
into them; a line that nothing printed is like is for a person.
"""

import shlex
import subprocess
import sys

import pytest

from tests.documented import DOCUMENTS, ROOT, made_anew, rewrite, shown_in, stale

SHOWN = [shown for document in DOCUMENTS for shown in shown_in(document)]

pytestmark = pytest.mark.needs("git", "make", "qemu-system-aarch64", "aarch64-linux-gnu-gcc")


@pytest.mark.parametrize("shown", SHOWN, ids=str)
def test_a_documented_output_is_todays(shown, tmp_path, pytestconfig):
    program, *words = shlex.split(shown.command)
    assert program == "./pmu-harness"
    place = ["--output", str(tmp_path / "run")] if words[0] in ("run", "mutants") else []
    done = subprocess.run(
        [sys.executable, "-m", "harness", *words, *place],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    output = done.stdout.splitlines()
    if pytestconfig.getoption("--make-anew"):
        rewrite(shown, made_anew(shown, output))
        return
    assert not stale(shown, output), done.stdout + done.stderr
