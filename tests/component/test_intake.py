# SPDX-License-Identifier: MIT
"""Patches as their users have them: how each is read, what is said, what is refused."""

import base64
import bz2
import gzip
import io
import lzma
import sys
from email.encoders import encode_base64
from email.message import EmailMessage
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path

import pytest

from harness.errors import PlanError
from harness.source.clone import Clone
from harness.source.commits import commits
from harness.source.intake import STANDARD_INPUT, take_in
from tests.component.fakes import diff, git

pytestmark = pytest.mark.needs("git", "setpriv")

ONE, TWO = diff("a.c", "one\t= 1;", "caf\u00e9\t= 2;"), diff("b.c", "b", "c")
ID = "<20260101.1-me@x>"
HEADERS = {
    "From": "J\u00f6rg <j@x>",
    "Date": "Thu, 01 Jan 2026 10:00:00 +0100",
}


def mail(subject, body, encoding="8bit", charset="utf-8", name=ID, sender=None):
    """A mail's bytes, its body in a transfer encoding."""
    message = EmailMessage()
    for key, value in {**HEADERS, "Subject": subject, "Message-Id": name}.items():
        message[key] = sender if sender and key == "From" else value
    message.set_content(body, cte=encoding, charset=charset)
    return message.as_bytes()


def boxed(*mails):
    return b"".join(b"From me@x Thu Jan  1 10:00:00 2026\n" + one + b"\n" for one in mails)


def body(text, message="Why it is so.\n"):
    return f"{message}---\n a.c | 2 +-\n\n{text}-- \n2.39.5\n"


@pytest.fixture
def take(tmp_path):
    """Takes in what is given as (name, content) pairs, or the folder that holds them."""

    def run(*files, folder=False):
        paths = []
        for name, content in files:
            path = tmp_path / "given" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            paths.append(path)
        return take_in([tmp_path / "given"] if folder else paths)

    return run


def diffs(found):
    """The diffs alone, without what a mail has around them."""
    return [patch.data[patch.data.index(b"diff --git") :] for patch in found.patches]


# --- mails -------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
def test_a_mail_is_read_in_any_transfer_encoding(take, encoding):
    found = take(("m.eml", mail("[PATCH 1/1] perf: J\u00f6rgs", body(ONE), encoding)))
    (patch,) = found.patches
    assert diffs(found)[0].startswith(ONE.encode())
    assert patch.subject == "[PATCH 1/1] perf: J\u00f6rgs"
    assert (patch.author, patch.message_id) == ("J\u00f6rg <j@x>", ID.strip("<>"))
    assert (patch.path.endswith("/m.eml"), patch.stem) == (True, "m")


@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
def test_a_byte_of_a_mail_is_built_as_it_is(take, encoding):
    """The charset of a mail is its message's; the lines of a patch are bytes."""
    found = take(("m.eml", mail("[PATCH] x", body(ONE), encoding, charset="iso-8859-1")))
    assert b"caf\xe9\t= 2;\n" in diffs(found)[0]
    assert "caf\u00e9" not in found.patches[0].text or found.patches[0].encoding == "iso-8859-1"


@pytest.mark.parametrize(
    "part",
    [
        MIMEText(ONE, "x-patch", "utf-8"),
        MIMEApplication(ONE.encode(), "octet-stream", encode_base64, name="a.patch"),
    ],
)
def test_an_attachment_is_read(take, part):
    message = MIMEMultipart()
    message["Subject"] = "[PATCH] attached"
    message.attach(MIMEText("See the attachment.\n"))
    message.attach(part)
    (read,) = diffs(take(("m.eml", message.as_bytes())))
    assert read.startswith(ONE.encode())


@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
def test_a_mail_with_the_line_ends_of_the_net_is_read(take, encoding):
    text = mail("[PATCH] x", body(ONE), encoding).replace(b"\n", b"\r\n")
    assert diffs(take(("m.eml", text)))[0].startswith(ONE.encode())
    canonical = base64.encodebytes(body(ONE).replace("\n", "\r\n").encode())
    head = b"From: me\nSubject: x\nContent-Transfer-Encoding: base64\n\n"
    found = take(("canonical.eml", head + canonical))
    assert diffs(found)[0].startswith(ONE.encode())
    assert found.patches[0].notes == ("its lines end with CR LF: taken with LF",)


