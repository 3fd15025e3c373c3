# SPDX-License-Identifier: MIT
"""The outputs in README.md and docs/ are today's.

`./pmu-harness test -e guest -- tests/guest/test_documents.py --make-anew` puts today's numbers
into them; a line that nothing printed is like is for a person.  With another compiler, QEMU or
kernel release than theirs the lines must be there, and may have other numbers.
"""

import json
import shlex
import subprocess
import sys

import pytest

from tests.documented import DOCUMENTS, ROOT, made_anew, made_with, rewrite, shown_in, stale

MADE_WITH = ROOT / "tests" / "data" / "documented.json"
SHOWN = [shown for document in DOCUMENTS for shown in shown_in(document)]

pytestmark = pytest.mark.needs("git", "make", "qemu-system-aarch64", "aarch64-linux-gnu-gcc")


@pytest.mark.parametrize("shown", SHOWN, ids=str)
def test_a_documented_output_is_todays(shown, tmp_path, pytestconfig):
    program, *words = shlex.split(shown.command)
    assert program == "./pmu-harness"
    place = ["--output", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-m", "harness", *words, *place],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    output = done.stdout.splitlines()
    known = json.loads(MADE_WITH.read_text(encoding="utf-8"))
    today = made_with(tmp_path / "run")
    if pytestconfig.getoption("--make-anew"):
        rewrite(shown, made_anew(shown, output))
        text = json.dumps({**known, shown.command: today}, indent=1, sort_keys=True)
        MADE_WITH.write_text(f"{text}\n", encoding="utf-8")
        return
    exactly = known.get(shown.command) == today
    assert not stale(shown, output, exactly=exactly), done.stdout + done.stderr
