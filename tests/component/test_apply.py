# SPDX-License-Identifier: MIT
"""A patch is looked up by what is in the tree: on each kind of source, whatever ran before."""

import tarfile

import pytest

from harness.errors import PatchError, PlanError
from harness.model import PatchFile
from harness.source.apply import apply_all, patched
from harness.source.archive import MANIFEST, held, unpack
from harness.source.clone import Clone
from harness.source.intake import take_in
from harness.source.kernel.path import snapshot
from harness.source.tree import Change, Tree
from tests.component.fakes import added, diff, git, make_tree
from tests.conftest import DATA

pytestmark = pytest.mark.needs("git", "tar", "setpriv")

CORE = "\tone\n\ttwo\n\tthree\n"
LATIN = "caf\udce9.c"


def make_source(folder):
    """A tree with what patches stumble over: links, like names, a name that is no UTF-8."""
    tree = make_tree(folder, CORE)
    for name, content in {
        "tools/kernel/core.c": CORE,
        "drivers/perf/arm_pmu.c": CORE,
        "gone.c": "gone\n",
        "plain.sh": "plain\n",
        "include/linux/a.h": "one\n",
        "dos.txt": "one\r\n",
        LATIN: "one\n",
        "latin.c": "one\n",
    }.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content.encode(errors="surrogateescape"))
    (tree / "link").symlink_to("include")
    (tree / "dangling").symlink_to("nowhere")
    return tree


def as_archive(folder, user):
    tarball = folder / "linux.tar"
    with tarfile.open(tarball, "w") as archive:
        archive.add(user, "linux-6.12")
    tree = Tree(folder / "source")
    tree.folder.mkdir()
    unpack(tree, tarball)
    return tree, None


def as_path(folder, user):
    tree = Tree(folder / "source")
    tree.prepare()
    return tree, snapshot(tree, user, None)


def patch(text, path="my.patch"):
    data = text.encode() if isinstance(text, str) else text
    return PatchFile.of(path, data)


EARLIER = (
    patch(diff("kernel/core.c", "\tone", "\tearlier", "\ttwo")),
    patch(diff("tools/kernel/core.c", "\tone", "\tearlier", "\ttwo")),
    patch(added("n.c")),
    patch(added("include/linux/n.h")),
)


@pytest.fixture(params=["archive", "path"])
def source(request, tmp_path):
    """(tree, pristine tree) of each kind of source."""
    user = make_source(tmp_path / "user")
    return {"archive": as_archive, "path": as_path}[request.param](tmp_path, user)


@pytest.fixture(params=["cold", "warm"])
def apply(request, source):
    """Applies patches to the source, as the first who do so or after others; what changed."""
    tree, pristine = source
    if request.param == "warm":
        for one in EARLIER:
            tree.checkout(patched(tree, pristine, (one,))[1])

    def changes(*patches):
        before, after = patched(tree, pristine, tuple(patches))
        tree.checkout(after)
        return set(tree.changed(before, after))

    changes.work = tree.work
    return changes


def at(old, new, git=True):
    """A change of kernel/core.c whose paths have prefixes."""
    header = f"diff --git {old} {new}\n" if git else ""
    return f"{header}--- {old}\n+++ {new}\n@@ -1,3 +1,3 @@\n \tone\n-\ttwo\n+\tzwei\n \tthree\n"


FILE = "kernel/core.c"
DATE = "2024-01-01 10:00:00.000000000 +0100"
WAYS = {
    "git": at(f"a/{FILE}", f"b/{FILE}"),
    "mnemonic": at(f"c/{FILE}", f"w/{FILE}"),
    "index": at(f"i/{FILE}", f"w/{FILE}"),
    "no prefix": at(FILE, FILE),
    "two": at(f"x/y/{FILE}", f"x/z/{FILE}"),
    "folders": at(f"linux.orig/{FILE}", f"linux/{FILE}", git=False),
    "tab and date": at(f"linux-6.12.orig/{FILE}\t{DATE}", f"linux-6.12/{FILE}\t{DATE}", git=False),
    "blank and date": at(f"linux.orig/{FILE} {DATE}", f"linux/{FILE} {DATE}", git=False),
    "one name": at(f"{FILE}.orig", FILE, git=False),
    "p0": at(FILE, FILE, git=False),
    "dot": at(f"./{FILE}", f"./{FILE}", git=False),
    "absolute": at(f"/home/me/linux.orig/{FILE}", f"/home/me/linux/{FILE}", git=False),
    "above": at(f"../linux.orig/{FILE}", f"../linux/{FILE}", git=False),
    "mail": f"From: me\nSubject: x\n\ndiff ---\n---\n{at(f'a/{FILE}', f'b/{FILE}')}-- \n2.39\n",
}


