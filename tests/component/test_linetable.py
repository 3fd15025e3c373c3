# SPDX-License-Identifier: MIT
"""Line tables by a real compiler: where the lines of a source lie in an image without any."""

import subprocess
from types import SimpleNamespace

import pytest

from harness.build.linetable import _addresses, _of_source, _UnknownError

TRIPLET = "aarch64-linux-gnu"
SOURCE = """\
extern int other(int);

__attribute__((weak)) int overridden(int x)
{
	return x;
}

static inline int twice(int x)
{
	return other(x) + other(x + 1);
}

int first(int x)
{
	if (x > 3)
		return twice(x);
	return overridden(x);
}

int __attribute__((section(".init.text"))) second(int x)
{
	return twice(x) + 5;
}
"""

pytestmark = pytest.mark.needs(f"{TRIPLET}-gcc", "bwrap")


@pytest.fixture
def built(tmp_path):
    """A tree, a build folder with kbuild's note, and the System.map of an image."""
    tree, folder = tmp_path / "tree", tmp_path / "build"
    source = tree / "kernel" / "core.c"
    source.parent.mkdir(parents=True)
    (folder / "kernel").mkdir(parents=True)
    source.write_text(SOURCE)
    command = f"{TRIPLET}-gcc -Wp,-MMD,kernel/.core.o.d -O2 -c -o kernel/core.o {source}"
    note = f"savedcmd_kernel/core.o := {command} ; ./tools/objtool/objtool kernel/core.o\n"
    (folder / "kernel" / ".core.o.cmd").write_text(note)
    subprocess.run(command.split(), cwd=folder, check=True)
    (tmp_path / "rest.c").write_text(
        "int before(int x) { return x + 1; }\nint other(int x) { return x * 3; }\n"
        "int overridden(int x) { return x - 1; }\n"
    )
    rest = [f"{TRIPLET}-gcc", "-O2", "-c", "-o", "rest.o", str(tmp_path / "rest.c")]
    subprocess.run(rest, cwd=folder, check=True)
    ld = [f"{TRIPLET}-ld", "-Ttext=0x80000000", "-e", "0", "-o", "image", "rest.o", "kernel/core.o"]
    subprocess.run(ld, cwd=folder, check=True)
    nm = subprocess.run([f"{TRIPLET}-nm", "image"], cwd=folder, check=True, stdout=subprocess.PIPE)
    builder = SimpleNamespace(
        folder=folder,
        source=SimpleNamespace(tree=SimpleNamespace(work=tree)),
        architecture=SimpleNamespace(triplet=TRIPLET),
    )
    return SimpleNamespace(builder=builder, map=nm.stdout.decode(), folder=folder)


def of(built, system_map=None):
    return _of_source(built.builder, "kernel/core.c", _addresses(system_map or built.map))


def test_a_line_lies_where_the_image_has_its_code(built):
    table = of(built)
    places = {name: where[0] for name, where in _addresses(built.map).items()}
    functions = {f.name: f.span for f in table.functions["kernel/core.c"]}
    assert functions["first"][0] == places["first"]
    assert functions["second"][0] == places["second"]
    lines = table.lines["kernel/core.c"]
    assert any(functions["first"][0] <= start < functions["first"][1] for start, _ in lines[15])
    # Inlined into both.
    for name in ("first", "second"):
        begin, end = functions[name]
        assert any(begin <= start < end for start, _ in lines[10]), name


def test_a_declaration_became_no_code(built):
    assert 1 not in of(built).lines["kernel/core.c"]


def test_a_weak_function_says_nothing_of_where_the_others_are(built):
    """The image has another object's."""
    assert "overridden" not in {f.name for f in of(built).functions["kernel/core.c"]}


def test_an_image_of_other_code_is_not_taken_for_this_sources(built):
    moved = built.map.replace(" first", " elsewhere").replace(" second", " nowhere")
    with pytest.raises(_UnknownError, match="has its functions elsewhere"):
        of(built, moved)


@pytest.mark.parametrize(
    ("note", "said"),
    [
        (None, "no note"),
        ("savedcmd_kernel/core.o := true\n", "another form"),
        ("nothing\n", "another form"),
    ],
)
def test_a_note_that_tells_no_command_is_said(built, note, said):
    path = built.folder / "kernel" / ".core.o.cmd"
    path.unlink()
    if note is not None:
        path.write_text(note)
    with pytest.raises(_UnknownError, match=said):
        of(built)


def test_what_a_stranger_left_instead_of_an_object_is_not_followed(built, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("kept")
    (built.folder / "lines.elf").symlink_to(secret)
    with pytest.raises(Exception, match="line table"):
        of(built)
    assert secret.read_text() == "kept"


def test_a_line_that_calls_what_was_inlined_is_where_that_lies(built):
    lines = of(built).lines["kernel/core.c"]
    (call,) = (number for number, text in enumerate(SOURCE.splitlines(), 1) if "+ 5" in text)
    (body,) = (
        number for number, text in enumerate(SOURCE.splitlines(), 1) if "other(x + 1)" in text
    )
    held = {address for start, end in lines[call] for address in range(start, end)}
    inlined = {address for start, end in lines[body] for address in range(start, end)}
    assert held & inlined