def test_a_carriage_return_of_a_file_survives_its_mail(take):
    text = boxed(mail("[PATCH] x", body(diff("dos.txt", "one#", "two#")))).replace(b"#\n", b"\r\n")
    assert b"-one\r\n+two\r\n" in diffs(take(("m.patch", text)))[0]


@pytest.mark.parametrize("line", ["+++ something", "--- a\n+++ b", "@@ -1 +1 @@", "From here on"])
def test_a_message_may_say_anything(take, line):
    found = take(("m.patch", boxed(mail("[PATCH] x", body(ONE, f"Why:\n{line}\n")))))
    assert len(found.patches) == 1
    assert diffs(found)[0].startswith(ONE.encode())


def test_a_flowed_mail_is_known_to_be_one(take):
    text = mail("[PATCH] x", body(ONE)).replace(b'charset="utf-8"', b"format=flowed")
    assert take(("m.eml", text)).patches[0].flowed
    assert not take(("n.eml", mail("[PATCH] x", body(ONE)))).patches[0].flowed


def test_a_charset_that_there_is_not_is_no_failure(take):
    text = mail("[PATCH] x", body(ONE)).replace(b"utf-8", b"klingon")
    assert diffs(take(("m.eml", text)))[0].startswith(ONE.encode())


# --- mailboxes ---------------------------------------------------------------


def series(*more):
    return [
        mail("[PATCH 0/2] both", f"base-commit: {'b' * 40}\n", name="<0@x>"),
        mail("[PATCH 2/2] second", body(TWO), "base64", name="<2@x>"),
        mail("[PATCH 1/2] first", body(ONE), "quoted-printable", name="<1@x>"),
        mail("Re: [PATCH 1/2] first", body(TWO), name="<r@x>", sender="R <r@x>"),
        *more,
    ]


def told(found):
    return [(patch.path.rpartition("/")[2], patch.stem) for patch in found.patches]


@pytest.mark.parametrize("name", ["t.mbox", "t.mbx", "t.mbox.gz"])
def test_a_thread_is_its_series_in_order(take, name):
    content = boxed(*series())
    found = take((name, gzip.compress(content) if name.endswith(".gz") else content))
    assert [patch.subject for patch in found.patches] == [
        "[PATCH 1/2] first",
        "[PATCH 2/2] second",
    ]
    assert [patch.stem for patch in found.patches] == ["0001-first", "0002-second"]
    assert all(f"/{name}: [PATCH " in patch.path for patch in found.patches)
    assert found.title == "both"
    assert {patch.base_commit for patch in found.patches} == {"b" * 40}
    assert "left out: the diff in a reply: Re: [PATCH 1/2] first (R <r@x>)" in found.notes


def test_a_maildir_is_a_mailbox(take, tmp_path):
    for folder in ("cur", "new", "tmp"):
        (tmp_path / "given" / folder).mkdir(parents=True)
    files = [(f"cur/{n}:2,S", one) for n, one in enumerate(series())]
    found = take(*files[:3], ("new/9", series()[3]), folder=True)
    assert [patch.stem for patch in found.patches] == ["0001-first", "0002-second"]
    assert found.title == "both"


def test_a_folder_of_what_git_format_patch_writes(take):
    """An older version left out, which lies there as well, and what is no patch."""
    mails = {"0000-cover-letter": "[PATCH 0/2] both", "0001-a": "[PATCH 1/2] a"}
    mails |= {"0002-b": "[PATCH 2/2] b", "v2-0001-a": "[PATCH v2 1/2] a"}
    mails |= {"v2-0002-b": "[PATCH v2 2/2] b"}
    files = [
        (f"{name}.patch", boxed(mail(subject, body(ONE), name=f"<{name}@x>")))
        for name, subject in mails.items()
    ]
    found = take(*files, ("README", "no patch"), (".hidden.patch", "none"), folder=True)
    assert [patch.stem for patch in found.patches] == ["v2-0001-a", "v2-0002-b"]
    assert "left out: an older version, v1 (2 patches)" in found.notes


