# SPDX-License-Identifier: MIT
"""From a person's file to a program of the guest's, and what is refused before a run begins."""

import subprocess

import pytest

from harness.build import reproducer
from harness.build.image import GuestImage
from harness.errors import PlanError
from harness.guest.batch import laid_out
from harness.host.store import Cache

pytestmark = pytest.mark.needs("aarch64-linux-gnu-gcc", "gcc", "setpriv", "cpio")
WELL = "#include <pthread.h>\nint main(void) { return !pthread_self(); }\n"


@pytest.fixture
def make(tmp_path, catalog):
    """The program of a file that has this name and content."""
    cache = Cache(tmp_path / "cache")

    def call(name, content, architecture="arm64"):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return reproducer.make(cache, catalog.architectures[architecture], file, name)

    call.cache = cache
    return call


@pytest.fixture
def compiled(tmp_path):
    """A program of some compiler's."""

    def call(compiler, *options):
        (tmp_path / "own.c").write_text(WELL)
        target = tmp_path / "own"
        subprocess.run([compiler, *options, "-o", target, tmp_path / "own.c"], check=True)
        return target.read_bytes()

    return call


def test_a_c_file_is_compiled_static_for_the_guest(make):
    made = make("crash.c", WELL)
    content = made.program.read_bytes()
    assert content.startswith(b"\x7fELF") and not made.userland
    assert (made.folder / "reproducer.c").read_text() == WELL
    assert make("crash.c", WELL) == made
    assert make("crash.c", WELL + "\n").folder != made.folder


def test_one_that_does_not_compile_says_so_in_the_compilers_words(make):
    with pytest.raises(PlanError) as raised:
        make("crash.c", "int main(void) { return x; }\n")
    assert raised.value.what == "crash.c does not compile for arm64"
    assert "reproducer.c:1:25: error: " in raised.value.why
    assert not list(make.cache.artifacts.glob("reproducer-*"))


def test_one_that_the_linker_refuses_does_as_well(make):
    with pytest.raises(PlanError) as raised:
        make("crash.c", "int f(void);\nint main(void) { return f(); }\n")
    assert "undefined reference to `f'" in raised.value.why


def test_a_script_is_taken_and_gets_a_userland(make):
    made = make("crash", "#!/bin/sh\nexit 0\n")
    assert made.userland
    assert made.program.read_text() == "#!/bin/sh\nexit 0\n"


@pytest.mark.parametrize(("options", "userland"), [(["-static"], False), ([], True)])
def test_a_program_is_taken(make, compiled, options, userland):
    made = make("crash", compiled("aarch64-linux-gnu-gcc", *options))
    assert made.userland is userland


def test_another_machines_program_is_refused(make, compiled):
    with pytest.raises(PlanError, match="crash is no program for arm64"):
        make("crash", compiled("x86_64-linux-gnu-gcc"))
    assert make("crash", compiled("x86_64-linux-gnu-gcc"), "x86_64").userland


@pytest.mark.parametrize("cut", [4, 20, 63])
def test_a_program_that_is_cut_short_is_refused(make, compiled, cut):
    with pytest.raises(PlanError, match="no program for arm64"):
        make("crash", compiled("aarch64-linux-gnu-gcc")[:cut])


@pytest.mark.parametrize("content", ["", "hello\n"])
def test_what_is_none_of_these_is_refused(make, content):
    with pytest.raises(PlanError) as raised:
        make("crash", content)
    assert raised.value.what == "crash is no reproducer"
    assert "neither a C file" in raised.value.why


def test_one_that_is_too_long_is_refused(make):
    with pytest.raises(PlanError, match="longer than 16 MiB"):
        make("crash.c", b"\n" * (reproducer.LIMIT_BYTES + 1))


def test_it_is_put_into_its_guest_and_may_be_executed_there(tmp_path):
    program, image = tmp_path / "program", tmp_path / "image.cpio"
    program.write_text("#!/bin/sh\n")
    image.write_bytes(b"")
    texts = {"batch": "reproduce 5\n"}
    parts = laid_out(GuestImage(image, ""), image, tmp_path, texts, modules=(), reproducer=program)
    with parts as files, files.initramfs.open("rb") as archive:
        command = ["cpio", "--list", "--verbose", "--quiet"]
        listed = subprocess.run(command, stdin=archive, check=True, capture_output=True, text=True)
    (line,) = (line for line in listed.stdout.splitlines() if line.endswith(" reproducer"))
    assert line.startswith("-rwxr-xr-x")
