# SPDX-License-Identifier: MIT
"""White space that a web page took away comes back from the source, or the patch is refused."""

import subprocess

import pytest

from harness.errors import PlanError
from harness.model import PatchFile
from harness.source.flattened import parse, repaired
from harness.source.layout import in_columns, indentation

BEFORE = """\
struct pmu {
\tint\t(*enable)\t(struct perf_event *event);
\tvoid\t(*disable)\t(struct perf_event *event);
};

static int enable(struct perf_event *event)
{
\tint i;

\tfor (i = 0; i < 3; i++)
\t\twrite(event,
\t\t      i);
\tswitch (i) {
\tcase 1:
\t\tbreak;
\t}
\treturn 0;
}

static const struct pmu pmu = {
\t.enable\t\t= enable,
\t.disable\t= disable,
};
"""
AFTER = """\
struct pmu {
\tint\t(*enable)\t(struct perf_event *event);
\tvoid\t(*disable)\t(struct perf_event *event);
\tint\t(*start)\t(struct perf_event *event);
};

/*
 * Starts it.
 */
static int start(struct perf_event *event)
{
\tif (event->idx == -1)
\t\treturn -EAGAIN;
\telse if (event->idx)
\t\treturn call(event,
\t\t\t    1);

\treturn 0;
}

static int enable(struct perf_event *event)
{
\tint i;

\tfor (i = 0; i < 3; i++) {
\t\twrite(event,
\t\t      i);
\t\tnext();
\t}
\tswitch (i) {
\tcase 1:
\t\tbreak;
\tcase 2:
\t\tfall();
\t\tbreak;
\tdefault:
\t\tgoto out;
\t}
out:
\treturn 0;
}

static const struct pmu pmu = {
\t.enable\t\t= enable,
\t.disable\t= disable,
\t.start\t\t= start,
};
"""


def flattened(text):
    """As a page has it: no blank at the beginning of a line, one in place of several."""
    lines = []
    for line in text.splitlines():
        mark = line[:1] if line[:1] in ("+", "-") and line[:3] not in ("+++", "---") else ""
        rest = line.removeprefix(mark)
        gap = " " if mark and rest[:1].isspace() and rest.strip() else ""
        lines.append(mark + gap + " ".join(rest.split()))
    return "\n".join(lines) + "\n"


def page(tmp_path, before=BEFORE, after=AFTER, name="kernel/core.c"):
    """The flattened diff of two versions of a file, with git's names of them."""
    for folder, text in (("a", before), ("b", after)):
        (tmp_path / folder / name).parent.mkdir(parents=True)
        (tmp_path / folder / name).write_text(text)
    command = ["git", "diff", "--no-index", "--no-prefix", "a", "b"]
    said = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).stdout.decode()
    return PatchFile.of("page.txt", ("What it is for.\n\n" + flattened(said)).encode())


def mend(patch, source=BEFORE):
    return repaired(patch, parse(patch), lambda _: source.encode() if source else None)


def applied(tmp_path, patch, source=BEFORE, name="kernel/core.c"):
    (tmp_path / "tree" / name).parent.mkdir(parents=True)
    (tmp_path / "tree" / name).write_text(source)
    command = ["git", "apply", "-p1", "-"]
    subprocess.run(command, cwd=tmp_path / "tree", check=True, input=patch.data)
    return (tmp_path / "tree" / name).read_text()


@pytest.mark.needs("git")
def test_white_space_is_as_it_was_to_the_byte(tmp_path):
    patch = page(tmp_path)
    assert "\t" not in patch.text and "\n " not in patch.text
    mended = mend(patch)
    assert applied(tmp_path, mended) == AFTER
    (note,) = mended.notes
    assert note.startswith("white space of kernel/core.c repaired, to the byte: ")
    assert mended.warnings == ()


@pytest.mark.needs("git")
def test_what_is_another_file_or_another_white_space_is_doubted(tmp_path):
    other = f"int more;\n{BEFORE}"
    mended = mend(page(tmp_path), other)
    assert applied(tmp_path, mended, other) == f"int more;\n{AFTER}"
    assert "as it may have been: the patch was made for another version" in mended.warnings[0]
    odd = AFTER.replace("\treturn 0;\n}\n\nstatic int e", "  return 0;\n}\n\nstatic int e")
    mended = mend(page(tmp_path / "odd", after=odd))
    assert "as it may have been: in new lines it was another one" in mended.warnings[0]