def test_a_cover_letter_among_files_is_no_patch(take):
    names = ("0000-cover-letter", "0001-first", "0002-second")
    contents = [series()[0], series()[2], series()[1]]
    files = [(f"{name}.patch", one) for name, one in zip(names, contents, strict=True)]
    found = take(*files)
    assert [patch.stem for patch in found.patches] == ["0001-first", "0002-second"]
    assert found.title == "both"
    with pytest.raises(PlanError, match="is not a patch"):
        take(files[0])


QUILT = "# mine\n\nsecond.patch\nsub/first.diff.gz -p1   # a comment\n"


@pytest.mark.parametrize("how", ["folder", "series", "list"])
def test_a_quilt_series_is_taken_in_its_order(take, tmp_path, how):
    files = [("second.patch", TWO), ("sub/first.diff.gz", gzip.compress(ONE.encode()))]
    name = {"list": "mine.txt"}.get(how, "series")
    found = take(*files, (name, QUILT), folder=True) if how == "folder" else None
    if found is None:
        take(*files)
        found = take((name, QUILT))
    assert [patch.stem for patch in found.patches] == ["second", "first"]
    assert diffs(found) == [TWO.encode(), ONE.encode()]


@pytest.mark.parametrize(
    ("line", "said"),
    [("gone.patch", "names gone.patch, which is not there"), ("a.patch -R", "takes a.patch back")],
)
def test_a_quilt_series_that_cannot_be_taken_is_refused(take, line, said):
    with pytest.raises(PlanError, match=said):
        take(("a.patch", ONE), ("series", f"{line}\n"), folder=True)


def test_a_list_without_its_patches_says_what_it_lacks(take):
    with pytest.raises(PlanError, match="is not a patch") as raised:
        take(("list.txt", "0001-a.patch\n0002-b.patch\n"))
    assert "they do not lie beside it" in raised.value.why


def test_an_empty_folder_says_what_it_lacks(take):
    with pytest.raises(PlanError, match="holds no patch") as raised:
        take(("README", "x"), folder=True)
    assert "neither a file `series`" in raised.value.why


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress, bz2.compress])
def test_standard_input_is_what_is_in_it(monkeypatch, compress):
    def typed(data):
        stream = io.TextIOWrapper(io.BytesIO(compress(data)))
        monkeypatch.setattr(sys, "stdin", stream)
        return take_in([STANDARD_INPUT])

    found = typed(ONE.encode())
    assert (diffs(found), told(found)) == ([ONE.encode()], [("standard input", "stdin")])
    assert [patch.stem for patch in typed(boxed(*series())).patches] == [
        "0001-first",
        "0002-second",
    ]
    assert typed(mail("[PATCH] perf: One", body(ONE))).patches[0].stem == "perf-One"


def test_a_mailbox_of_a_whole_list_is_refused(take, monkeypatch):
    monkeypatch.setattr("harness.source.intake._MAILS", 3)
    with pytest.raises(PlanError, match="holds 4 mails"):
        take(("list.mbox", boxed(*series())))


# --- other ways --------------------------------------------------------------

LOG = """\
commit {name}
Author: J\u00f6rg <j@x>
Date:   {date}

    {subject}

    --- a message
    +++ that says

{diff}
"""


def logged(subject, text, day):
    date = f"Thu Jan {day} 10:00:00 2026 +0100"
    return LOG.format(name=f"{day}" * 40, subject=subject, diff=text, date=date)