@pytest.mark.parametrize("way", WAYS)
def test_paths_may_begin_with_anything(apply, way):
    assert apply(patch(WAYS[way])) == {Change(FILE, "M")}
    assert (apply.work / FILE).read_text() == "\tone\n\tzwei\n\tthree\n"


def test_the_longer_of_two_paths_that_are_there_is_meant(apply):
    path = "tools/kernel/core.c"
    assert apply(patch(at(f"a/{path}", f"b/{path}"))) == {Change(path, "M")}
    assert apply(patch(at(path, path))) == {Change(path, "M")}


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (added("n.c"), "n.c"),
        (added("new/n.c"), "new/n.c"),
        (added("drivers/perf/new/n.c").replace(" a/", " c/").replace(" b/", " w/"),) * 2,
        (added("kernel/n.c").replace(" a/", " ").replace(" b/", " "), "kernel/n.c"),
        ("--- /dev/null\n+++ linux/drivers/perf/n.c\n@@ -0,0 +1 @@\n+x\n", "drivers/perf/n.c"),
        (
            "--- linux.orig/kernel/n.c 1970-01-01 00:00:00.000000000 +0000\n"
            f"+++ linux/kernel/n.c {DATE}\n@@ -0,0 +1 @@\n+x\n",
            "kernel/n.c",
        ),
    ],
)
def test_a_new_file_goes_where_its_folder_is(apply, text, path):
    path = "drivers/perf/new/n.c" if path == text else path
    assert apply(patch(text)) == {Change(path, "A")}
    assert (apply.work / path).read_text() == "x\n"


RENAMED = """\
diff --git i/gone.c w/kernel/here.c
similarity index 100%
rename from gone.c
rename to kernel/here.c
"""
COPIED = """\
diff --git c/gone.c w/copy.c
similarity index 100%
copy from gone.c
copy to copy.c
"""
REMOVED = """\
--- linux.orig/gone.c
+++ /dev/null
@@ -1 +0,0 @@
-gone
"""
MODE = "diff --git c/plain.sh w/plain.sh\nold mode 100644\nnew mode 100755\n"


def test_what_is_no_change_of_lines_is_looked_up_as_well(apply):
    assert apply(patch(RENAMED)) == {Change("gone.c", "D"), Change("kernel/here.c", "A")}
    assert apply(patch(COPIED)) == {Change("copy.c", "A")}
    assert apply(patch(REMOVED)) == {Change("gone.c", "D")}
    assert apply(patch(MODE)) == {Change("plain.sh", "M", mode_only=True)}
    assert (apply.work / "plain.sh").stat().st_mode & 0o111


def test_patches_stand_on_what_earlier_ones_made(apply):
    again = "--- x/new/n.c\n+++ y/new/n.c\n@@ -1 +1 @@\n-x\n+y\n"
    assert apply(patch(added("new/n.c")), patch(again)) == {Change("new/n.c", "A")}
    assert (apply.work / "new/n.c").read_text() == "y\n"
    later = "--- x/kernel/here.c\n+++ y/kernel/here.c\n@@ -1 +1 @@\n-gone\n+y\n"
    apply(patch(RENAMED), patch(later))
    assert (apply.work / "kernel/here.c").read_text() == "y\n"


def test_a_patch_may_stand_on_itself(apply):
    both = added("new/n.c") + diff("new/n.c", "x", "y")
    assert apply(patch(both)) == {Change("new/n.c", "A")}


# --- bytes -------------------------------------------------------------------


def test_a_byte_is_built_as_it_is(apply):
    text = diff("latin.c", "one", "caf#").encode().replace(b"#", b"\xe9")
    assert apply(patch(text)) == {Change("latin.c", "M")}
    assert (apply.work / "latin.c").read_bytes() == b"caf\xe9\n"


def test_a_carriage_return_of_the_file_is_kept(apply):
    text = diff("dos.txt", "one\r", "two\r")
    assert apply(patch(text)) == {Change("dos.txt", "M")}
    assert (apply.work / "dos.txt").read_bytes() == b"two\r\n"


