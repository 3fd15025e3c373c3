# SPDX-License-Identifier: MIT
"""Files into a guest and out of it, over a real SSH server; a hostile guest gets nowhere."""

import os
import stat
import threading
from pathlib import Path

import paramiko
import pytest

from harness.errors import HostError, PlanError
from harness.guest import transfer
from harness.guest.sftp import Files
from harness.guest.ssh import LostError, Session, make_keys
from harness.guest.transfer import Get, Getter, Put, parse_get, parse_put, put
from tests.component import ssh_server
from tests.component.ssh_server import Server

MANY = os.urandom(300_001)


class Place:
    """A guest's files in one folder, ours in another, and what was said."""

    def __init__(self, folder, session, server):
        self.guest, self.ours = folder / "guest", folder / "ours"
        self.guest.mkdir(exist_ok=True)
        self.ours.mkdir()
        self.session, self.server = session, server
        self.files = Files(session)
        self.said = []

    def put(self, text):
        put(self.files, parse_put(f"{self.ours}/{text}"))

    def get(self, *texts):
        getter = Getter(self.files, self.said.append)
        for text in texts:
            path, _, local = text.partition(":")
            getter.get(Get(path, self.ours / (local or Path(path).name)))

    def tree(self):
        """A folder with a bit of everything."""
        folder = self.ours / "tree"
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / "deep" / "er" / "many").write_bytes(MANY)
        (folder / "a b").write_text("spaces\n")
        (folder / "empty").touch()
        (folder / "run").write_text("#!/bin/sh\n")
        for name, mode in (("run", 0o755), ("a b", 0o600), ("deep", 0o750), ("empty", 0o664)):
            (folder / name).chmod(mode)
        return folder


@pytest.fixture
def place(tmp_path):
    keys = make_keys()
    (tmp_path / "guest").mkdir()
    server = Server(keys, {}, tmp_path / "guest")
    session = Session(server.port, keys, 10)
    yield Place(tmp_path, session, server)
    session.close()
    server.close()


def contents(folder):
    """All below a folder: modes, and the contents of files."""
    return {
        str(path.relative_to(folder)): (
            stat.filemode(path.stat().st_mode),
            path.read_bytes() if path.is_file() else None,
        )
        for path in sorted(folder.rglob("*"))
    }


# --- words -------------------------------------------------------------------


def test_what_is_put_is_the_longest_name_that_exists(tmp_path):
    for name in ("x", "x:y", "0000:00:01.0"):
        (tmp_path / name).touch()
    words = {
        "x": ("x", "x"),
        "x:y": ("x:y", "x:y"),
        "x:y:z": ("x:y", "z"),
        "x:": ("x", "x"),
        "x:/root/a:b": ("x", "/root/a:b"),
        "0000:00:01.0": ("0000:00:01.0", "0000:00:01.0"),
        "x:/tmp/": ("x", "/tmp/"),
        "": (".", tmp_path.name),
    }
    for text, (local, path) in words.items():
        assert parse_put(f"{tmp_path}/{text}") == Put(tmp_path / local, path)
    for text in ("nothing:/root/x", "n" * 300):
        with pytest.raises(PlanError, match="no such file"):
            parse_put(f"{tmp_path}/{text}")


def test_what_is_got_is_divided_at_its_last_colon():
    """By its text alone: a guest must not choose where on the host it writes to."""
    words = {
        "/root/perf.data": ("/root/perf.data", "perf.data"),
        "perf.data:/tmp/x": ("perf.data", "/tmp/x"),
        "/sys/0000:00:01.0/config:config": ("/sys/0000:00:01.0/config", "config"),
        "/var/log/": ("/var/log/", "log"),
        "/var/log:out/": ("/var/log", "out/log"),
        "/:all": ("/", "all"),
    }
    for text, (path, local) in words.items():
        assert parse_get(text) == Get(path, Path(local))
    for text in ("", "/", ".", "..", "x/..", "x:", ":x"):
        with pytest.raises(PlanError, match="does not say what, or where to"):
            parse_get(text)


