# SPDX-License-Identifier: MIT
"""The cache as a store of things that can go: recorded, pruned, never from under a run."""

import json
import os
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from harness.ask.catalog import Catalog
from harness.cli import cli
from harness.cli.cache import keep_within
from harness.errors import PlanError
from harness.host.keeper import Keeper
from harness.host.store import Cache
from harness.model import CachePolicy

USER = """
import sys
from pathlib import Path
from harness.host.store import Cache
from harness.model import CachePolicy
cache = Cache(Path(sys.argv[1]))
cache.use(cache.root / sys.argv[2], "somebody's")
print("used", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache with one entry of each folder, 100 kB each, the older the further on."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = Cache()
    for number, name in enumerate(("sources/path-x", "builds/path-x-arm64", "artifacts/kernel-x")):
        place = cache.root / name
        (place / "below").mkdir(parents=True)
        (place / "below" / "file").write_bytes(bytes(100_000))
        os.utime(place, (time.time() - 1000 * number,) * 2)
    return cache


def names(cache):
    return [entry.name for entry in Keeper(cache).entries(exact=True)]


def used_by_another(cache, name):
    """Another process that uses an entry until it is ended."""
    child = subprocess.Popen(
        [sys.executable, "-c", USER, str(cache.root), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout.readline() == b"used\n"
    return child


def command(*argv):
    done = CliRunner().invoke(cli, ["cache", *argv], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_an_entry_is_measured_and_its_use_recorded(cache):
    before = {entry.name: entry for entry in Keeper(cache).entries(exact=False)}
    assert {entry.kind for entry in before.values()} == {"source", "build", "kernel"}
    assert all(100_000 <= entry.bytes < 130_000 for entry in before.values())
    cache.use(cache.root / "artifacts/kernel-x", "debian:6.12")
    after = {entry.name: entry for entry in Keeper(cache).entries(exact=False)}
    kernel = after["artifacts/kernel-x"]
    assert (kernel.of, kernel.in_use) == ("debian:6.12", True)
    assert kernel.used > time.time() - 60
    assert after["builds/path-x-arm64"] == before["builds/path-x-arm64"]


def test_measuring_is_no_use(cache):
    first = Keeper(cache).entries(exact=True)
    assert Keeper(cache).entries(exact=True) == first


def test_what_changes_is_measured_again_and_what_is_final_is_not(cache):
    Keeper(cache).entries(exact=True)
    for place in (cache.root / "sources/path-x", cache.root / "artifacts/kernel-x"):
        (place / "more").write_bytes(bytes(100_000))
    sizes = {entry.kind: entry.bytes for entry in Keeper(cache).entries(exact=True)}
    assert sizes["source"] > 200_000 > sizes["kernel"]


def test_a_file_with_two_names_counts_once(cache):
    place = cache.root / "sources/path-x"
    (place / "again").hardlink_to(place / "below" / "file")
    (place / "link").symlink_to("/usr")
    (entry,) = (one for one in Keeper(cache).entries(exact=True) if one.kind == "source")
    assert entry.bytes < 130_000


def test_what_is_half_made_is_no_entry(cache):
    (cache.root / "artifacts" / ".kernel-y.1.x").mkdir()
    (cache.root / "sources" / "debian-6.12.json").write_text("{}")
    assert names(cache) == ["sources/path-x", "builds/path-x-arm64", "artifacts/kernel-x"]


def test_the_oldest_goes_until_the_rest_is_within_the_limit(cache):
    said = command("prune", "--limit", "250K")
    assert "artifacts/kernel-x" in said
    assert names(cache) == ["sources/path-x", "builds/path-x-arm64"]
    assert command("prune", "--limit", "250K").startswith("removed 0; ")
    assert not list((cache.root / "scratch").iterdir())


def test_what_another_process_uses_stays_until_it_is_gone(cache):
    child = used_by_another(cache, "artifacts/kernel-x")
    said = command("prune", "--limit", "0")
    assert names(cache) == ["artifacts/kernel-x"]
    assert "in use" in said
    command("clear", "--yes")
    assert names(cache) == ["artifacts/kernel-x"]
    assert "in use" in command()
    child.kill()
    child.communicate()
    command("prune", "--limit", "0")
    assert names(cache) == []
    assert not list(cache.using.iterdir())


def test_what_is_taken_up_between_looking_and_removing_stays(cache):
    keeper = Keeper(cache)
    entries = keeper.entries(exact=True)
    child = used_by_another(cache, "sources/path-x")
    gone = keeper.remove(entries)
    child.communicate(b"")
    assert {entry.name for entry in gone} == {"builds/path-x-arm64", "artifacts/kernel-x"}


def test_what_is_cleared_is_made_anew(cache):
    def make(place):
        (place / "file").write_text("made")

    place = Cache().artifact("kernel-x", "x", make)
    assert not (place / "file").exists()
    command("clear", "kernel", "--yes")
    assert (Cache().artifact("kernel-x", "x", make) / "file").read_text() == "made"


def test_one_kind_is_cleared_and_no_other(cache):
    assert "kernel-x" in command("clear", "kernel", "--yes")
    assert names(cache) == ["sources/path-x", "builds/path-x-arm64"]
    with pytest.raises(PlanError, match=r"has no kernl \(did you mean kernel\?\)"):
        command("clear", "kernl", "--yes")


def test_what_is_remembered_of_a_source_goes_with_it(cache):
    memory = cache.sources / "debian-6.12.json"
    memory.write_text(json.dumps({"folder": "path-x"}))
    asked = cache.sources / "offers-sid.json"
    asked.write_text(json.dumps({"7.2": ["7.2.1-1"]}))
    command("clear", "source", "--yes")
    assert not memory.exists()
    assert asked.exists()


def test_clearing_asks_first(cache):
    done = CliRunner().invoke(cli, ["cache", "clear"], input="n\n")
    assert done.exit_code == 1
    assert "Remove 3 entries, 3" in done.output
    assert len(names(cache)) == 3


def test_the_cache_is_told_to_programs(cache):
    data = json.loads(command("--json"))
    assert data["path"] == str(cache.root)
    assert data["bytes"] == sum(entry["bytes"] for entry in data["entries"])
    assert {entry["name"] for entry in data["entries"]} == set(names(cache))


@pytest.fixture
def after_a_run(cache):
    """What is said when a run is over, with a policy, or with a limit that was asked for."""

    def over(limit="1M", asked=None):
        catalog, said = Catalog(), []
        catalog.__dict__["cache_policy"] = CachePolicy(limit=limit)
        keep_within(catalog, cache, said.append, asked)
        return said

    return over


def test_a_run_keeps_the_cache_within_its_limit(cache, after_a_run):
    assert after_a_run() == []
    assert len(names(cache)) == 3
    (said,) = after_a_run(asked=250_000)
    assert said.startswith("the cache was larger than 244K: removed 1 entries, ")
    assert names(cache) == ["sources/path-x", "builds/path-x-arm64"]


def test_a_run_looks_once_an_hour_unless_it_is_asked_to(cache, after_a_run):
    assert after_a_run() == []
    assert after_a_run(limit="100K") == []
    (cache.root / "looked").unlink()
    assert after_a_run(limit="250K") != []


def test_a_run_removes_nothing_that_is_used(cache, after_a_run):
    child = used_by_another(cache, "sources/path-x")
    removed, left = after_a_run(asked=1)
    child.communicate(b"")
    assert names(cache) == ["sources/path-x"]
    assert "removed 2 entries" in removed and left.endswith("more than 1, all in use")


def test_a_variable_of_the_environment_is_a_limit(cache, monkeypatch):
    monkeypatch.setenv("PMU_HARNESS_CACHE_LIMIT", "250K")
    assert "artifacts/kernel-x" in command("prune")
    assert "--cache-limit" in CliRunner().invoke(cli, ["run", "--help"]).output
    monkeypatch.setenv("PMU_HARNESS_CACHE_LIMIT", "much")
    done = CliRunner().invoke(cli, ["run"])
    assert done.exit_code == 2 and "write 20G, 500M" in done.output


def test_an_empty_cache_is_one(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    assert "0 in " in command()
    assert command("prune") == "removed 0; 0 left, 0 in use\n"
