# SPDX-License-Identifier: MIT
"""A session with a guest over SSH: keys for one boot, commands, files both ways."""

import base64
import io
import logging
import os
import select
import shlex
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness.guest import terminal

HOST = "127.0.0.1"
USER = "root"
LIMIT_BYTES = 16 << 20
_CHUNK = 1 << 16
_BY_SIGNAL = 255
_TYPE = b"ssh-ed25519"
# What paramiko raises where the other side is gone, or talks nonsense.
_GONE = (paramiko.SSHException, paramiko.SFTPError, EOFError, OSError)

# What paramiko has to say it raises as well; without a handler Python prints it.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class SessionError(Exception):
    """The session cannot go on."""


class LostError(SessionError):
    """The guest, or its SSH server, is gone."""


class TimeLimitError(SessionError):
    """The guest did not answer in time."""


class BoundsError(SessionError):
    """The guest said more than it may, or has not what it should."""


class RefusedError(SessionError):
    """The guest did not do what it was asked to with a file; `missing` where it has none."""

    def __init__(self, path: str, why: str, *, missing: bool = False) -> None:
        super().__init__(f"{path}: {why}")
        self.why = why
        self.missing = missing


@dataclass(frozen=True)
class Keys:
    """Fresh for each boot: the guest's host key and the one key that it lets in."""

    host: Ed25519PrivateKey
    user: Ed25519PrivateKey

    @property
    def for_guest(self) -> dict[str, bytes]:
        """Files for the guest's initramfs."""
        public = base64.b64encode(_string(_TYPE) + _string(_raw(self.user)[1]))
        return {
            "host_key": _string(_TYPE) + _string(b"".join(_raw(self.host))),
            "authorized_keys": b" ".join((_TYPE, public)) + b"\n",
        }


def make_keys() -> Keys:
    """A key pair for the guest, and one for us."""
    return Keys(Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate())


def _string(data: bytes) -> bytes:
    """A string of RFC 4251; dropbear's own key files are made of these."""
    return struct.pack(">I", len(data)) + data


def _raw(key: Ed25519PrivateKey) -> tuple[bytes, bytes]:
    """A key's 32 private and 32 public bytes."""
    return key.private_bytes_raw(), key.public_key().public_bytes_raw()


def for_paramiko(key: Ed25519PrivateKey) -> paramiko.Ed25519Key:
    """A key as paramiko has it."""
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH)
    text = key.private_bytes(*form, serialization.NoEncryption()).decode()
    return paramiko.Ed25519Key(file_obj=io.StringIO(text))


@dataclass(frozen=True)
class Finished:
    """A command that ended; `status` is -1 where a signal ended it."""

    argv: tuple[str, ...]
    status: int
    stdout: bytes
    stderr: bytes
    seconds: float


@contextmanager
def _naming_ends() -> Iterator[None]:
    """What paramiko raises, as one of our own."""
    try:
        yield
    except FileNotFoundError as error:
        raise BoundsError(f"no such file in the guest: {error}") from error
    except TimeoutError as error:
        raise TimeLimitError("the guest's SSH server does not answer") from error
    except _GONE as error:
        raise LostError(f"the SSH session ended: {str(error) or type(error).__name__}") from error


