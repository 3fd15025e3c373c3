# SPDX-License-Identifier: MIT
"""Children: logged, ended with their session, gone with the harness."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.errors import HostError
from harness.host import process

ROOT = Path(__file__).parents[2]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.01)


def test_output_and_status(tmp_path):
    assert process.capture(["sh", "-c", "cat; echo done"], stdin=b"in\n") == "in\ndone\n"
    with pytest.raises(process.CommandError) as raised:
        process.capture(["sh", "-c", "echo why >&2; exit 3"])
    assert raised.value.status == 3
    assert raised.value.output == "why\n"
    assert str(raised.value).endswith(": exit status 3")
    with pytest.raises(process.CommandError, match=r": ended by SIGKILL$"):
        process.capture(["sh", "-c", "kill -9 $$"])


def test_what_the_host_killed_for_want_of_memory_is_counted(tmp_path, monkeypatch):
    place = tmp_path / "vmstat"
    monkeypatch.setattr(process, "_VMSTAT", place)
    assert process.oom_kills() is None
    place.write_text("nr_free_pages 5\n")  # Before Linux 4.13.
    assert process.oom_kills() is None
    place.write_text("nr_free_pages 5\noom_kill 3\n")
    assert process.oom_kills() == 3


def test_a_log_holds_the_command_and_its_last_words(tmp_path):
    log = tmp_path / "deep" / "log"
    with pytest.raises(process.CommandError) as raised:
        process.logged(["sh", "-c", "echo one; echo two >&2; exit 1"], log)
    assert log.read_text() == "$ sh -c 'echo one; echo two >&2; exit 1'\none\ntwo\n"
    assert raised.value.output.endswith("one\ntwo")


def test_a_command_that_does_not_exist():
    with pytest.raises(HostError, match="not installed"):
        process.capture(["no-such-command-at-all"])


def test_the_environment_is_not_inherited(monkeypatch):
    monkeypatch.setenv("MAKEFLAGS", "-k")
    assert "MAKEFLAGS" not in process.capture(["env"])


def test_a_child_can_do_without_huge_pages(tmp_path):
    def enabled(huge_pages):
        with (tmp_path / "out").open("wb") as out:
            argv = ["grep", "THP_enabled", "/proc/self/status"]
            child = process.start(argv, stdout=out, huge_pages=huge_pages)
        assert child.wait(10) == 0
        process.end(child)
        return (tmp_path / "out").read_text().split()[1]

    assert [enabled(each) for each in (True, False, True)] == ["1", "0", "1"]


def test_end_takes_the_whole_session(tmp_path):
    mark = tmp_path / "pid"
    child = process.start(["sh", "-c", f"trap '' TERM; sleep 60 & echo $! > {mark}; wait"])
    wait_until(lambda: mark.exists() and mark.read_text().strip())
    process.end(child, grace_s=0.2)
    wait_until(lambda: not alive(int(mark.read_text())))
    assert child.poll() is not None


def test_children_go_when_the_harness_is_killed(tmp_path):
    mark = tmp_path / "pid"
    code = (
        "from harness.host import process; import time\n"
        f"child = process.start(['sleep', '60']); open({str(mark)!r}, 'w').write(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    harness = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    wait_until(lambda: mark.exists() and mark.read_text())
    os.kill(harness.pid, signal.SIGKILL)
    assert harness.wait() == -signal.SIGKILL
    wait_until(lambda: not alive(int(mark.read_text())))


def test_after_stop_all_nothing_starts():
    code = (
        "from harness.host import process\n"
        "child = process.start(['sleep', '60']); process.stop_all()\n"
        "assert child.poll() is not None\n"
        "try:\n    process.start(['true'])\n"
        "except KeyboardInterrupt:\n    print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert done.stdout == b"refused\n"


def test_what_not_even_sigkill_ends_is_waited_for_no_longer(monkeypatch):
    """A process that waits within the kernel; here it only is not sent the signals."""
    child = process.start(["sleep", "60"])
    with monkeypatch.context() as patch:
        patch.setattr(process, "_signal", lambda child, number: None)
        patch.setattr(process, "KILL_S", 0.05)
        with pytest.raises(HostError, match="does not end, though it was killed"):
            process.end(child, grace_s=0.05)
    assert process.end(child) == -signal.SIGTERM


def test_a_bounded_command_says_how_it_ended(tmp_path):
    out, err = tmp_path / "out", tmp_path / "err"

    def bounded(script, seconds=20.0):
        argv = ["sh", "-c", script]
        return process.bounded(argv, stdout=out, stderr=err, seconds=seconds, size=4096)

    assert bounded("echo out; echo err >&2; exit 3") == 3
    assert (out.read_text(), err.read_text()) == ("out\n", "err\n")
    assert bounded("kill -ABRT $$") == -signal.SIGABRT
    assert bounded("sleep 60", 0.1) is None
    assert bounded("while :; do echo flood; done") == -signal.SIGXFSZ
    assert out.stat().st_size == 4096


def test_a_short_command_that_takes_too_long_is_ended():
    began = time.monotonic()
    with pytest.raises(HostError, match=r"sleep 60 did not end within 0\.1 s"):
        process.capture(["sleep", "60"], seconds=0.1)
    assert time.monotonic() - began < 10


def test_a_command_without_a_version(tmp_path):
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\n")
    silent.chmod(0o755)
    with pytest.raises(HostError, match="silent --version says nothing"):
        process.version(str(silent))
    silent.write_text("#!/bin/sh\necho no library >&2; exit 127\n")
    with pytest.raises(HostError, match="silent does not run") as raised:
        process.version(str(silent))
    assert "no library" in raised.value.why


def test_tail_reads_only_the_end(tmp_path):
    log = tmp_path / "log"
    log.write_text("".join(f"{n}\n" for n in range(100000)))
    assert process.tail(log, lines=2) == "99998\n99999"
    assert process.tail(tmp_path / "none") == ""