@pytest.mark.parametrize("quoted", [True, False])
def test_a_name_that_is_no_utf8_is_found(apply, quoted):
    text = diff("caf#.c", "one", "two")
    if quoted:
        text = text.replace("a/caf#.c", '"a/caf#.c"').replace("b/caf#.c", '"b/caf#.c"')
    byte = b"\\351" if quoted else b"\xe9"
    assert apply(patch(text.encode().replace(b"#", byte))) == {Change(LATIN, "M")}


def test_a_name_that_is_no_utf8_is_told_as_it_can_be(apply):
    with pytest.raises(PatchError) as raised:
        apply(patch(diff("caf#.c", "zero", "two").encode().replace(b"#", b"\xe8")))
    assert raised.value.why == r"this source has no caf\xe8.c (did you mean caf\xe9.c?)"


def test_a_link_may_be_changed(apply):
    text = "diff --git a/dangling b/dangling\nindex 1..2 120000\n--- a/dangling\n+++ b/dangling\n"
    text += "@@ -1 +1 @@\n-nowhere\n\\ No newline at end of file\n+kernel\n"
    text += "\\ No newline at end of file\n"
    assert apply(patch(text)) == {Change("dangling", "M")}
    assert (apply.work / "dangling").readlink().name == "kernel"


# --- what cannot be ----------------------------------------------------------

OUTSIDE = [
    "../outside.c",
    "kernel/../../outside.c",
    "/tmp/outside.c",
    "/etc/passwd",
    ".git/config",
    "kernel/.git/config",
    "link/linux/a.h",
    "link/n.h",
    "dangling/n.h",
]


def files(folder):
    """All but git's own."""
    return {path for path in folder.rglob("*") if "source/git/" not in str(path)}


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("make", [added, lambda path: diff(path, "one", "two")])
def test_no_patch_reaches_out_of_the_tree(apply, path, make, tmp_path):
    before = files(tmp_path)
    with pytest.raises(PatchError) as raised:
        apply(patch(make(path)))
    assert raised.value.why
    assert files(tmp_path) <= before


@pytest.mark.parametrize("path", ["/etc/passwd", "/etc/hostname", "/etc/nothing"])
def test_an_absolute_path_is_none_of_the_tree_whether_it_exists_or_not(apply, path):
    for old in (path, "/dev/null"):
        lines = "@@ -0,0 +1 @@\n+x\n" if old == "/dev/null" else "@@ -1 +1 @@\n-x\n+y\n"
        with pytest.raises(PatchError):
            apply(patch(f"--- {old}\n+++ {path}\n{lines}"))


@pytest.mark.parametrize("path", ["kernel", "kernel/core.c/x.c"])
def test_a_folder_is_no_file_and_a_file_no_folder(apply, path):
    with pytest.raises(PatchError, match=r"my\.patch does not apply"):
        apply(patch(added(path)))
    assert not (apply.work / "kernel").is_file()


def test_what_the_source_lacks_is_named_with_what_is_near(apply):
    text = at("c/arch/arm64/kernel/arm_pmu.c", "w/arch/arm64/kernel/arm_pmu.c")
    with pytest.raises(PatchError, match=r"^my\.patch does not apply$") as raised:
        apply(patch(WAYS["git"] + text))
    assert raised.value.why == (
        "this source has no arch/arm64/kernel/arm_pmu.c (did you mean drivers/perf/arm_pmu.c?)"
    )


@pytest.mark.parametrize("way", WAYS)
def test_a_patch_that_is_in_already_is_said_to_be(apply, way):
    first, second = patch(WAYS["git"]), patch(WAYS[way], "again.patch")
    with pytest.raises(PatchError, match=r"^again\.patch is in this source already$"):
        apply(first, second)


@pytest.mark.parametrize("text", [RENAMED, REMOVED, added("n.c"), added("kernel/n.c")])
def test_a_file_that_came_or_went_already_is_said_to_have(apply, text):
    with pytest.raises(PatchError, match="in this source already"):
        apply(patch(text), patch(text))


def test_the_hunk_that_does_not_fit_is_shown_of_the_right_file(apply):
    text = at("x/y/kernel/core.c", "x/z/kernel/core.c", git=False).replace("\tone", "\tzero")
    other = at("x/y/tools/kernel/core.c", "x/z/tools/kernel/core.c", git=False)
    with pytest.raises(PatchError) as raised:
        apply(patch(other + text))
    assert "patch failed: kernel/core.c:1" in raised.value.why
    assert raised.value.why.endswith("@@ -1,3 +1,3 @@\n \tzero\n-\ttwo\n+\tzwei\n \tthree\n")


