# SPDX-License-Identifier: MIT
"""What is in a patch file: that it is one, or what else."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from itertools import count

import pytest

from harness.errors import PlanError
from harness.model import PatchFile
from harness.source import patches
from harness.source.patches import (
    fuzz_of,
    lacks_context,
    most_context,
    read_patch,
    rejected_hunk,
    whitespace_damage,
)
from harness.source.paths import Paths, printable

TEXT = """\
Subject: [PATCH] two hunks

---
diff --git a/kernel/a.c b/kernel/a.c
--- a/kernel/a.c
+++ b/kernel/a.c
@@ -1,3 +1,3 @@
 \tone
-two
+TWO
 three
@@ -10,3 +10,3 @@
 ten
-eleven
+ELEVEN
 twelve
diff --git a/arch/kernel/a.c b/arch/kernel/a.c
--- a/arch/kernel/a.c
+++ b/arch/kernel/a.c
@@ -10,3 +10,3 @@
 ten
-another
+ANOTHER
 twelve
"""
DATA = TEXT.encode()


def patch(text=TEXT):
    return PatchFile.of("my.patch", text.encode())


def tarred():
    file = io.BytesIO()
    info = tarfile.TarInfo("my.patch")
    info.size = len(DATA)
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(info, io.BytesIO(DATA))
    return file.getvalue()


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("my.patch", DATA)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [DATA, gzip.compress(DATA), lzma.compress(DATA), bz2.compress(DATA)],
    ids=["plain", "gzip", "xz", "bzip2"],
)
def test_a_patch_is_read_compressed_or_not(content):
    assert read_patch("my.patch", content) == PatchFile(path="my.patch", text=TEXT)


@pytest.mark.parametrize("byte", [b"\xe9", b"\xc3\xa9", b"\0", b"\xff\xfe", b"\r"])
def test_each_byte_of_a_patch_survives_being_stored(byte):
    data = DATA.replace(b"TWO", b"caf" + byte)
    stored = json.dumps(read_patch("my.patch", data).model_dump(mode="json"))
    assert PatchFile.model_validate_json(stored).data == data


def test_a_mark_of_byte_order_is_left_out():
    assert read_patch("my.patch", b"\xef\xbb\xbf" + DATA).data == DATA


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"),
        (b" \n\n", "it is empty"),
        (gzip.compress(b""), "it is empty"),
        (b"\x28\xb5\x2f\xfd\x24\0\0", "compressed with zstd"),
        (b"\x04\x22\x4d\x18\x64\x40", "compressed with lz4"),
        (zipped(), "a zip archive"),
        (tarred(), "a tar archive"),
        (gzip.compress(tarred()), "a tar archive"),
        (TEXT.encode("utf-16"), "UTF-16"),
        (TEXT.encode("utf-16-le"), "UTF-16"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>\n", "a web page"),
        (b"<html><pre>\n" + DATA + b"</pre></html>", "a web page"),
        (b"<?xml version='1.0'?>\n<html>\n", "a web page"),
        (b"# v2 git bundle\n", "a git bundle"),
        (b"\x7fELF\x02\x01\x01\0\0", "a binary file"),
        (b"diff --cc kernel/a.c\nindex 1,2..3\n@@@ -1,1 -1,1 +1,1 @@@\n", "diff of a merge"),
        (b"*** a.c\t2024\n--- b.c\t2024\n***************\n*** 1 ****\n", "a context diff"),
        (b"1c1\n< one\n---\n> two\n", "without context"),
        (b"# mine\n\n0001-one.patch\nfixes/two.diff -p0\n", "a list of patches"),
        (b"hello\n", "there is no 'diff' in it"),
        (b"@@ -1 +1 @@\n-a\n+b\n", "there is no 'diff' in it"),
        (b" a.c | 2 +-\n 1 file changed, 1 insertion(+)\n", "there is no 'diff' in it"),
    ],
    ids=count(),
)
def test_what_is_no_patch_is_said_to_be_what_it_is(content, why):
    with pytest.raises(PlanError, match=r"^my\.patch is not a patch$") as raised:
        read_patch("my.patch", content)
    assert why in raised.value.why
    assert raised.value.advice


def test_dos_line_ends_of_the_diff_are_not_a_kernels():
    assert read_patch("my.patch", DATA.replace(b"\n", b"\r\n")).data == DATA
    # Those of a file that has them are the patch's matter.
    of_a_file = DATA.replace(b"TWO\n", b"TWO\r\n")
    assert read_patch("my.patch", of_a_file).data == of_a_file


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, bz2.compress])
def test_a_damaged_archive_is_no_traceback(compress):
    whole = compress(DATA * 100)
    for damaged in (whole[:-20], whole[:20] + bytes(10) + whole[30:]):
        with pytest.raises(PlanError, match=r"^my\.patch cannot be unpacked$"):
            read_patch("my.patch", damaged)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress, bz2.compress])
def test_a_patch_is_bounded(compress, monkeypatch):
    monkeypatch.setattr(patches, "LIMIT", 1 << 20)
    with pytest.raises(PlanError, match="too large for a patch"):
        read_patch("my.patch", compress(DATA + bytes(1 << 20)))


@pytest.mark.parametrize(
    "data",
    [b"From x\n" * 400_000, b"a.patch " * 400_000, b"*" * 4_000_000],
    ids=["mails", "names", "stars"],
)
def test_no_file_takes_long_to_be_refused(data):
    with pytest.raises(PlanError):
        read_patch("my.patch", data)


def test_the_rejected_hunk_is_shown_of_the_right_file():
    said = "error: patch failed: kernel/a.c:10\nerror: does not apply"
    hunk = rejected_hunk(patch(), said, 1)
    assert hunk.splitlines()[0].startswith("@@ -10,3 +10,3 @@")
    assert "+ELEVEN" in hunk and "+TWO" not in hunk
    assert "+ANOTHER" in rejected_hunk(patch(), said, 2)
    dated = patch(TEXT.replace("--- a/kernel/a.c", "--- a/kernel/a.c 2024-01-01 00:00:00 +0100"))
    assert "+ELEVEN" in rejected_hunk(dated, said, 1)


SAID = """\
Checking patch kernel/a.c...
Hunk #1 succeeded at 15 (offset 14 lines).
Context reduced to (0/1) to apply fragment at 15
Context reduced to (1/0) to apply fragment at 10
Applied patch kernel/a.c cleanly.
"""


def test_a_hunk_that_lacks_context_is_named_with_its_place():
    """git counts an offset of lines that it dropped, and names no hunk where that is none."""
    first, second = fuzz_of(patch(), SAID, 1)
    assert first == "hunk 1 of kernel/a.c at an offset of 13, fuzz 1"
    assert second == "hunk 2 of kernel/a.c, fuzz 1"
    within = SAID.replace("kernel/a.c", "below/kernel/a.c")
    assert fuzz_of(patch(), within, 1, "below")[1] == "hunk 2 of below/kernel/a.c, fuzz 1"
    assert most_context(patch()) == 1


def test_no_hunk_is_shown_where_git_names_none():
    assert rejected_hunk(patch(), "error: kernel/b.c: No such file or directory", 1) == ""


def test_damage_to_white_space_is_told_by_what_is_left():
    assert whitespace_damage(patch()) == ""
    assert "no tab is left" in whitespace_damage(patch(TEXT.replace("\t", "        ")))
    stuffed = "\n".join(f" {line}" if line[:1] == " " else line for line in TEXT.splitlines())
    assert "a blank too many" in whitespace_damage(patch(f"{stuffed}\n"))
    flowed = PatchFile.of("my.patch", DATA, flowed=True)
    assert "format=flowed" in whitespace_damage(flowed)


def test_a_patch_without_context_is_seen():
    assert lacks_context(patch("--- a/a.c\n+++ b/a.c\n@@ -1 +1 @@\n-one\n+two\n"))
    assert not lacks_context(patch())


# --- paths -------------------------------------------------------------------

PATHS = Paths(
    ["Makefile", "drivers/perf/arm_pmu.c", "drivers/perf/arm_pmuv3.c", "kernel/core.c", "link"]
)


def test_folders_are_known_by_what_is_in_them():
    assert "kernel/core.c" in PATHS and "kernel" not in PATHS
    assert PATHS.below("kernel") == "kernel/core.c"
    assert PATHS.below("kern") is None and PATHS.below("zoo") is None
    assert PATHS.depth("drivers/perf/new/x.c") == 2
    assert PATHS.depth("new.c") == PATHS.depth("/drivers/x.c") == 0


def test_what_is_in_the_way_of_a_path_is_known_to_git():
    assert PATHS.in_the_way("link/x/y.c") == {"link"}
    assert PATHS.in_the_way("drivers") == {"drivers/perf/arm_pmu.c"}
    assert PATHS.in_the_way("kernel/core.c") == {"kernel/core.c"}
    assert PATHS.in_the_way("new/x.c") == set()


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("arch/arm64/kernel/arm_pmu.c", "drivers/perf/arm_pmu.c"),
        ("drivers/perf/arm_pmv3.c", "drivers/perf/arm_pmuv3.c"),
        ("kernel/nothing-alike.c", None),
        ("elsewhere/x.c", None),
    ],
)
def test_what_is_near_a_path(path, near):
    assert PATHS.nearest(path) == near


def test_a_path_is_shown_as_it_can_be():
    assert printable("caf\udce9.c\n\x1b[2J") == r"caf\xe9.c\n\x1b[2J"
    assert printable("café\t.c") == "café\t.c"
