# SPDX-License-Identifier: MIT
"""Debian's suites, and which kernels are where."""

import pytest

from harness.errors import HostError
from harness.host import debian
from harness.host.mirror import of_suite, source_lines
from harness.host.process import CommandError
from harness.host.store import Cache
from harness.source.kernel.debian import meant_by

ARCHIVES = [("http://site/d", "old", "main"), ("http://site/s", "old-security", "main")]


def test_the_machines_own_suite_is_asked_for_packages_alone():
    assert source_lines(ARCHIVES, "[a]", sources=False) == [
        "deb [a] http://site/d old main\n",
        "deb [a] http://site/s old-security main\n",
    ]


def test_another_suite_is_asked_for_at_the_same_sites():
    places = of_suite(ARCHIVES, "old", "new")
    assert source_lines(places, "[a]", sources=True) == [
        "deb [a] http://site/d new main\n",
        "deb-src [a] http://site/d new main\n",
        "deb [a] http://site/s new-security main\n",
        "deb-src [a] http://site/s new-security main\n",
    ]


def updated(monkeypatch, tmp_path, suite, broken):
    """The sources.list that apt reads at last, where it refuses those that name what is broken."""
    archive = debian.Archive(Cache(tmp_path), "riscv64", suite)
    monkeypatch.setattr(debian, "places", lambda new, _: of_suite(ARCHIVES, "old", new))
    monkeypatch.setattr(debian, "own_archives", lambda: ARCHIVES)

    def apt(argv, *_, **__):
        if broken in (archive.folder / "sources.list").read_text():
            raise CommandError(argv, 100, "File has unexpected size")

    monkeypatch.setattr(debian, "logged", apt)
    with archive._lists():
        return (archive.folder / "sources.list").read_text()


@pytest.mark.parametrize(("broken", "read"), [("nothing", 2), ("new-security", 1)])
def test_another_suites_packages_are_had_without_its_updates(monkeypatch, tmp_path, broken, read):
    assert updated(monkeypatch, tmp_path, "new", broken).count(" new") == read


@pytest.mark.parametrize(("suite", "broken"), [("new", "site/d"), ("", "old-security")])
def test_a_suite_is_not_had_without_itself_nor_the_machines_own_by_halves(
    monkeypatch, tmp_path, suite, broken
):
    with pytest.raises(HostError, match="cannot read Debian's list of packages"):
        updated(monkeypatch, tmp_path, suite, broken)


OFFERS = {
    "bookworm": {"6.1": ["6.1.192-2"], "6.12": ["6.12.117-1~deb12u1"]},
    "trixie": {"6.12": ["6.12.117-1", "6.12.107-1"]},
    "forky": {"7.2": ["7.2.12-1"]},
    "sid": {"7.2": ["7.2.13-1"]},
}


@pytest.mark.parametrize(
    ("version", "meant"),
    [
        ("7.2", ["debian:7.2@forky"]),
        ("7.2.13", ["debian:7.2.13@sid"]),
        ("6.12.107-1", ["debian:6.12.107-1@trixie"]),
        ("6.17", ["debian:6.12", "debian:7.2@forky"]),
        ("5.4", ["debian:6.1"]),
        ("9.0", ["debian:7.2@forky"]),
        ("sid", ["debian:7.2@sid"]),
        ("bookworm", ["debian:6.1"]),
        ("newest", []),
    ],
)
def test_what_is_near_a_version_that_is_not_there(version, meant):
    assert meant_by(version, OFFERS, "bookworm") == meant