def test_a_log_is_taken_from_the_oldest_commit_on(take):
    newest_first = logged("second", TWO, 2) + logged("first", ONE, 1)
    found = take(("log.patch", newest_first))
    assert [(patch.subject, patch.stem) for patch in found.patches] == [
        ("first", "first"),
        ("second", "second"),
    ]
    assert found.patches[0].author == "J\u00f6rg <j@x>"
    assert found.patches[0].notes
    forward = take(("log.patch", logged("first", ONE, 1) + logged("second", TWO, 2)))
    assert [patch.subject for patch in forward.patches] == ["first", "second"]
    assert forward.patches[0].notes == ()
    (shown,) = take(("show.patch", logged("first", ONE, 1))).patches
    assert (shown.subject, shown.stem) == ("first", "show")


def test_mercurial_exports_are_read_one_by_one(take):
    head = "# HG changeset patch\n# User Me <me@x>\n# Date 0 0\n# Node ID 1\n{}\n\n"
    found = take(("hg.patch", head.format("first") + ONE + head.format("second") + TWO))
    assert [(patch.subject, patch.author) for patch in found.patches] == [
        ("first", "Me <me@x>"),
        ("second", "Me <me@x>"),
    ]


@pytest.mark.parametrize(
    "head",
    [
        "Description: of Debian\n more of it\nOrigin: upstream\n---\nThis header follows DEP-3.\n",
        "Index: linux/a.c\n" + "=" * 67 + "\n",
        "hello, this is my patch:\n\n",
        "",
    ],
)
def test_a_patch_with_any_head_is_one(take, head):
    found = take(("my.patch", head + ONE))
    assert diffs(found) == [ONE.encode()]
    assert (found.patches[0].subject, found.patches[0].stem) == ("", "my")


# --- ranges ------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path):
    """A history of three commits, with a merge behind them, and one beside; commits by name."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")

    def commit(name, file="a.c", *message):
        (folder / file).write_text(f"{name}\n")
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", name, *message)
        git(folder, "tag", name)
        return git(folder, "rev-parse", "HEAD")

    found = {name: commit(name) for name in ("one", "two")}
    found["three"] = commit("three", "a.c", "--message", "Message-Id: <3@x>")
    git(folder, "checkout", "--quiet", "-b", "side", "one")
    found["aside"] = commit("aside", "side.c")
    git(folder, "checkout", "--quiet", "main")
    git(folder, "merge", "--quiet", "--no-ff", "--message", "merged", "side")
    found["merged"] = git(folder, "rev-parse", "HEAD")
    return Clone(folder), found


@pytest.mark.parametrize(
    ("asked", "base", "subjects"),
    [
        ("one..three", "one", ["two", "three"]),
        ("one..", "one", ["two", "three", "merged"]),
        ("HEAD~2..", "two", ["three", "merged"]),
        ("three^!", "two", ["three"]),
        ("main~1..side", "one", ["aside"]),
    ],
)
def test_a_range_is_a_patch_for_each_commit(repository, asked, base, subjects):
    clone, known = repository
    found = commits(clone, asked)
    assert found.base == known[base]
    assert [patch.subject for patch in found.patches] == subjects
    assert found.text == f"{known[base]}..{found.last}"
    again = commits(clone, found.text)
    assert again == found


def test_a_commit_is_known_by_name_author_and_mail(repository):
    clone, known = repository
    (patch,) = commits(clone, "three^!").patches
    assert patch.path == f"{known['three'][:12]} three"
    assert (patch.stem, patch.author, patch.message_id) == ("three", "t <t@t>", "3@x")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("one..nowhere", "has no commits"),
        ("one", "is no range"),
        ("one...three", "is no range"),
        ("three..one", "there is no commit in"),
        ("--output=x", "has no commits"),
        ("side..main", "is no line of commits"),
    ],
)
def test_what_is_no_range_is_said_to_be_none(repository, asked, said):
    with pytest.raises(PlanError, match=said):
        commits(repository[0], asked)
    assert not Path("x").exists()


def test_what_a_person_configured_changes_no_patch(repository):
    clone, _ = repository
    before = commits(clone, "one..three")
    for key, value in {
        "diff.noprefix": "true",
        "diff.mnemonicPrefix": "true",
        "color.ui": "always",
        "diff.external": "false",
        "log.showSignature": "true",
    }.items():
        git(clone.folder, "config", key, value)
    assert commits(clone, "one..three") == before