class Session:
    """One connection, which knows the guest by its key; every exchange is bounded in time."""

    def __init__(self, port: int, keys: Keys, limit_s: float) -> None:
        self.limit_s = limit_s
        self._sftp: paramiko.SFTPClient | None = None
        self._client = paramiko.SSHClient()
        self._client.set_missing_host_key_policy(paramiko.RejectPolicy())
        name = HOST if port == paramiko.config.SSH_PORT else f"[{HOST}]:{port}"
        host = for_paramiko(keys.host)
        self._client.get_host_keys().add(name, host.get_name(), host)
        try:
            with _naming_ends():
                self._client.connect(
                    HOST,
                    port,
                    username=USER,
                    pkey=for_paramiko(keys.user),
                    allow_agent=False,
                    look_for_keys=False,
                    timeout=limit_s,
                    banner_timeout=limit_s,
                    auth_timeout=limit_s,
                    channel_timeout=limit_s,
                )
        except SessionError:
            self.close()
            raise

    def _transport(self) -> paramiko.Transport:
        transport = self._client.get_transport()
        if transport is None or not transport.is_active():
            raise LostError("the SSH session has ended")
        return transport

    @contextmanager
    def open(self) -> Iterator[paramiko.Channel]:
        """A channel for one command or shell; raises LostError or TimeLimitError.

        To close it says a word to the guest, which may have powered off by then: paramiko
        raises EOFError (Packetizer.write_all()) until its own thread has seen that.
        """
        with _naming_ends():
            channel = self._transport().open_session(timeout=self.limit_s)
            try:
                yield channel
            finally:
                with suppress(*_GONE):
                    channel.close()

    def run(self, argv: Sequence[str], limit_s: float | None = None) -> Finished:
        """A command's end; raises TimeLimitError, LostError or BoundsError."""
        began = time.monotonic()
        deadline = began + (self.limit_s if limit_s is None else limit_s)
        with self.open() as channel:
            channel.exec_command(shlex.join(argv))
            out, err = self._outputs(channel, argv, deadline)
            if not channel.status_event.wait(max(0.0, deadline - time.monotonic())):
                raise _too_long(argv)
            status = channel.recv_exit_status()
        if status == -1:
            self._transport()  # Raises if it is the session that ended, not the command.
        return Finished(tuple(argv), status, out, err, round(time.monotonic() - began, 2))

    def _outputs(
        self, channel: paramiko.Channel, argv: Sequence[str], deadline: float
    ) -> tuple[bytes, bytes]:
        """Everything that a command writes, until it closes both."""
        out, err = bytearray(), bytearray()
        while not channel.closed or channel.recv_ready() or channel.recv_stderr_ready():
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([channel], [], [], left)[0]:
                raise _too_long(argv)
            if channel.recv_ready():
                out += channel.recv(_CHUNK)
            elif channel.recv_stderr_ready():
                err += channel.recv_stderr(_CHUNK)
            elif channel.eof_received:
                break
            if len(out) + len(err) > LIMIT_BYTES:
                raise BoundsError(f"{shlex.join(argv)} printed more than {LIMIT_BYTES >> 20} MiB")
        return bytes(out), bytes(err)

    def attach(self, argv: Sequence[str]) -> int:
        """A command, or a login shell, at this process's own terminal or pipes; its exit status.

        A shell that a person types into gets a terminal.  Raises LostError, OutputError.
        """
        person = terminal.is_terminal() and not argv
        with self.open() as channel:

            def resize(columns: int, lines: int) -> None:
                with suppress(*_GONE):  # The shell may be ending.
                    channel.resize_pty(columns, lines)

            with ExitStack() as stack:
                if person:
                    columns, lines = terminal.size()
                    kind = os.environ.get("TERM", "vt100")
                    channel.get_pty(kind, columns, lines)
                    stack.enter_context(terminal.forwarded_size(resize))
                    stack.enter_context(terminal.raw())
                if argv:
                    channel.exec_command(shlex.join(argv))
                else:
                    channel.invoke_shell()
                status = terminal.relay(channel)
        if status == -1:
            self._transport()
        return status if status >= 0 else _BY_SIGNAL

    @contextmanager
    def files(self) -> Iterator[paramiko.SFTPClient]:
        """The one SFTP client of the session; raises what _naming_ends() does.

        It stays open: when its server ends, dropbear 2022.83 takes a channel that
        is opened meanwhile, and has no command yet, for one that is over.
        """
        with _naming_ends():
            if self._sftp is None:
                self._sftp = self._client.open_sftp()
                channel = self._sftp.get_channel()
                if channel is not None:
                    channel.settimeout(self.limit_s)
            yield self._sftp

    def put(self, content: bytes, path: str, mode: int = 0o644) -> None:
        """Write a file in the guest."""
        with self.files() as files:
            files.putfo(io.BytesIO(content), path, file_size=len(content))
            files.chmod(path, mode)

    def get(self, path: str) -> bytes:
        """A file of the guest's; raises BoundsError for one that is too long."""
        with self.files() as files, files.open(path, "rb") as file:
            content = file.read(LIMIT_BYTES + 1)
        if len(content) > LIMIT_BYTES:
            raise BoundsError(f"{path} is longer than {LIMIT_BYTES >> 20} MiB")
        return content

    def close(self) -> None:
        """End the session; whoever waits in it gets a LostError."""
        self._client.close()


def _too_long(argv: Sequence[str]) -> TimeLimitError:
    return TimeLimitError(f"{shlex.join(argv)} took too long")
