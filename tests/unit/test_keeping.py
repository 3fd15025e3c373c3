# SPDX-License-Identifier: MIT
"""What the cache keeps: sizes, kinds, what goes first, and how it is shown."""

import io

import pytest
from rich.console import Console

from harness.host.keeping import KINDS, beyond, is_final, kind_of, total
from harness.model import CacheEntry, CachePolicy, parse_size, shown_size
from harness.report.cached import ago, grouped, show

GIB = 1 << 30


def entry(name, size=1, used=0.0, *, in_use=False, of=""):
    return CacheEntry(kind=kind_of(name), name=name, of=of, bytes=size, used=used, in_use=in_use)


@pytest.mark.parametrize(
    ("text", "size"),
    [("20G", 20 * GIB), ("20 GiB", 20 * GIB), ("1.5m", 3 << 19), ("4096", 4096), ("0", 0)],
)
def test_sizes_are_read(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "20X", "1e3", "20 G B"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="write 20G, 500M"):
        parse_size(text)
    with pytest.raises(ValueError, match="is no size"):
        CachePolicy(limit=text, saved="1G")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0"),
        (999, "999"),
        (4096, "4.0K"),
        (1 << 20, "1.0M"),
        (20 * GIB, "20G"),
        (1 << 50, "1024T"),
    ],
)
def test_sizes_are_shown(size, text):
    assert shown_size(size) == text


def test_the_limit_of_the_catalog(catalog):
    """A share of the disk, so that it fits any."""
    assert catalog.cache_policy.limit is None
    assert catalog.cache_policy.bound(100 * GIB) == 25 * GIB
    assert CachePolicy(limit="20G").bound(100 * GIB) == 20 * GIB
    assert catalog.cache_policy.saved > GIB
    with pytest.raises(ValueError, match="less than or equal to 1"):
        CachePolicy(share=1.5)


@pytest.mark.parametrize(
    ("name", "kind", "final"),
    [
        ("sources/debian-6.12-x", "source", False),
        ("builds/debian-6.12-x-arm64", "build", False),
        ("artifacts/kernel-x", "kernel", True),
        ("artifacts/saved-x", "saved", True),
        ("artifacts/outer-x", "outer", True),
        ("artifacts/another-x", "another", False),
        ("observations/x", "observation", True),
        ("debian/arm64", "packages", False),
    ],
)
def test_an_entry_is_of_a_kind(name, kind, final):
    assert kind_of(name) == kind
    assert is_final(kind) is final


OLD, NEW, BUSY = (
    entry("sources/old", 10, 1.0),
    entry("sources/new", 10, 3.0),
    entry("sources/busy", 10, 0.0, in_use=True),
)


@pytest.mark.parametrize(
    ("limit", "going"), [(30, []), (29, [OLD]), (20, [OLD]), (19, [OLD, NEW]), (0, [OLD, NEW])]
)
def test_what_was_not_used_for_longest_goes_first(limit, going):
    assert beyond([NEW, BUSY, OLD], limit) == going
    assert total([NEW, BUSY, OLD]) == 30


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "now"), (59, "now"), (60, "1 minute ago"), (7200, "2 hours ago"), (86400, "1 day ago")],
)
def test_how_long_ago(seconds, text):
    assert ago(seconds) == text


ENTRIES = [
    entry("observations/a", 2, 5.0, of="aarch64-tcg"),
    entry("observations/b", 3, 9.0, of="aarch64-tcg"),
    entry("observations/c", 1, 1.0, of="x86_64-tcg"),
    entry("sources/git-x", 5 << 20, 1.0, of="git:/tmp/[bold]", in_use=True),
    entry("artifacts/other-x", 1, 1.0),
]


def test_what_is_many_and_small_is_shown_together():
    together = [[one.name for one in group] for group in grouped(ENTRIES, full=False)]
    assert together == [
        ["sources/git-x"],
        ["observations/a", "observations/b"],
        ["observations/c"],
        ["artifacts/other-x"],
    ]
    assert [len(group) for group in grouped(ENTRIES, full=True)] == [1] * 5


def test_the_table_says_what_it_is_and_what_is_used():
    out = io.StringIO()
    show(Console(file=out), ENTRIES, "/cache", 1 << 20, now=3600.0 + 9.0, full=False)
    lines = out.getvalue().splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "kind of size last used name",
        "source git:/tmp/[bold] 5.0M in use sources/git-x",
        "observation aarch64-tcg 5 1 hour ago 2 of them",
        "observation x86_64-tcg 1 1 hour ago observations/c",
        "other - 1 1 hour ago artifacts/other-x",
        "5.0M in /cache, 5.0M in use; the limit is 1.0M",
    ]
    assert "other" not in KINDS
