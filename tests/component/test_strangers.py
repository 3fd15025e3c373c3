# SPDX-License-Identifier: MIT
"""Strangers' patches: what their builds may not, and what is said of one that tries."""

import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from harness.build.kernel import Builder
from harness.errors import BuildError, PatchError, PlanError
from harness.host import bounds, sandbox, stranger
from harness.host.bounds import Bounds
from harness.host.store import Cache
from harness.model import PatchFile, Subject
from harness.source.intake import take_in
from harness.source.kernel import Request, resolve
from harness.source.patches import LIMIT
from tests.component.fakes import added, make_tree

pytestmark = pytest.mark.needs("git", "make", "bwrap", "prlimit", "choom", "aarch64-linux-gnu-gcc")

# Where the tiny tree's recipe begins, and where it ends.
MAKES = "\t@mkdir -p $(dir $@)\n"
ENDS = "\t\t$(CURDIR)/kernel/core.c $(CURDIR)/kernel/core.h > $(O)/kernel/.core.o.cmd\n"
SMALL = Bounds(seconds=60, memory=1 << 30, processes=100, folder=64 << 20, log=8 << 20)


@pytest.fixture
def build(tmp_path, catalog):
    """Build a tiny kernel whose Makefile does something first; what it printed."""
    assert not sandbox.why_unavailable()
    tree = make_tree(tmp_path / "linux", "x\n")
    cache = Cache(tmp_path / "cache")
    makefile = tree / "Makefile"

    def run(recipe, limits=SMALL, patches=(), *, above="", last=""):
        first = f"{MAKES}\t@{recipe}\n" if recipe else MAKES
        text = run.clean.replace(MAKES, first).replace(ENDS, f"{ENDS}\t{last}\n" if last else ENDS)
        makefile.write_text(above + text)
        source = resolve(f"path:{tree}", Request(cache, None, False, lambda _: None))
        builder = Builder(
            cache,
            source,
            catalog.architectures["arm64"],
            configs=catalog.configs,
            modules=catalog.root / "guest-images" / "modules",
            say=lambda _: None,
        )
        builder.bounds = limits
        run.builder = builder
        subject = Subject(name="6.12+x", source=source.spec, version="6.12.1", patches=patches)
        return builder.build(subject)

    run.tree, run.clean = tree, makefile.read_text()
    assert run.clean.count(MAKES) == run.clean.count(ENDS) == 1
    return run


def test_a_clean_kernel_is_within_the_bounds(build):
    assert (build("").folder / "Image").read_text() == "x\n"


# --- out of its folder -------------------------------------------------------


@pytest.mark.parametrize("where", ["home", "tree", "cache", "usr", "etc"])
def test_a_build_writes_nowhere_else(build, tmp_path, where, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    places = {"home": home, "tree": build.tree, "cache": tmp_path / "cache"}
    place = places.get(where, Path(f"/{where}")) / "escaped"
    # In /tmp it may write: that is memory of its own.
    build(f"mkdir -p {place.parent} && touch {place} && echo touched || echo refused")
    assert not place.exists()
    if where in ("usr", "etc"):
        assert "refused" in build.builder.log.read_text()


def test_a_build_sees_no_secret_and_no_socket_of_the_hosts(build, tmp_path, monkeypatch):
    secret = tmp_path / "home" / ".ssh" / "id"
    secret.parent.mkdir(parents=True)
    secret.write_text("a secret of mine")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    looked = f"cat {secret} /etc/shadow /proc/1/environ; ls -A /run /root /home /var"
    build(f"{looked} || true")
    said = build.builder.log.read_text()
    assert "a secret of mine" not in said and "root:" not in said
    assert said.count("No such file or directory") >= 5


@pytest.mark.parametrize("name", ["sys/kernel/core_pattern", "sys/vm/swappiness", "sysrq-trigger"])
def test_the_hosts_kernel_cannot_be_told_anything(build, name):
    """As root it could, where it only lacks capabilities.  What is written is what is there."""
    build(f"test -e /proc/{name} && (true >>/proc/{name}) && echo written || echo refused")
    assert build.builder.log.read_text().rpartition("$ ")[0].count("refused") == 1
    assert "written" not in build.builder.log.read_text()


def test_a_build_reaches_no_network(build):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(BuildError):
            build(f"bash -c 'echo hello >/dev/tcp/127.0.0.1/{port}'")
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_makefile_that_runs_commands_while_it_is_read_is_confined_as_well(build, tmp_path):
    place = tmp_path / "escaped"
    build("echo it was $(X)", above=f"X := $(shell touch {place}; echo read)\n")
    assert "it was read" in build.builder.log.read_text()
    assert not place.exists()


# --- without end -------------------------------------------------------------


def children():
    """The processes and threads that live below this one."""
    return bounds.descendants(os.getpid())[0]


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        # So fast only: what comes between two looks is for the host to bear, and other tests.
        (
            "while true; do sleep 1000 & sleep 0.003; done",
            "had more than 100 processes and threads at a time",
        ),
        (
            "while true; do (setsid sleep 1000 &); sleep 0.003; done",
            "had more than 100 processes and threads at a time",
        ),
        ("yes", "it printed more than 8 MiB"),
        ("cat /dev/zero | head -c 200000000 >$(O)/big; sleep 30", "it wrote more than 64 MiB"),
        ("setsid sh -c 'sleep 1000' & sleep 1000", "it took longer than 3 s"),
    ],
)
def test_a_build_that_takes_too_much_is_ended(build, recipe, said):
    before = children()
    seconds = 3.0 if "longer" in said else SMALL.seconds
    limits = Bounds(seconds=seconds, memory=8 << 30, processes=100, folder=64 << 20, log=8 << 20)
    with pytest.raises(BuildError, match="the kernel does not build: it ") as caught:
        build(recipe, limits)
    assert said in caught.value.what
    for _ in range(50):
        if children() <= before:
            break
        time.sleep(0.1)
    assert children() <= before


