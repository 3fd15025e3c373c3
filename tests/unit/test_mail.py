# SPDX-License-Identifier: MIT
"""Which mails of a mailbox are the series that is meant, and in which order."""

import pytest

from harness.errors import PlanError
from harness.model import PatchFile
from harness.source.mail import Letter, Tag, as_mail, chosen, stem, tag

ME, OTHER = "Me <me@x>", "Reviewer <r@x>"


def letter(subject, diff=b"diff", **known):
    known = {"sender": ME, "author": ME, "message_id": f"{subject}@x", **known}
    return Letter(f"box: {subject}", diff, subject=subject, **known)


def subjects(found):
    return [letter.subject for letter in found.letters]


@pytest.mark.parametrize(
    ("subject", "place"),
    [
        ("[PATCH] one", Tag("one")),
        ("[PATCH 2/3] one", Tag("one", part=2, of=3)),
        ("[PATCH v2 02/13] one", Tag("one", version=2, part=2, of=13)),
        ("[RFC PATCH net-next v4 0/3] one", Tag("one", version=4, part=0, of=3)),
        ("[PATCHv3 1/2] one", Tag("one", version=3, part=1, of=2)),
        ("[PATCH-v3] one", Tag("one", version=3)),
        ("[V2 PATCH 1/1] [perf] one", Tag("one", version=2, part=1, of=1)),
        ("[linux-perf] [PATCH v5 3/4] one", Tag("one", version=5, part=3, of=4)),
        ("Re: [PATCH v2 1/3] one", Tag("one", reply=True, version=2, part=1, of=3)),
        ("AW: RE: Re[2]: [PATCH] one", Tag("one", reply=True)),
        ("Fwd: [PATCH] one", Tag("one", reply=True)),
        ("one [PATCH v2 1/2]", Tag("one [PATCH v2 1/2]")),
        ("[PATCH] arm64: v2/3 of the ABI", Tag("arm64: v2/3 of the ABI")),
        ("[PATCH 6.12 012/345] one", Tag("one", part=12, of=345)),
        ("rework: this", Tag("rework: this")),
        ("", Tag("")),
    ],
)
def test_a_subject_tells_the_place(subject, place):
    assert tag(subject) == place


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ("[PATCH 2/3] perf/core: Fix `it'", "0002-perf-core-Fix-it"),
        ("[PATCH] ../../etc/passwd", "etc-passwd"),
        ("[PATCH v2 1/1] " + "x" * 80, "0001-" + "x" * 52),
        ("", ""),
    ],
)
def test_a_subject_names_a_file_as_git_does(subject, name):
    assert stem(subject) == name


def test_parts_follow_each_other_by_their_numbers():
    mails = [letter(f"[PATCH {number}/3] p{number}") for number in (3, 1, 2)]
    found = chosen("box", mails)
    assert subjects(found) == ["[PATCH 1/3] p1", "[PATCH 2/3] p2", "[PATCH 3/3] p3"]
    assert found.notes == ("taken in the order of their parts, not of the mailbox",)
    assert chosen("box", [*found.letters]).notes == ()


def test_a_cover_letter_is_the_title_and_no_patch():
    cover = letter("[PATCH v2 0/2] both", base_commit="b" * 40)  # With an interdiff.
    found = chosen("box", [cover, letter("[PATCH v2 1/2] a"), letter("[PATCH v2 2/2] b")])
    assert (found.title, found.base_commit) == ("both", "b" * 40)
    assert subjects(found) == ["[PATCH v2 1/2] a", "[PATCH v2 2/2] b"]
    assert found.notes == ("left out: the cover letter [PATCH v2 0/2] both",)


def thread(*more):
    return [
        letter("[PATCH 0/2] both", b""),
        letter("[PATCH 1/2] a"),
        letter("[PATCH 2/2] b"),
        letter("Re: [PATCH 2/2] b", b"diff of mine", sender=OTHER, refers=("[PATCH 2/2] b@x",)),
        letter("Re: [PATCH 1/2] a", b"", sender=OTHER),
        *more,
    ]


def test_a_reviewers_diff_is_no_part_of_the_series():
    found = chosen("box", thread())
    assert subjects(found) == ["[PATCH 1/2] a", "[PATCH 2/2] b"]
    assert found.notes[1:] == (
        f"left out: the diff in a reply: Re: [PATCH 2/2] b ({OTHER})",
        "left out: 1 mail without a diff",
    )


def test_what_somebody_else_hangs_below_a_patch_is_a_reply_whatever_its_subject():
    fixup = letter("[PATCH] fixup", sender=OTHER, refers=("[PATCH 2/2] b@x",))
    assert subjects(chosen("box", thread(fixup))) == ["[PATCH 1/2] a", "[PATCH 2/2] b"]
    own = letter("[PATCH] fixup", refers=("[PATCH 2/2] b@x",))
    assert subjects(chosen("box", thread(own)))[-1] == "[PATCH] fixup"