# --- in ----------------------------------------------------------------------


def test_a_folder_is_put_with_all_in_it(place):
    tree = place.tree()
    place.put("tree")
    assert contents(place.guest / "tree") == contents(tree)
    place.put("tree:/other")
    assert contents(place.guest / "other") == contents(tree)
    (tree / "more").touch()
    place.put("tree")  # Into the one that is there, as scp -r does.
    assert (place.guest / "tree" / "tree" / "more").exists()


def test_a_file_goes_where_it_is_told(place):
    (place.ours / "x").write_bytes(MANY)
    (place.guest / "there").mkdir()
    for text, path in {
        "x": "x",
        "x:y": "y",
        "x:/there": "there/x",
        "x:/new/er/": "new/er/x",
        "x:/new/er/z": "new/er/z",
    }.items():
        place.put(text)
        assert (place.guest / path).read_bytes() == MANY


def test_a_link_of_ours_is_what_it_leads_to(place):
    folder = place.ours / "folder"
    folder.mkdir()
    (place.ours / "x").write_text("x")
    (folder / "link").symlink_to("../x")
    place.put("folder")
    assert (place.guest / "folder" / "link").read_text() == "x"
    assert not (place.guest / "folder" / "link").is_symlink()


def test_a_pipe_of_ours_is_put_to_its_end(place):
    """As of bash's <(command)."""
    os.mkfifo(place.ours / "pipe")
    threading.Thread(target=(place.ours / "pipe").write_bytes, args=(MANY,), daemon=True).start()
    place.put("pipe:x")
    assert (place.guest / "x").read_bytes() == MANY


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: (folder / "x").symlink_to("nowhere"), "cannot read .*/folder/x"),
        (lambda folder: (folder / "x").symlink_to("."), "folder/x leads to a folder that it is in"),
        (lambda folder: os.mkfifo(folder / "x"), "folder/x is neither a file nor a folder"),
    ],
)
def test_what_cannot_be_put_is_named(place, make, said):
    (place.ours / "folder").mkdir()
    make(place.ours / "folder")
    with pytest.raises(HostError, match=said) as raised:
        place.put("folder")
    assert raised.value.advice


def test_what_the_guest_does_not_take_is_named(place):
    (place.ours / "x").touch()
    (place.guest / "file").touch()
    with pytest.raises(HostError, match=r"does not take .*/ours/x as /file/x") as raised:
        place.put("x:/file/x")
    assert raised.value.why and raised.value.advice


@pytest.mark.parametrize("refused", [0, 1, 9], ids=["first", "second", "last"])
def test_a_guest_whose_disk_is_full_is_told(place, monkeypatch, refused):
    """paramiko looks at no answer to what it wrote last: that must not be lost."""
    written = []

    def write(handle, offset, data):
        written.append(offset)
        full = len(written) > refused
        return paramiko.SFTP_FAILURE if full else paramiko.SFTPHandle.write(handle, offset, data)

    monkeypatch.setattr(ssh_server.Handle, "write", write)
    (place.ours / "x").write_bytes(MANY)
    assert len(MANY) // 32768 == 9
    with pytest.raises(HostError, match=r"the guest does not take .*/x as x") as raised:
        place.put("x")
    assert "kept in its memory" in raised.value.advice


# --- out ---------------------------------------------------------------------


def test_a_folder_is_got_with_all_in_it(place):
    tree = place.tree().rename(place.guest / "tree")
    place.get("/tree")
    assert contents(place.ours / "tree") == contents(tree)
    place.get("/tree")  # Into the one that is there.
    assert contents(place.ours / "tree" / "tree") == contents(tree)
    place.get("/tree:new/er")
    assert contents(place.ours / "new" / "er") == contents(tree)
    assert not place.said


