# SPDX-License-Identifier: MIT
"""What is kept of given patches: in names, plan, results, reports, and the command that repeats."""

import io
import shlex
from pathlib import Path

import pytest
from junitparser import JUnitXml
from rich.console import Console

from harness.ask.catalog import ROOT
from harness.errors import PlanError
from harness.model import Status
from harness.report import html, junit, text
from harness.run.conclusion import rejudge
from harness.run.folder import RunFolder
from harness.run.request import Asked, Prepared, repeat_command, repeatable
from harness.source.intake import STANDARD_INPUT, take_in
from tests.component.fakes import BEFORE, CLEAN, added, diff, git

pytestmark = pytest.mark.needs("git", "make", "cpio", "setpriv", "aarch64-linux-gnu-gcc")

HELLO = f"print hello~{CLEAN}"


def mail(number, title, change, **more):
    head = {"From": "Jörg <j@x>", "Subject": f"[PATCH {number}/2] {title}", **more}
    lines = "".join(f"{key}: {value}\n" for key, value in head.items())
    return f"From me Thu Jan  1 10:00:00 2026\n{lines}\nWhy.\n---\n{change}-- \n2.39\n\n"


@pytest.fixture
def clean(world):
    """The world with a tree that passes, and that git knows."""
    (world.tree / "kernel" / "core.c").write_text(CLEAN + "\n")
    git(world.tree, "init", "--quiet")
    commit(world, "base")
    return world


def commit(world, message):
    git(world.tree, "add", "--all", "--force")
    git(world.tree, "commit", "--quiet", "--message", message)
    return git(world.tree, "rev-parse", "HEAD")


@pytest.fixture
def box(tmp_path):
    """A thread of two parts and a cover letter, the second part first."""
    file = tmp_path / "thread.mbox"
    both = [
        mail(0, "Say hello", "base-commit: " + "b" * 40 + "\n"),
        mail(2, "Break it", diff("kernel/core.c", HELLO, BEFORE), **{"Message-Id": "<2@x>"}),
        mail(1, "Greet", diff("kernel/core.c", CLEAN, HELLO)),
    ]
    file.write_text("".join(both))
    return file


def test_a_mailbox_is_judged_and_told_in_every_report(clean, box):
    result = clean(patches=(box,))
    name = "6.12+0002-Break-it (2 patches)"
    assert (result.status, result.cells[-1].cell.subject) == (Status.FAIL, name)
    assert result.title == "Say hello"
    assert [patch.subject for patch in result.patches] == [
        "[PATCH 1/2] Greet",
        "[PATCH 2/2] Break it",
    ]
    assert (result.patches[1].author, result.patches[1].message_id) == ("Jörg <j@x>", "2@x")
    assert result.patches[0].base_commit == "b" * 40
    assert rejudge(RunFolder(clean.folder)) == result
    out = io.StringIO()
    text.show(Console(file=out, width=200), result, "/run")
    assert "patches:  2, Say hello: [PATCH 2/2] Break it (Jörg <j@x>)" in out.getvalue()
    assert "note:     left out: the cover letter [PATCH 0/2] Say hello" in out.getvalue()
    (suite,) = JUnitXml.fromstring(junit.render(result).encode())
    told = {one.name: one.value for one in suite.properties()}
    assert told["series"] == "Say hello"
    assert told["patch 2"] == "[PATCH 2/2] Break it, Jörg <j@x>, <2@x>"
    page = html.render(result, {cell.cell.id: clean_records() for cell in result.cells}, {}, {})
    assert "Patches: Say hello" in page and "https://lore.kernel.org/r/2%40x" in page


def clean_records():
    from harness.guest.records import Records

    return Records([])


def test_the_mail_that_does_not_apply_is_named_with_its_own_hunk(clean, tmp_path):
    file = tmp_path / "thread.mbox"
    second = diff("kernel/core.c", "unlike", BEFORE)
    file.write_text(
        mail(1, "Greet", diff("kernel/core.c", CLEAN, HELLO)) + mail(2, "Break it", second)
    )
    result = clean(patches=(file,))
    assert result.headline == (
        f"6.12+0002-Break-it (2 patches): {file}: [PATCH 2/2] Break it does not apply"
    )
    assert "-unlike" in result.failures[0] and f"-{CLEAN}" not in result.failures[0]


def test_the_mail_that_is_in_the_source_is_named(clean, box):
    (clean.tree / "kernel" / "core.c").write_text(HELLO + "\n")
    result = clean(patches=(box,))
    assert result.headline.endswith(f"{box}: [PATCH 1/2] Greet is in this source already")


def test_one_patch_and_a_series_that_ends_with_it_have_two_names(clean, tmp_path):
    files = [tmp_path / f"{name}.patch" for name in ("one", "two")]
    for file in files:
        file.write_text(added(f"Documentation/{file.stem}"))
    names = [
        clean(patches=tuple(given), allow_unbuilt=True).cells[-1].cell.subject
        for given in ([files[1]], files)
    ]
    assert names == ["6.12+two", "6.12+two (2 patches)"]