def test_a_reply_alone_is_what_was_asked_for():
    assert subjects(chosen("box", [letter("Re: [PATCH] a"), letter("b", b"")])) == ["Re: [PATCH] a"]


def test_the_newest_version_is_meant():
    again = [letter(f"[PATCH v2 {n}/2] {title}") for n, title in ((1, "a"), (2, "better b"))]
    found = chosen("box", thread(letter("[PATCH v2 0/2] both, again", b""), *again))
    assert subjects(found) == ["[PATCH v2 1/2] a", "[PATCH v2 2/2] better b"]
    assert found.title == "both, again"
    assert "left out: an older version, v1 (2 patches)" in found.notes


def test_a_version_that_answers_the_older_one_is_of_its_series():
    new = letter("[PATCH v3] c", refers=("[PATCH 0/2] both@x",))
    assert subjects(chosen("box", thread(new))) == ["[PATCH v3] c"]


def test_versions_that_have_nothing_in_common_are_not_guessed_at():
    with pytest.raises(PlanError, match="several versions that do not belong together") as raised:
        chosen("box", thread(letter("[PATCH v2] something else")))
    assert "[PATCH 1/2] a; [PATCH 2/2] b; [PATCH v2] something else" in raised.value.why


def test_a_mail_that_came_twice_is_applied_once():
    assert len(chosen("box", [*thread(), *thread()]).letters) == 2
    resent = letter("[PATCH RESEND 1/2] a", message_id="other@x")
    assert subjects(chosen("box", thread(resent))) == ["[PATCH 1/2] a", "[PATCH 2/2] b"]


def test_two_that_say_to_be_the_same_and_are_not_are_refused():
    other = letter("[PATCH 1/2] a", b"another diff", message_id="other@x")
    with pytest.raises(PlanError, match="holds two patches of one name"):
        chosen("box", thread(other))


def test_a_part_that_is_not_there_is_named():
    found = chosen("box", [letter("[PATCH 4/4] d"), letter("[PATCH 1/4] a")])
    assert subjects(found) == ["[PATCH 1/4] a", "[PATCH 4/4] d"]
    assert found.notes[1:] == ("not there: part 2, 3 of 4",)


def test_a_distribution_orders_what_it_took_of_a_series_itself():
    picked = [letter(f"[PATCH {n}/7] p{n}", message_id="") for n in (5, 3)]
    assert subjects(chosen("folder", picked)) == ["[PATCH 5/7] p5", "[PATCH 3/7] p3"]


def test_mails_without_numbers_are_taken_from_the_oldest_on():
    mails = [letter(f"[PATCH] p{date}", date=date) for date in (3.0, 2.0, 1.0)]
    found = chosen("box", mails)
    assert subjects(found) == ["[PATCH] p1.0", "[PATCH] p2.0", "[PATCH] p3.0"]
    assert found.notes == ("its mails lie newest first: taken from the oldest on",)
    # An author's dates, in what was never sent, tell of no order.
    exported = [letter(f"[PATCH] p{date}", date=date, message_id="") for date in (3.0, 2.0)]
    assert subjects(chosen("box", exported)) == ["[PATCH] p3.0", "[PATCH] p2.0"]


def test_series_that_lie_behind_each_other_are_applied_so():
    first = [letter(f"[PATCH {n}/2] a{n}", message_id="") for n in (1, 2)]
    second = [letter(f"[PATCH {n}/3] b{n}", message_id="") for n in (1, 2, 3)]
    plain = Letter("c.patch", b"diff")
    found = chosen("folder", [*first, plain, *second])
    assert [letter.name for letter in found.letters] == [
        letter.name for letter in [*first, plain, *second]
    ]


@pytest.mark.parametrize("mails", [[], [letter("hello", b""), letter("[PATCH 0/2] x", b"d")]])
def test_a_mailbox_without_a_patch_is_said_to_have_none(mails):
    with pytest.raises(PlanError, match=r"^box holds no patch$") as raised:
        chosen("box", mails)
    assert raised.value.why


def test_replies_alone_are_no_series():
    with pytest.raises(PlanError, match="holds no patch"):
        chosen("box", [letter("Re: [PATCH] a"), letter("Re: [PATCH] b")])


def test_what_is_known_of_a_patch_is_kept_as_a_mail():
    known = {"subject": "[PATCH 1/2] a", "author": ME, "message_id": "1@x", "base_commit": "b" * 40}
    mail = as_mail(PatchFile.of("box", b"diff caf\xe9\n", **known))
    assert mail == (
        b"From: Me <me@x>\nSubject: [PATCH 1/2] a\nMessage-Id: <1@x>\n\n"
        b"base-commit: " + b"b" * 40 + b"\n---\ndiff caf\xe9\n"
    )
    assert as_mail(PatchFile.of("my.patch", b"diff\n")) == b"diff\n"