def test_lines_without_context_are_named_as_the_reason(apply):
    with pytest.raises(PatchError) as raised:
        apply(patch("--- a/kernel/core.c\n+++ b/kernel/core.c\n@@ -2 +2 @@\n-\ttwo\n+\tzwei\n"))
    assert "it has no lines of context (diff -U0)" in raised.value.why


def test_a_difference_in_white_space_alone_is_named(apply):
    with pytest.raises(PatchError) as raised:
        apply(patch(WAYS["git"].replace(" \tone", " \t\tone")))
    assert "it would, if white space were left aside" in raised.value.why


def test_control_characters_in_names_are_not_passed_on(apply):
    name = r'"\033[2Jx"'
    with pytest.raises(PatchError) as raised:
        apply(patch(f"--- {name}\n+++ {name}\n@@ -1 +1 @@\n-a\n+b\n"))
    assert r"\x1b[2Jx" in raised.value.why


DAMAGED = {
    "tabs": (WAYS["git"].replace("\t", "        "), "no tab is left"),
    "stuffed": (WAYS["git"].replace("\n \t", "\n  \t"), "a blank too many"),
    "wrapped": (WAYS["git"].replace("\tone", "\to\nne"), "corrupt patch at line 6"),
    "cut": (WAYS["git"].removesuffix(" \tthree\n"), "it ends within a hunk"),
    "no diff": ("--- hello\n+++ world\nno hunk\n", "git finds no change in it"),
    "garbage": ("diff --git a/gone.c b/gone.c\n--- a/gone.c\n+++ b/gone.c\nx\n", "only garbage"),
    "mode": ("diff --git a/gone.c b/gone.c\nnew mode x\n", "invalid mode"),
    "binary": (
        "diff --git a/gone.c b/gone.c\nindex 1..2 100644\n"
        "Binary files a/gone.c and b/gone.c differ\n",
        "without full index line",
    ),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_patch_is_no_kernels_fault(apply, how):
    text, why = DAMAGED[how]
    with pytest.raises(PlanError, match=r"^my\.patch ") as raised:
        apply(patch(text))
    assert why in raised.value.why
    assert raised.value.advice


@pytest.mark.parametrize(
    "text",
    [WAYS["git"].replace(" \t", "  \t"), WAYS["git"].replace("\n \t", "\n\t")],
)
def test_a_mail_that_flowed_is_called_that(apply, text):
    """One whose client added blanks, and one whose client did not, and git took them away."""
    mail = PatchFile.of("my.patch", text.encode(), flowed=True)
    with pytest.raises(PlanError, match=r"^my\.patch was damaged on its way$") as raised:
        apply(mail)
    assert "format=flowed" in raised.value.why


# --- where the plain way fails -----------------------------------------------

LONG = "".join(f"{number}\n" for number in range(1, 41))


@pytest.fixture
def developer(tmp_path):
    """A tree under git, and a function that applies patches to what lies in it."""
    user = make_source(tmp_path / "user")
    (user / "long.c").write_text(LONG)
    git(user, "init", "--quiet")
    git(user, "add", "--all", "--force")
    git(user, "commit", "--quiet", "--message=one")

    def apply(*patches):
        clone = Clone(user)
        tree = Tree(tmp_path / "source")
        tree.prepare(clone)
        applied = apply_all(tree, snapshot(tree, user, clone), tuple(patches))
        tree.checkout(applied.tree)
        return applied.patches

    apply.user, apply.work = user, tmp_path / "source" / "tree"
    return apply


def changed(user, *changes, file="long.c"):
    """The diff of some lines of the file, which stays as it is."""
    path = user / file
    before = path.read_text()
    text = before
    for old, new in changes:
        text = text.replace(f"\n{old}\n", f"\n{new}\n")
    path.write_text(text)
    try:
        return patch(git(user, "diff") + "\n")
    finally:
        path.write_text(before)


def test_a_patch_made_for_another_version_is_merged_where_that_is_known(developer):
    mine = changed(developer.user, ("20", "twenty"))
    path = developer.user / "long.c"
    path.write_text(LONG.replace("\n17\n", "\nseventeen\n").replace("\n23\n", "\n_\n"))
    (done,) = developer(mine)
    assert done.warnings == ("merged three ways, as it was made for other versions of long.c",)
    assert "\n19\ntwenty\n21\n" in (developer.work / "long.c").read_text()
    assert "\nseventeen\n" in (developer.work / "long.c").read_text()


def test_a_merge_with_conflicts_is_no_merge(developer):
    mine = changed(developer.user, ("20", "twenty"))
    (developer.user / "long.c").write_text(LONG.replace("\n20\n", "\nzwanzig\n"))
    with pytest.raises(PatchError, match="does not apply") as raised:
        developer(mine)
    assert "patch failed: long.c:17" in raised.value.why


def without_blobs(one):
    """The same without index lines: nobody knows what it was made for."""
    lines = [line for line in one.text.splitlines(True) if not line.startswith("index ")]
    return patch("".join(lines))


def test_a_line_of_fuzz_is_told_with_hunk_and_offset(developer):
    mine = without_blobs(changed(developer.user, ("5", "five"), ("20", "twenty")))
    text = LONG.replace("\n17\n", "\nseventeen\n").replace("\n10\n", "\n10\n" + "new\n" * 12)
    (developer.user / "long.c").write_text(text)
    (done,) = developer(mine)
    assert done.warnings == ("hunk 2 of long.c at an offset of 12, fuzz 1",)
    assert "\n19\ntwenty\n21\n" in (developer.work / "long.c").read_text()


def test_two_lines_of_fuzz_are_too_many(developer):
    mine = without_blobs(changed(developer.user, ("20", "twenty")))
    text = LONG.replace("\n17\n18\n", "\nseventeen\neighteen\n")
    (developer.user / "long.c").write_text(text)
    with pytest.raises(PatchError, match="does not apply"):
        developer(mine)


def test_a_patch_with_little_context_is_given_no_fuzz(developer):
    text = "--- a/long.c\n+++ b/long.c\n@@ -19,3 +19,3 @@\n 19\n-20\n+twenty\n 21\n"
    (developer.user / "long.c").write_text(LONG.replace("\n19\n", "\nnineteen\n"))
    with pytest.raises(PatchError, match="does not apply"):
        developer(patch(text))


def test_a_patch_made_in_a_folder_is_taken_there(apply):
    """By git diff --relative: where its files are, and where its lines fit."""
    within = at("a/perf/arm_pmu.c", "b/perf/arm_pmu.c")
    assert apply(patch(within)) == {Change("drivers/perf/arm_pmu.c", "M")}
    new = added("perf/new.c")
    assert apply(patch(within + new)) >= {Change("drivers/perf/new.c", "A")}
    assert apply(patch(at("arm_pmu.c", "arm_pmu.c"))) == {Change("drivers/perf/arm_pmu.c", "M")}


def test_a_folder_is_told_by_the_lines_where_several_have_the_file(apply):
    both = at("a/core.c", "b/core.c")
    with pytest.raises(PatchError, match="does not say where it belongs") as raised:
        apply(patch(both))
    assert raised.value.why == "it applies below kernel, tools/kernel"
    other = diff("tools/kernel/core.c", "\tone", "\tother", "\ttwo", "\tthree")
    assert apply(patch(other), patch(both)) == {
        Change("kernel/core.c", "M"),
        Change("tools/kernel/core.c", "M"),
    }


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (WAYS["no prefix"], "its paths are taken with -p0, as the files are there"),
        (WAYS["two"], "its paths are taken with -p2, as the files are there"),
        (at("perf/arm_pmu.c", "perf/arm_pmu.c"), "its paths are taken below drivers/, where"),
    ],
)
def test_what_is_unusual_about_its_paths_is_said(source, text, note):
    tree, pristine = source
    (done,) = apply_all(tree, pristine, (patch(text),)).patches
    assert note in done.notes[0]
    (usual,) = apply_all(tree, pristine, (patch(WAYS["git"]),)).patches
    assert usual.notes == () and usual.warnings == ()


