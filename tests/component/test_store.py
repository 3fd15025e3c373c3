# SPDX-License-Identifier: MIT
"""The cache: artifacts whole or absent, one writer at a time."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.host.store import Cache, digest, new_run_folder, update_files, write_json, write_text

ROOT = Path(__file__).parents[2]


def test_digests_tell_parts_apart():
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("a") == digest(b"a")


def test_a_file_is_whole_or_absent(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "x.json", {"bad": object()})
    assert not list(tmp_path.iterdir())
    write_text(tmp_path / "y", "text")
    assert (tmp_path / "y").read_text() == "text"


def test_what_is_half_made_is_not_published(tmp_path):
    cache, place = Cache(tmp_path), tmp_path / "artifacts" / "a"
    with pytest.raises(RuntimeError), cache.publish(place) as new:
        (new / "half").write_text("")
        raise RuntimeError
    assert not place.exists() and not list(place.parent.iterdir())
    with cache.publish(place) as new:
        (new / "whole").write_text("")
    assert [path.name for path in place.iterdir()] == ["whole"]


def test_two_runs_may_publish_one_place_at_a_time(tmp_path):
    place = tmp_path / "artifacts" / "a"

    def publish(who):
        for _ in range(100):
            with Cache(tmp_path).publish(place) as new:
                (new / "who").write_text(who)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(publish, who) for who in "abcd"]:
            done.result()
    assert (place / "who").read_text() in "abcd"
    assert [path.name for path in place.parent.iterdir()] == ["a"]


def test_what_a_killed_run_left_is_swept(tmp_path):
    cache, place = Cache(tmp_path), tmp_path / "artifacts" / "a"
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], check=True,
                          capture_output=True, text=True).stdout.strip()  # fmt: skip
    (tmp_path / "artifacts" / f".a.{dead}.xyz").mkdir(parents=True)
    with cache.publish(place):
        pass
    assert [path.name for path in place.parent.iterdir()] == ["a"]


def test_a_second_run_waits_and_says_so(tmp_path):
    cache, said, entered = Cache(tmp_path), threading.Event(), threading.Event()

    def second():
        with Cache(tmp_path).lock("x", said.set):
            entered.set()

    with cache.lock("x"):
        other = threading.Thread(target=second)
        other.start()
        assert said.wait(10)
        assert not entered.is_set()
    other.join(10)
    assert entered.is_set()


def test_a_lock_goes_with_its_process(tmp_path):
    code = (
        "import os; from pathlib import Path; from harness.host.store import Cache\n"
        f"lock = Cache(Path({str(tmp_path)!r})).lock('x'); lock.__enter__(); os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 9
    waited = []
    with Cache(tmp_path).lock("x", lambda: waited.append(1)):
        assert not waited


def test_only_what_differs_is_rewritten(tmp_path):
    source, target = tmp_path / "s", tmp_path / "t"
    source.mkdir()
    (source / "a").write_text("a")
    (source / "b").write_text("b")
    update_files(source, target)
    before = (target / "a").stat().st_mtime_ns
    (source / "b").write_text("B")
    update_files(source, target)
    assert (target / "a").stat().st_mtime_ns == before
    assert (target / "b").read_text() == "B"


def test_runs_have_a_latest(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    first = new_run_folder(None, "stamp", "6.12+a/b")
    second = new_run_folder(None, "stamp", "6.12+a/b")
    assert first != second
    assert (second.parent / "latest").resolve() == second
    assert new_run_folder(tmp_path / "mine", "stamp", "x") == tmp_path / "mine"
