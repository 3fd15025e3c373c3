# SPDX-License-Identifier: MIT
"""A real kernel's kconfig and kbuild, which run what a patch tells them to: within the sandbox."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAID = "pmu-harness-was-here"

pytestmark = pytest.mark.needs("git", "make", "bwrap", "aarch64-linux-gnu-gcc")

# Before anything else of init/Kconfig is read, and of the top Makefile.
PATCH = """\
diff --git a/init/Kconfig b/init/Kconfig
--- a/init/Kconfig
+++ b/init/Kconfig
@@ -1,3 +1,5 @@
 # SPDX-License-Identifier: GPL-2.0-only
+pmu-stranger := $(shell,touch {place}; cat {secret}; curl -s file:///etc/shadow)
+$(warning-if,y,{said} $(pmu-stranger) and that is all)
 config CC_VERSION_TEXT
 \tstring
"""


def test_what_kconfig_runs_is_confined(tmp_path):
    """It runs, which its own words in the log show, and reaches nothing."""
    place, secret = tmp_path / "escaped", tmp_path / "secret"
    secret.write_text("a secret of mine")
    patch = tmp_path / "stranger.patch"
    patch.write_text(PATCH.format(place=place, secret=secret, said=SAID))
    command = [sys.executable, "-m", "harness", "run", "--source", "debian:6.12"]
    command += ["--patch", str(patch), "--scenario", "cycles-task", "--output", tmp_path / "run"]
    done = subprocess.run(
        command, cwd=ROOT, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    # The image is the reference's, so nothing is judged.
    assert done.returncode == 3, done.stdout + done.stderr
    logs = [path.read_text() for path in (tmp_path / "run" / "subjects").glob("*/build.log")]
    assert any(f"{SAID}  and that is all" in text for text in logs)
    assert not place.exists()
    assert not any("a secret of mine" in text or "root:" in text for text in logs)
