# SPDX-License-Identifier: MIT
"""The session against a real SSH server: commands, files, limits, and what may go wrong."""

import errno
import os
import threading
import time
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

from harness.guest import ssh, terminal
from harness.guest.ssh import BoundsError, LostError, Session, TimeLimitError, make_keys
from harness.guest.terminal import OutputError
from tests.component.ssh_server import Interface, Server


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


class Pipes:
    """A command in the guest at pipes of a test's, in place of this process's own."""

    def __init__(self, session, monkeypatch, folder):
        self.session, self.monkeypatch, self.folder = session, monkeypatch, folder
        self.stdin = os.open("/dev/null", os.O_RDONLY)
        self.stdout, self.stderr = self.file("stdout"), self.file("stderr")

    def file(self, name):
        return os.open(self.folder / name, os.O_CREAT | os.O_WRONLY)

    def type(self, data):
        """Have a process's pipe as standard input, which holds less than there is to say."""
        self.stdin, end = os.pipe()

        def write():
            with suppress(BrokenPipeError), os.fdopen(end, "wb") as file:
                file.write(data)

        threading.Thread(target=write, daemon=True).start()

    def attach(self, *argv, seconds=60):
        """The command's exit status, or what attach() raised."""
        for name, fd in (("IN", self.stdin), ("OUT", self.stdout), ("ERR", self.stderr)):
            self.monkeypatch.setattr(terminal, f"_STD{name}", fd)
        ended = []

        def attach():
            try:
                ended.append(self.session.attach(argv))
            except Exception as error:
                ended.append(error)

        thread = threading.Thread(target=attach, daemon=True)
        thread.start()
        thread.join(seconds)
        assert ended, "the command does not end"
        return ended[0]

    def said(self, name="stdout"):
        return (self.folder / name).read_bytes()


@pytest.fixture
def pipes(session, monkeypatch, tmp_path):
    pipes = Pipes(session, monkeypatch, tmp_path)
    yield pipes
    for fd in {pipes.stdin, pipes.stdout, pipes.stderr}:
        os.close(fd)


MANY = os.urandom(5 << 20)  # More than an SSH window and two pipes hold.


@pytest.mark.parametrize("status", [0, 9])
def test_a_command_that_reads_no_input(server, pipes, status):
    server.commands["ends"] = lambda channel: channel.sendall(b"done") or status
    pipes.type(MANY)
    assert pipes.attach("ends") == status
    assert pipes.said() == b"done"


def test_a_command_that_reads_a_part_of_its_input(server, pipes):
    def reads_some(channel):
        channel.sendall(channel.recv(10))
        return 3

    server.commands["head"] = reads_some
    pipes.type(MANY)
    assert pipes.attach("head") == 3
    assert MANY.startswith(pipes.said())


def copies(channel):
    while data := channel.recv(4096):
        channel.sendall(data)
    return 0


def test_much_goes_both_ways_at_once(server, pipes):
    """A guest that says more than it is told waits for its reader, and its typist for it."""

    def repeats(channel):
        while data := channel.recv(4096):
            channel.sendall(data * 4)
        return 0

    server.commands["repeats"] = repeats
    pipes.type(bytes(len(MANY)))
    assert pipes.attach("repeats") == 0
    assert pipes.said() == bytes(4 * len(MANY))


def test_a_command_that_closes_its_outputs_and_reads_on(server, pipes):
    got = bytearray()

    def reads(channel):
        channel.shutdown_write()
        while data := channel.recv(4096):
            got.extend(data)
        return 6

    server.commands["reads"] = reads
    pipes.type(MANY)
    assert pipes.attach("reads") == 6
    assert got == MANY


def test_errors_are_apart_from_output(server, pipes):
    def speaks_much(channel):
        for part in range(0, len(MANY), 1 << 16):
            channel.sendall(MANY[part : part + (1 << 16)])
            channel.sendall_stderr(MANY[part : part + 100])
        return 0

    server.commands["speaks"] = speaks_much
    assert pipes.attach("speaks") == 0
    assert pipes.said() == MANY
    assert pipes.said("stderr") == b"".join(
        MANY[part : part + 100] for part in range(0, len(MANY), 1 << 16)
    )


def test_a_reader_that_is_slow_and_does_not_block(server, pipes):
    """Its pipe is non-blocking: a writer must wait by itself."""
    server.commands["cat"] = copies
    near, pipes.stdout = os.pipe()
    os.set_blocking(pipes.stdout, False)
    pipes.type(MANY)
    seen = []

    def read():
        with os.fdopen(near, "rb", buffering=0) as file:
            while data := file.read(1 << 16):
                seen.append(data)
                time.sleep(0.001)

    reader = threading.Thread(target=read)
    reader.start()
    assert pipes.attach("cat") == 0
    os.close(pipes.stdout)
    pipes.stdout = pipes.stderr
    reader.join()
    assert b"".join(seen) == MANY


def test_a_reader_that_has_gone(server, pipes):
    near, pipes.stdout = os.pipe()
    os.close(near)
    raised = pipes.attach("floods")
    assert isinstance(raised, OutputError)
    assert raised.error.errno == errno.EPIPE
    assert server.transports[0].is_active()


def test_an_output_on_a_full_disk(pipes):
    pipes.stdout = os.open("/dev/full", os.O_WRONLY)
    raised = pipes.attach("speaks")
    assert isinstance(raised, OutputError)
    assert raised.error.errno == errno.ENOSPC


def test_a_command_goes_on_whose_errors_nobody_reads(pipes):
    pipes.stderr = os.open("/dev/full", os.O_WRONLY)
    assert pipes.attach("speaks") == 3
    assert pipes.said() == b"out"


def test_an_input_that_cannot_be_read_is_at_its_end(server, pipes):
    """As nohup(1) leaves it, or a shell where it is a folder."""
    server.commands["cat"] = copies
    pipes.stdin = os.open("/dev/null", os.O_WRONLY)
    assert pipes.attach("cat") == 0
    pipes.stdin = os.open("/", os.O_RDONLY)
    assert pipes.attach("cat") == 0


def test_a_command_that_a_signal_ends(server, pipes):
    """It has no status; ssh(1) says 255."""
    server.commands["killed"] = lambda channel: channel.close()
    assert pipes.attach("killed") == 255


def test_a_guest_that_is_gone_while_it_is_typed_to(server, pipes):
    server.commands["hangs"] = lambda _: server.vanish()
    pipes.type(MANY)
    assert isinstance(pipes.attach("hangs"), LostError)


def test_whoever_types_at_a_terminal_gets_one(server, pipes, monkeypatch):
    """Also where the output is a pipe, as with ssh(1); what was typed before is not lost."""
    asked = []
    monkeypatch.setattr(
        Interface, "check_channel_pty_request", lambda *of: asked.append(of) or True
    )
    monkeypatch.setattr(terminal, "forwarded_size", lambda _: nullcontext())
    server.commands["shell"] = lambda channel: channel.recv(1)[0]
    person, pipes.stdin = os.openpty()
    os.write(person, b"x")
    assert pipes.attach() == ord("x")
    assert asked
    os.close(person)
