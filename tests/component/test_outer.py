# SPDX-License-Identifier: MIT
"""An outer system's parts as real processes: the program that launches QEMU, the libraries."""

import os
import pty
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from harness.ask.catalog import ROOT
from harness.build.outer import add_programs
from harness.build.recipe import COMPILE
from harness.errors import HostError
from harness.guest.outer import CONSOLE, reason_of_end, registers
from harness.machine.crash import inner_end, locate

pytestmark = pytest.mark.needs("gcc", "readelf")

# Speaks as QEMU does, on the descriptors that it is given.
QEMU = """
import os, signal, sys
os.write(4, b'{"QMP": {}}\\n')
heard = b""
while heard.count(b"\\n") < 2:
    heard += os.read(4, 4096)
assert heard.splitlines()[0] == b'{"execute": "qmp_capabilities"}', heard
assert heard.splitlines()[1] == b'{"execute": "cont"}', heard
os.write(3, b"pmu-harness: ready\\r\\n\\x00\\x1b[2J")
os.write(4, b'{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}\\n')
END
"""


def compiled(name: str, folder: Path) -> Path:
    """A program of guest-images/outer, for this host."""
    source = ROOT / "guest-images" / "outer" / f"{name}.c"
    subprocess.run(["gcc", *COMPILE, "-o", folder / name, source], check=True)
    return folder / name


@pytest.fixture(scope="module")
def launch(tmp_path_factory):
    return compiled("launch", tmp_path_factory.mktemp("launch"))


def launched(launch: Path, folder: Path, *words: str) -> tuple[str, bytes]:
    """What the outer system's console, and its guest's, got of a launch."""
    argv = folder / "argv"
    argv.write_text("".join(f"{word}\n" for word in words))
    near, far = pty.openpty()
    done = subprocess.run(
        [launch, argv, os.ttyname(far)], capture_output=True, text=True, timeout=20, check=False
    )
    os.set_blocking(near, False)
    try:
        seen = os.read(near, 4096)
    except BlockingIOError:
        seen = b""
    os.close(near)
    os.close(far)
    return done.stdout, seen


@pytest.mark.parametrize(
    ("end", "said", "status"),
    [
        ("sys.exit(0)", "QEMU ended with status 0", 0),
        ("sys.exit(7)", "QEMU ended with status 7", 7),
        ("os.kill(os.getpid(), signal.SIGABRT)", "QEMU was ended by SIGABRT", None),
        ("os.kill(os.getpid(), 40)", "QEMU was ended by signal 40", None),
    ],
)
def test_a_guest_is_let_run_and_its_end_told(launch, tmp_path, end, said, status):
    script = tmp_path / "qemu.py"
    script.write_text(QEMU.replace("END", end))
    outer, console = launched(launch, tmp_path, sys.executable, str(script))
    assert console == b"pmu-harness: ready\r\n\x00\x1b[2J"
    ended = inner_end(outer)
    assert ended is not None
    assert (ended.said, ended.status, ended.reason) == (said, status, "guest-reset")


def test_a_byte_on_the_console_asks_where_the_guest_is(launch, tmp_path):
    script = tmp_path / "qemu.py"
    answer = r"""
heard = os.read(4, 4096)
assert b"info registers" in heard, heard
os.write(4, b'{"return": "PC=ffff800080012345 X00=0\\r\\n"}\n')
"""
    script.write_text(QEMU.replace("END", answer))
    (tmp_path / "argv").write_text(f"{sys.executable}\n{script}\n")
    near, far = pty.openpty()
    harness, guest = socket.socketpair()
    with harness, guest, (tmp_path / CONSOLE).open("wb") as log:
        child = subprocess.Popen([launch, tmp_path / "argv", os.ttyname(far)], stdout=log)
        assert b"ready" in os.read(near, 4096)
        # What the outer machine's serial port does.
        passed = Thread(target=lambda: os.write(near, guest.recv(16)))
        passed.start()
        said = registers(harness, tmp_path, 10)
        passed.join()
        assert child.wait(10) == 0
    os.close(near)
    os.close(far)
    assert locate(said, "ffff800080012300 T spinning\n") == "spinning+0x45"


def test_a_guest_that_does_not_say_where_it_is(tmp_path):
    (tmp_path / CONSOLE).write_text("")
    harness, guest = socket.socketpair()
    with harness, guest:
        assert registers(harness, tmp_path, 0.1) == ""


def test_a_program_that_is_not_there_is_said(launch, tmp_path):
    outer, _ = launched(launch, tmp_path, "/nowhere/qemu")
    assert "launch: /nowhere/qemu: No such file or directory" in outer
    assert inner_end(outer).status == 1


def test_an_outer_system_that_says_nothing_is_the_hosts_fault(tmp_path):
    (tmp_path / CONSOLE).write_text("[    0.1] Kernel panic - not syncing\n")
    with pytest.raises(HostError, match="the outer system stopped") as caught:
        reason_of_end(tmp_path)
    assert "Kernel panic" in caught.value.why
    assert caught.value.evidence == tmp_path / CONSOLE


def test_a_qemu_that_fails_is_told_in_its_words(tmp_path):
    log = "qemu-system-aarch64: -cpu host: failed\nlaunch: QEMU ended with status 1\n"
    (tmp_path / CONSOLE).write_text(log)
    with pytest.raises(HostError, match="QEMU ended with status 1") as caught:
        reason_of_end(tmp_path)
    assert "-cpu host: failed" in caught.value.why


def test_a_program_comes_with_its_libraries_and_theirs(tmp_path):
    system, root = tmp_path / "system", tmp_path / "root"
    place = system / "usr" / "lib"
    place.mkdir(parents=True)
    (system / "usr" / "bin").mkdir()

    def library(source: str, *options: str) -> None:
        words = ["gcc", "-x", "c", "-", f"-L{place}", f"-Wl,-rpath-link,{place}", "-nostdlib"]
        subprocess.run([*words, *options], input=source, text=True, check=True)

    library("int two(void){return 2;}", "-shared", "-o", str(place / "libtwo.so.1"))
    library(
        "int two(void); int one(void){return two();}",
        *("-shared", "-o", str(place / "libone.so"), "-l:libtwo.so.1"),
    )
    program = system / "usr" / "bin" / "program"
    library("int one(void); void _start(void){one();}", "-o", str(program), "-lone")
    (place / "ld-linux-x86-64.so.2").write_text("loader")
    (root / "lib").mkdir(parents=True)
    add_programs(system, ("usr/bin/program",), root, "some-triplet")
    found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert found == {
        "usr/bin/program",
        "lib/some-triplet/libone.so",
        "lib/some-triplet/libtwo.so.1",
        "lib64/ld-linux-x86-64.so.2",
    }
    shutil.rmtree(place)
    with pytest.raises(HostError, match="hold no"):
        add_programs(system, ("usr/bin/program",), tmp_path / "other", "some-triplet")