# --- a web page --------------------------------------------------------------

PAGE = DATA / "patches" / "start-stop-as-a-page.txt"
# As much of 2.6.33 as the page's hunks are about.
OF_2010 = {
    "arch/x86/kernel/cpu/perf_event.c": """\
static int x86_pmu_enable(struct perf_event *event)
{
\treturn 0;
}

static void x86_pmu_unthrottle(struct perf_event *event)
{
\tstruct cpu_hw_events *cpuc = &__get_cpu_var(cpu_hw_events);
}

static void __x86_pmu_disable(struct perf_event *event, struct cpu_hw_events *cpuc)
{
\tcpuc->events[idx] = NULL;
}

static void x86_pmu_disable(struct perf_event *event)
{
\tstruct cpu_hw_events *cpuc = &__get_cpu_var(cpu_hw_events);
\tint i;

\t__x86_pmu_disable(event, cpuc);

\tfor (i = 0; i < cpuc->n_events; i++) {
\t\tif (event == cpuc->event_list[i]) {
\t\t\tbreak;
\t\t}
\t}
\tperf_event_update_userpage(event);
}

/*
 * Save and restart an expired event. Called by NMI contexts,
 * so it has to be careful about preempting normal event ops:
 */
static const struct pmu pmu = {
\t.enable\t\t= x86_pmu_enable,
\t.disable\t= x86_pmu_disable,
\t.read\t\t= x86_pmu_read,
\t.unthrottle\t= x86_pmu_unthrottle,
};
""",
    "include/linux/perf_event.h": """\
struct pmu {
\tint (*enable)\t\t\t(struct perf_event *event);
\tvoid (*disable)\t\t\t(struct perf_event *event);
\tvoid (*read)\t\t\t(struct perf_event *event);
\tvoid (*unthrottle)\t\t(struct perf_event *event);
};
""",
    "kernel/perf_event.c": """\
static void perf_adjust_period(struct perf_event *event, u64 nsec, u64 count)
{
\thwc->sample_period = sample_period;

\tif (atomic64_read(&hwc->period_left) > 8*sample_period) {
\t\tperf_disable();
\t\tevent->pmu->disable(event);
\t\tatomic64_set(&hwc->period_left, 0);
\t\tevent->pmu->enable(event);
\t\tperf_enable();
\t}
}
""",
}