def test_a_file_is_got_whole_or_not_at_all(place, monkeypatch):
    (place.guest / "x").write_bytes(MANY)
    (place.ours / "x").write_text("before")
    monkeypatch.setattr(transfer, "GET_BYTES", 100_000)
    with pytest.raises(HostError, match="came to its bound at /x"):
        place.get("/x")
    assert [(path.name, path.read_text()) for path in place.ours.iterdir()] == [("x", "before")]
    monkeypatch.undo()
    place.get("/x")
    assert (place.ours / "x").read_bytes() == MANY


def test_a_file_that_says_it_is_empty_is_read_to_its_end(place, monkeypatch):
    """Those of /proc do."""
    (place.guest / "x").write_bytes(MANY)

    def lies(_, path):
        about = paramiko.SFTPAttributes.from_stat((place.guest / path.lstrip("/")).stat())
        about.st_size = 0
        return about

    monkeypatch.setattr(ssh_server.Files, "stat", lies)
    place.get("/x")
    assert (place.ours / "x").read_bytes() == MANY


def test_the_guests_links_are_not_followed_here(place):
    folder = place.guest / "folder"
    folder.mkdir()
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "up").symlink_to("..")
    (folder / "file").touch()
    os.mkfifo(folder / "pipe")
    place.get("/folder")
    assert [path.name for path in (place.ours / "folder").iterdir()] == ["file"]
    (said,) = place.said
    assert said.splitlines()[1:] == ["/folder/link", "/folder/pipe", "/folder/up"]


def test_a_link_of_ours_is_not_followed_below_what_was_named(place):
    """Such as one that an earlier version of the harness, or somebody else, left there."""
    (place.guest / "folder" / "sub").mkdir(parents=True)
    (place.guest / "folder" / "file").write_text("theirs")
    (place.guest / "folder" / "sub" / "x").write_text("theirs")
    kept = place.ours / "kept"
    kept.mkdir()
    (kept / "file").write_text("ours")
    for name in ("file", "sub"):
        target = place.ours / "out" / "folder" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(kept / name if name == "file" else kept)
    with pytest.raises(HostError, match=r"cannot make .*/out/folder/sub"):
        place.get("/folder:out")
    assert (kept / "file").read_text() == "ours"
    assert not (kept / "x").exists()
    assert (place.ours / "out" / "folder" / "file").read_text() == "theirs"


@pytest.mark.parametrize("name", ["../evil", "a/b", "/tmp/evil", "", "a\0b", "\x1b[2J/x"])
def test_a_name_that_leads_elsewhere_is_refused(place, monkeypatch, name):
    (place.guest / "folder").mkdir()
    about = (place.guest / "folder").parent.stat()

    def lists(*_):
        return [paramiko.SFTPAttributes.from_stat(about, name)]

    monkeypatch.setattr(ssh_server.Files, "list_folder", lists)
    with pytest.raises(HostError, match="that it calls") as raised:
        place.get("/folder")
    assert "\x1b" not in "\n".join(raised.value.lines())
    assert {path.name for path in place.ours.rglob("*")} == {"folder"}


def test_no_set_user_id_bit_comes_out(place):
    (place.guest / "x").touch()
    (place.guest / "x").chmod(0o6777)
    place.get("/x")
    assert stat.S_IMODE((place.ours / "x").stat().st_mode) == 0o777


def test_many_files_are_bounded(place, monkeypatch):
    folder = place.guest / "folder"
    folder.mkdir()
    for number in range(20):
        (folder / str(number)).touch()
    monkeypatch.setattr(transfer, "GET_ENTRIES", 19)
    with pytest.raises(HostError, match="came to its bound at /folder") as raised:
        place.get("/folder")
    assert "more than 19 entries" in raised.value.why