def test_a_patch_that_needs_fuzz_is_warned_of_and_strictly_refused(clean, tmp_path):
    lines = [str(number) for number in range(1, 12)]
    (clean.tree / "MAINTAINERS").write_text("\n".join(["one", *lines[1:]]) + "\n")
    commit(clean, "lines")
    file = tmp_path / "my.patch"
    context = "".join(f" {line}\n" for line in lines)
    file.write_text(
        "--- a/MAINTAINERS\n+++ b/MAINTAINERS\n@@ -1,7 +1,7 @@\n"
        + context.replace(" 4\n", "-4\n+four\n").partition(" 8\n")[0]
        + diff("kernel/core.c", CLEAN, HELLO)
    )
    result = clean(patches=(file,))
    assert result.status is Status.PASS, result.headline
    assert result.patches[0].warnings == ("hunk 1 of MAINTAINERS, fuzz 1",)
    out = io.StringIO()
    text.show(Console(file=out, width=200), result, "/run")
    assert "warning:  hunk 1 of MAINTAINERS, fuzz 1" in out.getvalue()
    assert "hunk 1 of MAINTAINERS, fuzz 1" in junit.render(result)
    refused = clean(patches=(file,), strict=True)
    assert refused.status is Status.FAIL
    assert refused.headline == f"6.12+my: {file} does not apply as it is"
    assert "hunk 1 of MAINTAINERS, fuzz 1" in refused.failures[0]


# --- ranges ------------------------------------------------------------------


@pytest.fixture
def history(clean):
    """Two commits on the base, and a change that is not committed; the base's name."""
    base = git(clean.tree, "rev-parse", "HEAD")
    for name, line in (("greet", HELLO), ("break", BEFORE)):
        (clean.tree / "kernel" / "core.c").write_text(line + "\n")
        commit(clean, name)
    (clean.tree / "kernel" / "core.c").write_text("uncommitted\n")
    return base


def test_a_range_is_judged_against_where_it_begins(clean, history):
    result = clean(commits="HEAD~2..")
    assert result.status is Status.FAIL
    assert [cell.cell.subject for cell in result.cells] == ["6.12", "6.12+break (2 patches)"]
    assert [patch.subject for patch in result.patches] == ["greet", "break"]
    plan = RunFolder(clean.folder).read_plan()
    assert plan.source == f"git:{clean.tree}@{history}"
    one = clean(commits="HEAD~2..HEAD~1")
    assert (one.status, one.cells[-1].cell.subject) == (Status.PASS, "6.12+greet")


def test_what_has_no_history_has_no_range(clean, tmp_path):
    with pytest.raises(PlanError, match="--patch and --range exclude each other"):
        clean(commits="HEAD~1..", patches=(tmp_path / "x.patch",))
    with pytest.raises(PlanError, match="has no commits nowhere"):
        clean(commits="nowhere..")


# --- again -------------------------------------------------------------------


def words_of(world, asked, commits=None):
    """The words of the command that repeats the first cell of the run that lies there."""
    folder = RunFolder(world.folder)
    plan = folder.read_plan()
    again = repeatable(asked, Prepared(plan, None, None, commits), folder.patches)
    return shlex.split(repeat_command(plan, again, plan.cells[0]))


def after(words, option):
    return [words[at + 1] for at, word in enumerate(words) if word == option]


def test_the_command_that_repeats_runs_from_any_folder(clean, box, monkeypatch):
    clean(patches=(box,))
    monkeypatch.chdir(box.parent)
    words = words_of(clean, Asked(patches=(Path(box.name),)))
    assert words[:2] == [str(ROOT / "pmu-harness"), "run"]
    assert after(words, "--patch") == [str(box)]
    assert all(Path(place).is_absolute() for place in after(words, "--patch"))


def test_what_came_on_standard_input_can_be_judged_again(clean, box):
    """It is kept in the run, each patch in a file, with what is known of it."""
    first = clean(patches=(box,))
    (kept,) = after(words_of(clean, Asked(patches=(STANDARD_INPUT,))), "--patch")
    assert kept == str(clean.folder / "patches")
    assert sorted(path.name for path in Path(kept).iterdir()) == [
        "0001-Greet.patch",
        "0002-Break-it.patch",
        "series",
    ]
    again = take_in([Path(kept)]).patches
    assert [(one.stem, one.subject, one.author, one.message_id) for one in again] == [
        (one.stem, one.subject, one.author, one.message_id) for one in first.patches
    ]


def test_a_range_is_repeated_by_its_commits(clean, history):
    clean(commits="HEAD~2..")
    words = words_of(clean, Asked(commits="HEAD~2.."), f"{history}..x")
    assert after(words, "--range") == [f"{history}..x"]
    assert after(words, "--source") == [f"git:{clean.tree}@{history}"]
