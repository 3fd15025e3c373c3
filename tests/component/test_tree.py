# SPDX-License-Identifier: MIT
"""A tree of the harness's own: git switches it, the user's is only read."""

import pytest

from harness.errors import PatchError
from harness.model import PatchFile
from harness.source.apply import patched
from harness.source.clone import Clone
from harness.source.kernel.path import snapshot
from harness.source.tree import Change, Tree
from tests.component.fakes import added, diff, git, make_tree

pytestmark = pytest.mark.needs("git", "setpriv")


def patch(text):
    return PatchFile(path="my.patch", text=text)


ONE = patch(diff("kernel/core.c", "one", "two"))
TWO = patch(diff("kernel/core.c", "two", "three"))
NEW = patch(added("n.c", "n"))


@pytest.fixture
def tree(tmp_path):
    """As unpacked from an archive."""
    tree = Tree(tmp_path / "source")
    make_tree(tree.work, "one\n")
    tree.prepare()
    return tree


def core(tree):
    return (tree.work / "kernel" / "core.c").read_text()


def test_patches_are_applied_one_after_the_other(tree):
    _, result = patched(tree, None, (ONE, TWO, NEW))
    assert core(tree) == "one\n"
    tree.checkout(result)
    assert core(tree) == "three\n"
    assert (tree.work / "n.c").read_text() == "n\n"


def test_switching_back_restores_and_touches_nothing_else(tree):
    pristine, one = patched(tree, None, (ONE, NEW))
    tree.checkout(one)
    makefile = (tree.work / "Makefile").stat().st_mtime_ns
    tree.checkout(pristine)
    assert core(tree) == "one\n"
    assert not (tree.work / "n.c").exists()
    assert (tree.work / "Makefile").stat().st_mtime_ns == makefile


def test_a_file_is_tracked_as_it_was_before_any_patch(tree):
    _, one = patched(tree, None, (NEW,))
    tree.checkout(one)
    pristine, other = patched(tree, None, (ONE, NEW))
    tree.checkout(other)
    assert core(tree) == "two\n"
    assert tree.difference(pristine, other) != tree.difference(pristine, pristine)


def test_a_file_that_someone_changed_is_written_anew(tree):
    pristine, one = patched(tree, None, (ONE,))
    tree.checkout(pristine)
    (tree.work / "kernel" / "core.c").write_text("mine\n")
    tree.checkout(one)
    assert core(tree) == "two\n"


def test_an_interrupted_checkout_heals(tree):
    _, one = patched(tree, None, (ONE,))
    tree.checkout(one)
    (tree.git.folder / "checked-out").unlink()
    (tree.work / "kernel" / "core.c").write_text("half writ")
    tree.checkout(one)
    assert core(tree) == "two\n"


def test_the_same_change_is_the_same_difference(tree):
    pristine, one = patched(tree, None, (ONE, TWO))
    _, squashed = patched(tree, None, (patch(diff("kernel/core.c", "one", "three")),))
    assert tree.difference(pristine, one) == tree.difference(pristine, squashed)


GONE = """\
diff --git a/gone.c b/gone.c
deleted file mode 100644
--- a/gone.c
+++ /dev/null
@@ -1 +0,0 @@
-gone
diff --git a/plain.sh b/plain.sh
old mode 100644
new mode 100755
diff --git a/moved.c b/n/moved.c
similarity index 100%
rename from moved.c
rename to n/moved.c
diff --git "a/caf\\351.c" "b/caf\\351.c"
new file mode 100644
--- /dev/null
+++ "b/caf\\351.c"
@@ -0,0 +1 @@
+x
"""


def test_what_a_patch_changed_is_told_path_by_path(tree):
    for name in ("gone.c", "plain.sh", "moved.c"):
        (tree.work / name).write_text("gone\n")
    pristine, result = patched(tree, None, (ONE, NEW, patch(GONE)))
    assert set(tree.changed(pristine, result)) == {
        Change("kernel/core.c", "M"),
        Change("n.c", "A"),
        Change("gone.c", "D"),
        Change("plain.sh", "M", mode_only=True),
        Change("moved.c", "D"),
        Change("n/moved.c", "A"),
        Change("caf\udce9.c", "A"),
    }
    assert tree.changed(pristine, pristine) == ()


def test_a_patch_that_does_not_apply_shows_its_hunk(tree):
    with pytest.raises(PatchError) as raised:
        patched(tree, None, (patch(diff("kernel/core.c", "zero", "two")),))
    assert raised.value.what == "my.patch does not apply"
    assert "patch failed: kernel/core.c:1" in raised.value.why
    assert "-zero" in raised.value.why


def test_a_patch_that_is_in_already_is_said_to_be(tree):
    with pytest.raises(PatchError, match="in this source already"):
        patched(tree, None, (patch(diff("kernel/core.c", "zero", "one")),))


@pytest.mark.parametrize("path", ["../outside.c", "kernel/../../outside.c", "/tmp/outside.c"])
def test_a_patch_cannot_leave_the_tree(tree, path, tmp_path):
    evil = patch(added(path))
    with pytest.raises(PatchError):
        patched(tree, None, (evil,))
    assert not (tmp_path / "outside.c").exists()


def test_a_patch_cannot_follow_a_link_out(tree, tmp_path):
    link = added("l", str(tmp_path), mode="120000") + "\\ No newline at end of file\n"
    through = added("l/x")
    with pytest.raises(PatchError):
        patched(tree, None, (patch(link), patch(through)))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("managed", [True, False])
def test_a_users_tree_is_only_read(tmp_path, managed):
    user = make_tree(tmp_path / "user", "one\n")
    (user / ".gitignore").write_text("*.o\n")
    if managed:
        git(user, "init", "-q")
        git(user, "add", ".")
        git(user, "commit", "-qm", "x")
    (user / "kernel" / "core.o").write_text("object")
    (user / "kernel" / "added.c").write_text("uncommitted\n")
    before = sorted((path, path.stat().st_mtime_ns) for path in user.rglob("*"))
    tree = Tree(tmp_path / "source")
    clone = Clone(user) if managed else None
    tree.prepare(clone)
    pristine = snapshot(tree, user, clone)
    _, one = patched(tree, pristine, (ONE,))
    tree.checkout(one)
    assert core(tree) == "two\n"
    assert (tree.work / "kernel" / "added.c").exists()
    assert not (tree.work / "kernel" / "core.o").exists()
    assert sorted((path, path.stat().st_mtime_ns) for path in user.rglob("*")) == before


def test_a_users_change_and_removal_are_followed(tmp_path):
    user = make_tree(tmp_path / "user", "one\n")
    (user / "gone.c").write_text("")
    tree = Tree(tmp_path / "source")
    tree.prepare()
    first = snapshot(tree, user, None)
    assert snapshot(tree, user, None) == first
    (user / "kernel" / "core.c").write_text("changed\n")
    (user / "gone.c").unlink()
    second = snapshot(tree, user, None)
    tree.checkout(first)
    tree.checkout(second)
    assert core(tree) == "changed\n"
    assert not (tree.work / "gone.c").exists()