def test_all_that_is_got_is_bounded_together(place, monkeypatch):
    (place.guest / "x").write_bytes(MANY)
    monkeypatch.setattr(transfer, "GET_BYTES", len(MANY) + 1)
    with pytest.raises(HostError, match="bound at /x"):
        place.get("/x:one", "/x:two")
    assert [path.name for path in place.ours.iterdir()] == ["one"]


def test_folders_in_folders_are_bounded(place, monkeypatch):
    (place.guest / "/".join("abcd")).mkdir(parents=True)
    monkeypatch.setattr(transfer, "GET_DEPTH", 2)
    with pytest.raises(HostError, match="bound at /a/b/c/d"):
        place.get("/a")


def test_an_endless_folder_is_bounded(place, monkeypatch):
    (place.guest / "folder").mkdir()
    about = (place.guest / "folder").stat()

    def lists(*_):
        return [paramiko.SFTPAttributes.from_stat(about, "again")]

    monkeypatch.setattr(ssh_server.Files, "list_folder", lists)
    with pytest.raises(HostError, match="came to its bound"):
        place.get("/folder")


def test_what_is_not_there_is_told(place):
    with pytest.raises(PlanError, match="--get /nothing: the guest has no such file") as raised:
        place.get("/nothing")
    assert raised.value.advice


def test_what_cannot_be_read_is_told_after_all_the_rest(place, monkeypatch):
    folder = place.guest / "folder"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_text(name)

    def opens(files, path, flags, attr):
        return (
            paramiko.SFTP_PERMISSION_DENIED
            if path.endswith("b")
            else known(files, path, flags, attr)
        )

    known = ssh_server.Files.open
    monkeypatch.setattr(ssh_server.Files, "open", opens)
    with pytest.raises(HostError, match="does not give all of /folder") as raised:
        place.get("/folder")
    assert raised.value.why.startswith("/folder/b: ")
    assert sorted(path.name for path in (place.ours / "folder").iterdir()) == ["a", "c"]
    with pytest.raises(HostError, match="the guest does not give /folder/b"):
        place.get("/folder/b")


def test_a_place_that_cannot_be_written_to_is_told(place):
    (place.guest / "x").touch()
    (place.ours / "file").touch()
    with pytest.raises(HostError, match=r"cannot write .*/ours/file/x") as raised:
        place.get("/x:file/x")
    assert raised.value.advice
    with pytest.raises(HostError, match="cannot write") as raised:
        place.get("/x:" + "n" * 256)
    assert raised.value.advice.startswith("choose a shorter name")


def test_a_device_of_ours_is_written_to_and_not_replaced(place):
    (place.guest / "x").write_bytes(MANY)
    os.mkfifo(place.ours / "pipe")
    got = []
    reader = threading.Thread(target=lambda: got.append((place.ours / "pipe").read_bytes()))
    reader.start()
    place.get("/x:pipe")
    reader.join()
    assert got == [MANY]
    assert (place.ours / "pipe").is_fifo()


def test_a_link_of_ours_that_was_named_is_written_through(place):
    (place.guest / "x").write_bytes(MANY)
    (place.ours / "link").symlink_to("target")
    place.get("/x:link")
    assert (place.ours / "target").read_bytes() == MANY


def test_a_guest_that_is_gone_is_no_refusal(place):
    place.tree().rename(place.guest / "tree")
    place.server.vanish()
    with pytest.raises(LostError):
        place.get("/tree")
    with pytest.raises(LostError):
        place.put("")


def test_an_answer_that_is_no_text_is_told(place, monkeypatch):
    (place.guest / "folder").mkdir()
    about = (place.guest / "folder").stat()

    def lists(*_):
        return [paramiko.SFTPAttributes.from_stat(about, b"latin \xe9")]

    monkeypatch.setattr(ssh_server.Files, "list_folder", lists)
    with pytest.raises(HostError, match="the guest does not give /folder") as raised:
        place.get("/folder")
    assert "no UTF-8" in raised.value.why
