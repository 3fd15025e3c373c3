# SPDX-License-Identifier: MIT
"""What is put into a machine that was saved, and taken out in it by a real process."""

import subprocess

import pytest

from harness.ask.catalog import ROOT
from harness.build.recipe import COMPILE, WAIT
from harness.errors import HostError
from harness.guest.given import given, put_in
from harness.machine.argv import GIVEN_BYTES

pytestmark = pytest.mark.needs("gcc")


SAVED = ROOT / "guest-images" / "saved"
# What wait.c does when the machine goes on.
TAKES = """
#include "receive.h"

int main(int argc, char **argv)
{
	const unsigned char *given;
	size_t size;

	(void)argc;
	given = given_at(argv[1], &size);
	receive(given, size);
	return 0;
}
"""


@pytest.fixture(scope="module")
def receive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("receive")
    (folder / "main.c").write_text(TAKES)
    sources = [folder / "main.c", SAVED / "receive.c"]
    subprocess.run(["gcc", *COMPILE, "-I", SAVED, "-o", folder / "receive", *sources], check=True)
    return folder / "receive"


def test_files_come_out_as_they_were_put_in(receive, tmp_path):
    contents = {"empty": b"", "page": bytes(range(256)) * 16, "more": b"a" * 10_001, "argv": b"x\n"}
    for name, content in contents.items():
        (tmp_path / f"in-{name}").write_bytes(content)
    bar = tmp_path / "bar"
    put_in(bar, {name: tmp_path / f"in-{name}" for name in contents})
    assert bar.stat().st_size == GIVEN_BYTES
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run([receive, bar], cwd=out, check=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == contents


def test_a_guest_that_is_too_large_is_told(tmp_path):
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(GIVEN_BYTES)
    with pytest.raises(HostError, match="do not fit"):
        put_in(tmp_path / "bar", {"kernel": large})


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (b"kernel".ljust(56, b"\0") + (1 << 40).to_bytes(8, "little"), "Bad message"),
        (b"k" * 56 + bytes(8), "Bad message"),
        (b"no/folder".ljust(56, b"\0") + bytes(8), "no/folder: No such file"),
    ],
    ids=["too long", "name without end", "no folder"],
)
def test_what_cannot_be_taken_out_is_told(receive, tmp_path, page, said):
    (tmp_path / "bar").write_bytes(page.ljust(8192, b"\0"))
    argv = [receive, "bar"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert said in done.stdout


def test_it_is_gone_when_the_guest_is(tmp_path):
    small = tmp_path / "small"
    small.write_text("x")
    with given(tmp_path, {"small": small}) as place:
        assert place.exists()
    assert not place.exists()


def test_one_that_nobody_can_stop_says_so(tmp_path):
    """There is a pvpanic device where QEMU plays a machine that is saved, and nowhere else."""
    program, bar = tmp_path / "wait", tmp_path / "bar"
    bar.write_bytes(bytes(4096))
    sources = [SAVED / name for name in WAIT]
    subprocess.run(["gcc", *COMPILE, "-o", program, *sources], check=True)
    argv = [program, "/dev/null", bar]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "wait: pvpanic: No such device\n")
