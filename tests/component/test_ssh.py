# SPDX-License-Identifier: MIT
"""The session against a real SSH server: commands, files, limits, and what may go wrong."""

import os
import threading
import time
from pathlib import Path

import pytest

from harness.guest import ssh, terminal
from harness.guest.ssh import BoundsError, LostError, Session, TimeLimitError, make_keys
from tests.component.ssh_server import Server


def speaks(channel):
    channel.sendall(b"out")
    channel.sendall_stderr(b"err")
    return 3


def floods(channel):
    try:
        while True:
            channel.sendall(b"x" * 65536)
    except OSError:
        return None


def echoes(channel):
    while data := channel.recv(4096):
        channel.sendall(data.upper())
    return 5


COMMANDS = {"speaks": speaks, "floods": floods, "hangs": lambda _: None, "shell": echoes}


@pytest.fixture
def keys():
    return make_keys()


@pytest.fixture
def server(keys, tmp_path):
    server = Server(keys, dict(COMMANDS), tmp_path)
    yield server
    server.close()


@pytest.fixture
def session(server, keys):
    session = Session(server.port, keys, 10)
    yield session
    session.close()


def test_a_command(session):
    done = session.run(["speaks", "two words"])
    assert (done.argv, done.status) == (("speaks", "two words"), 3)
    assert (done.stdout, done.stderr) == (b"out", b"err")


def test_many_commands(session):
    assert [session.run(["speaks"]).status for _ in range(30)] == [3] * 30


def test_a_command_that_takes_too_long(session):
    began = time.monotonic()
    with pytest.raises(TimeLimitError, match="hangs took too long"):
        session.run(["hangs"], 0.2)
    assert time.monotonic() - began < 5


def test_a_command_that_says_too_much(session, monkeypatch):
    monkeypatch.setattr(ssh, "LIMIT_BYTES", 1 << 20)
    with pytest.raises(BoundsError, match="floods printed more than 1 MiB"):
        session.run(["floods"])


def test_a_guest_that_is_gone_is_noticed_at_once(server, session):
    threading.Timer(0.2, server.vanish).start()
    began = time.monotonic()
    with pytest.raises(LostError):
        session.run(["hangs"])
    assert time.monotonic() - began < 5
    with pytest.raises(LostError):
        session.run(["speaks"])


def test_a_session_that_another_thread_ends(session):
    threading.Timer(0.2, session.close).start()
    with pytest.raises(LostError):
        session.run(["hangs"])


def test_a_guest_that_is_gone_before_its_channel_is_closed(server, session, monkeypatch):
    """It powered off right after its answer; paramiko fails to say that the channel is closed."""

    def gone(_):
        raise EOFError

    def answers_last(channel):
        monkeypatch.setattr(session._client.get_transport(), "_send_user_message", gone)
        channel.send_exit_status(4)
        channel.shutdown_write()

    server.commands["answers"] = answers_last
    assert session.run(["answers"]).status == 4


def test_a_guest_that_is_gone_while_it_is_listened_to(server, session, monkeypatch):
    """paramiko acknowledges what it reads, and may find nobody to tell."""

    def gone(_):
        raise EOFError

    def floods_last(channel):
        monkeypatch.setattr(session._client.get_transport(), "_send_user_message", gone)
        return floods(channel)

    server.commands["floods-last"] = floods_last
    with pytest.raises(LostError, match="the SSH session ended: EOFError"):
        session.run(["floods-last"])


def test_files_go_both_ways(session, tmp_path):
    content = os.urandom(200_000)
    session.put(content, "/there", 0o755)
    assert (tmp_path / "there").read_bytes() == content
    assert (tmp_path / "there").stat().st_mode & 0o777 == 0o755
    assert session.get("/there") == content


def test_a_file_that_is_not_there(session):
    with pytest.raises(BoundsError, match="no such file in the guest"):
        session.get("/nowhere")


def test_a_file_that_is_too_long(session, tmp_path, monkeypatch):
    monkeypatch.setattr(ssh, "LIMIT_BYTES", 1000)
    (tmp_path / "long").write_bytes(bytes(2000))
    with pytest.raises(BoundsError, match="/long is longer"):
        session.get("/long")


def test_another_host_key_is_refused(keys, tmp_path):
    server = Server(keys, COMMANDS, tmp_path, host=make_keys().host)
    try:
        with pytest.raises(LostError, match="does not match"):
            Session(server.port, keys, 10)
    finally:
        server.close()


def test_another_user_key_is_refused(server, keys):
    stranger = ssh.Keys(keys.host, make_keys().user)
    with pytest.raises(LostError, match="Authentication failed"):
        Session(server.port, stranger, 10)


def test_nobody_listens(keys, server):
    server.close()
    with pytest.raises(LostError):
        Session(server.port, keys, 10)


def test_a_server_that_says_nothing(keys):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises((LostError, TimeLimitError)):
            Session(silent.getsockname()[1], keys, 0.5)
        assert time.monotonic() - began < 10


def test_keys_are_fresh_and_in_the_guests_form(keys):
    files = keys.for_guest
    assert files["host_key"][:15] == b"\0\0\0\x0bssh-ed25519"
    assert len(files["host_key"]) == 15 + 4 + 64
    assert files["authorized_keys"].startswith(b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5")
    assert make_keys().for_guest != files


def test_a_pipe_at_a_shell(session, monkeypatch, capfd):
    """What is piped in arrives, what the guest says comes out, its status is the shell's."""
    inner, outer = os.pipe()
    os.write(outer, b"one\ntwo\n")
    os.close(outer)
    monkeypatch.setattr(terminal, "is_terminal", lambda: False)
    monkeypatch.setattr(terminal, "_STDIN", inner)
    try:
        assert session.attach(()) == 5
    finally:
        os.close(inner)
    assert capfd.readouterr().out == "ONE\nTWO\n"


def test_a_command_at_a_pipe(session, monkeypatch, capfd):
    monkeypatch.setattr(terminal, "is_terminal", lambda: False)
    with Path("/dev/null").open() as nothing:
        monkeypatch.setattr(terminal, "_STDIN", nothing.fileno())
        assert session.attach(("speaks",)) == 3
    said = capfd.readouterr()
    assert (said.out, said.err) == ("out", "err")