def test_memory_is_bounded_together(build):
    """Of each process it is bounded by the kernel; of all, by who looks."""
    hog = "import time; x = b'x' * 40000000; time.sleep(30)"
    limits = Bounds(seconds=60, memory=200 << 20, processes=1000, log=8 << 20)
    with pytest.raises(BuildError, match="more than 200 MiB of memory"):
        build(f'for i in 1 2 3 4 5 6 7 8; do python3 -c "{hog}" & done; wait', limits)


def test_one_file_is_bounded(build):
    limits = Bounds(seconds=60, file=1 << 20)
    with pytest.raises(BuildError):
        build("head -c 5000000 /dev/zero >$(O)/big", limits)
    assert (build.builder.folder / "big").stat().st_size <= 1 << 20


# --- what it leaves ----------------------------------------------------------


@pytest.fixture
def secret(tmp_path):
    file = tmp_path / "secret"
    file.write_text("a secret of mine")
    return file


@pytest.mark.parametrize(
    "name", ["System.map", "build.log", ".config", "arch/arm64/boot", "modules"]
)
def test_a_link_in_the_place_of_what_is_made_is_not_followed(build, tmp_path, secret, name):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    target = elsewhere if "." not in name else secret
    # When all else is done.
    trick = f"rm -rf $(O)/{name}; ln -s {target} $(O)/{name}"
    failed = ""
    try:
        kernel = build("", last=trick)
        kept = "".join(path.read_text(errors="replace") for path in kernel.folder.iterdir())
        assert "a secret of mine" not in kept
    except Exception as error:
        failed = str(error)
    assert secret.read_text() == "a secret of mine"
    assert list(elsewhere.iterdir()) == []
    if name in ("System.map", "arch/arm64/boot"):
        assert "something else than a kernel" in failed


def test_a_pipe_in_the_place_of_a_note_keeps_nobody_waiting(build):
    pipe = "$(O)/kernel/.pipe.o.cmd"
    kernel = build(f"mkdir -p $(O)/kernel; rm -f {pipe}; mkfifo {pipe}; test -p {pipe}")
    assert kernel.folder.is_dir()


def test_reading_waits_for_no_pipe_and_follows_no_link(tmp_path, secret):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(secret)
    (tmp_path / "folder").mkdir()
    (tmp_path / "way").symlink_to(tmp_path / "folder")
    (tmp_path / "folder" / "file").write_text("x")
    done = []
    reader = threading.Thread(target=lambda: done.append(_said(tmp_path)), daemon=True)
    reader.start()
    reader.join(5)
    assert done == [["no plain file"] * 4]
    assert stranger.read(tmp_path, "folder/file") == b"x"
    with pytest.raises(stranger.NotPlainError):
        stranger.read(tmp_path, "folder/file", limit=0)
    with pytest.raises(stranger.NotPlainError):
        stranger.appending(tmp_path / "link")


def _said(folder):
    said = []
    for name in ("pipe", "link", "folder", "way/file"):
        try:
            stranger.read(folder, name)
        except stranger.NotPlainError as error:
            said.append("no plain file" if "no plain file" in str(error) else str(error))
    return said


# --- patches -----------------------------------------------------------------


def test_a_patch_of_200_mb_is_refused(tmp_path):
    file = tmp_path / "large.patch"
    with file.open("wb") as stream:
        stream.truncate(200_000_000)
    began = time.monotonic()
    with pytest.raises(PlanError, match="large"):
        take_in([file])
    assert time.monotonic() - began < 30
    packed = tmp_path / "large.patch.gz"
    with packed.open("wb") as stream:
        subprocess.run(["gzip", "--fast", "--stdout", file], stdout=stream, check=True)
    assert packed.stat().st_size < LIMIT // 100
    with pytest.raises(PlanError):
        take_in([packed])


@pytest.mark.parametrize(
    "text",
    [
        added("../escaped"),
        added("/tmp/escaped"),
        added(".git/hooks/pre-commit"),
        added("way", "/tmp", mode="120000").replace(
            "+/tmp\n", "+/tmp\n\\ No newline at end of file\n"
        )
        + added("way/escaped"),
    ],
)
def test_a_patch_reaches_out_of_the_tree_by_no_way(build, text):
    with pytest.raises((PatchError, PlanError)):
        build("", patches=(PatchFile.of("x.patch", text.encode()),))
    assert not Path("/tmp/escaped").exists()
    assert not (build.tree.parent / "escaped").exists()