@pytest.fixture
def page():
    (patch,) = take_in([PAGE]).patches
    return patch


def test_a_page_that_lost_its_white_space_is_repaired_from_the_tree_that_it_fits(tmp_path, page):
    user = make_tree(tmp_path / "user")
    for name, text in OF_2010.items():
        (user / name).parent.mkdir(parents=True, exist_ok=True)
        (user / name).write_text(text)
    tree, pristine = as_path(tmp_path, user)
    applied = apply_all(tree, pristine, (page,))
    tree.checkout(applied.tree)
    (done,) = applied.patches
    assert len(done.warnings) == 3
    assert "made for another version of it, a920f17" in done.warnings[0]
    core = (tree.work / "kernel/perf_event.c").read_text()
    assert "\t\tperf_disable();\n\t\tevent->pmu->stop(event);\n" in core
    driver = (tree.work / "arch/x86/kernel/cpu/perf_event.c").read_text()
    assert "\tif (hwc->idx == -1)\n\t\treturn -EAGAIN;\n\n\tx86_perf_event_set_period" in driver
    assert "\t.disable\t= x86_pmu_disable,\n\t.start\t\t= x86_pmu_start,\n" in driver
    header = (tree.work / "include/linux/perf_event.h").read_text()
    assert "\tint (*start)\t\t\t(struct perf_event *event);\n" in header
    assert patched(tree, pristine, applied.patches)[1] == applied.tree


def test_a_page_is_refused_in_plain_words_where_it_does_not_fit(source, page):
    tree, pristine = source
    with pytest.raises(PlanError, match="lost its white space on its way") as raised:
        patched(tree, pristine, (page,))
    assert "as on a web page: tabs and the first blank of each line are gone" in raised.value.why
    assert "this source has no arch/x86/kernel/cpu/perf_event.c" in raised.value.why


def test_a_page_says_what_it_is(page):
    assert page.subject == "[RFC][PATCH] perf_events: added new start/stop PMU callbacks"
    assert page.author == "Stephane Eranian"


# --- what is kept of an archive ----------------------------------------------


def test_an_older_cache_learns_what_its_archive_held(tmp_path):
    """From the work tree as it came, not with a patch over it."""
    tree, _ = as_archive(tmp_path, make_source(tmp_path / "user"))
    names = list(held(tree))
    (tree.git.folder / MANIFEST).unlink()
    for one in (patch(added("n.c")), patch(REMOVED)):
        tree.checkout(patched(tree, None, (one,))[1])
        (tree.git.folder / MANIFEST).unlink()
        assert list(held(tree)) == names
    assert {"link", "dangling", LATIN, FILE} <= set(names)


def test_a_killed_git_leaves_no_lock_behind(tmp_path):
    tree, _ = as_archive(tmp_path, make_source(tmp_path / "user"))
    for name in ("index", "apply.index", "pristine.index"):
        (tree.git.folder / f"{name}.lock").touch()
    base, result = patched(tree, None, (patch(WAYS["git"]),))
    tree.checkout(result)
    assert tree.changed(base, result) == (Change(FILE, "M"),)