@pytest.mark.needs("git")
def test_a_new_file_is_laid_out_from_nothing(tmp_path):
    patch = page(tmp_path)
    text = patch.text.partition("diff --git")[0] + flattened(
        "diff --git a/n.c b/n.c\nnew file mode 100644\nindex 0000000..1234567\n--- /dev/null\n"
        "+++ b/n.c\n@@ -0,0 +1,4 @@\n+int n(void)\n+{\n+\treturn 1;\n+}\n"
    )
    mended = mend(PatchFile.of("page.txt", (text + patch.text).encode()))
    assert "+int n(void)\n+{\n+\treturn 1;\n+}\n" in mended.text


@pytest.mark.needs("git")
@pytest.mark.parametrize(
    ("source", "why"),
    [
        (None, "this source has no kernel/core.c"),
        ("int other;\n", "the lines of hunk 1 are nowhere in kernel/core.c"),
        (f"\n{BEFORE}{BEFORE}", "the lines of hunk 1 are in 2 places in kernel/core.c"),
    ],
)
def test_what_the_source_does_not_tell_is_refused(tmp_path, source, why):
    with pytest.raises(PlanError, match=r"^page\.txt lost its white space on its way$") as raised:
        mend(page(tmp_path), source)
    assert why in raised.value.why
    assert "raw text" in raised.value.advice


@pytest.mark.needs("git")
def test_white_space_that_means_something_is_not_guessed(tmp_path):
    before, after = "all: one\n\tcc one\n", "all: one\n\tcc one\n\tcc two\n"
    patch = page(tmp_path, before, after, "Makefile")
    assert applied(tmp_path, mend(patch, before), before, "Makefile") == after
    with pytest.raises(PlanError, match="lost its white space") as raised:
        mend(patch, f"# mine\n{before}")
    assert "it means something in Makefile" in raised.value.why


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello\n",
        "diff --git a/a.c b/a.c\n--- a/a.c\n+++ b/a.c\n@@ -1,2 +1,2 @@\n \tone\n-two\n+three\n",
        "diff --git a/a.c b/a.c\n--- a/a.c\n+++ b/a.c\n@@ -1,2 +1,3 @@\none\n-two\n+three\n",
        "diff --git a/a.c b/a.c\n--- a/a.c\n+++ b/a.c\n@@ -1,5 +1,5 @@\none\n-two\n+three\n",
    ],
)
def test_what_is_not_a_flattened_patch_is_not_taken_for_one(text):
    assert parse(PatchFile.of("my.patch", text.encode())) == ()


@pytest.mark.parametrize(
    ("above", "text", "indent"),
    [
        ("", "int a;", ""),
        ("\tif (a)\n", "b();", "\t\t"),
        ("\tif (a) {\n", "b();", "\t\t"),
        ("\tif (a)\n\t\tb();\n", "c();", "\t"),
        ("\tif (a &&\n\t    b)\n", "c();", "\t\t"),
        ("\tif (a)\n\t\tfor (;;)\n\t\t\tb();\n", "c();", "\t"),
        ("\tif (a) {\n\t\tb();\n", "}", "\t"),
        ("\tif (call(a,\n\t\t b)) {\n\t\tb();\n", "}", "\t"),
        ("\tcall(a,\n", "b);", "\t     "),
        ("\t/*\n", "* a", "\t "),
        ("\t/*\n\t * a\n", "*/", "\t "),
        ("\t/*\n\t * a\n\t */\n", "a();", "\t"),
        ("\t/* a */\n", "a();", "\t"),
        ("\tswitch (a) {\n", "case 1:", "\t"),
        ("\tcase 1:\n", "a();", "\t\t"),
        ("\tcase 1:\n\t\ta();\n", "case 2:", "\t"),
        ("\ta();\n", "#ifdef B", ""),
        ("\ta();\n", "out:", ""),
    ],
)
def test_c_stands_where_the_kernel_has_it(above, text, indent):
    assert indentation(above.splitlines(), text) == indent


def test_words_stand_in_the_columns_around_them():
    near = ["\t.enable\t\t= enable,"]
    assert in_columns("\t", ".start = start,", near) == ".start\t\t= start,"
    assert in_columns("\t", ".much_longer_one = a,", near) == ".much_longer_one = a,"
    assert in_columns("\t", "call(a, b);", near) == "call(a, b);"
    assert in_columns("\t\t", ".start = start,", near) == ".start = start,"
