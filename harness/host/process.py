# SPDX-License-Identifier: MIT
"""Every child process: started in a session of its own, logged, never left behind."""

import ctypes
import os
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import IO

from harness.errors import HostError, advice_on
from harness.host import stranger

# What a command says where ENOSPC ends it.
DISK_FULL = "No space left on device"
GRACE_S = 3.0
KILL_S = 10.0
FOLLOW_S = 1.0
WATCH_S = 0.5
VERSION_S = 20.0
_PR_SET_THP_DISABLE = 41
_VMSTAT = Path("/proc/vmstat")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CommandError(Exception):
    """A command ended with a status other than 0."""

    def __init__(self, argv: Sequence[str], status: int, output: str) -> None:
        super().__init__(f"{shlex.join(argv)}: {ending_of(status)}")
        self.argv = tuple(argv)
        self.status = status
        self.output = output


def signal_of(status: int | None) -> str:
    """The name of the signal that ended a child, by its status; empty where none did."""
    if status is None or status >= 0:
        return ""
    try:
        return signal.Signals(-status).name
    except ValueError:  # a real-time signal
        return f"signal {-status}"


def ending_of(status: int) -> str:
    """How a child ended, in words."""
    return f"ended by {name}" if (name := signal_of(status)) else f"exit status {status}"


def oom_kills() -> int | None:
    """How many processes the host killed for want of memory since it booted, if it says so."""
    try:
        counts = dict(line.split() for line in _VMSTAT.read_text(encoding="ascii").splitlines())
        return int(counts["oom_kill"])
    except (OSError, KeyError, ValueError):
        return None


def oom_kills_since(before: int | None) -> int | None:
    """How many more they are by now, if the host says so."""
    now = oom_kills()
    return None if now is None or before is None else now - before


class _Running:
    """The children that live now; once stopped, no new one starts."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.children: set[subprocess.Popen[bytes]] = set()
        self.stopping = False


_running = _Running()


def where(command: str) -> str | None:
    """A command's file, on the search path, system folders included."""
    return shutil.which(command, path=os.environ.get("PATH", "") + ":" + PATH)


def has(command: str) -> bool:
    """True if there is a command."""
    return where(command) is not None


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a child sees: the search path, a plain locale, and what is asked for."""
    kept = {key: os.environ[key] for key in ("HOME", "TMPDIR") if key in os.environ}
    return {**kept, "PATH": PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC", **(extra or {})}


def _dies_with_harness(argv: Sequence[str]) -> list[str]:
    """The kernel ends the child when the thread that started it is gone (prctl(2))."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *argv]


def _bounds_files(argv: Sequence[str], size: int) -> list[str]:
    """No file of the child's grows beyond so many bytes, from its first instruction on."""
    return ["prlimit", f"--fsize={size}:{size}", "--", *argv]


@contextmanager
def _small_pages() -> Iterator[None]:
    """Whoever is started meanwhile gets memory by the page, and not 2 MiB for the first byte.

    A child inherits it (PR_SET_THP_DISABLE, prctl(2)).  A kernel without huge pages
    refuses, and needs it not.
    """
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(_PR_SET_THP_DISABLE, 0, 0, 0, 0)


def start(
    argv: Sequence[str],
    *,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.STDOUT,
    stdin: int = subprocess.DEVNULL,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    file_bytes: int | None = None,
    huge_pages: bool = True,
) -> subprocess.Popen[bytes]:
    """Start a child that is ended with the harness, whatever ends the harness.

    None of its files grows beyond `file_bytes`: a write beyond fails, or ends the child,
    by SIGXFSZ, where the thread that writes does not block signals, as those of
    QEMU's CPUs do (setrlimit(2)).  Without `huge_pages` it gets none, even where it asks.

    Raises HostError when the command does not exist, KeyboardInterrupt when the
    harness is being stopped.
    """
    if not has(argv[0]):
        raise HostError(f"{argv[0]} is not installed", advice="./pmu-harness setup")
    command = argv if file_bytes is None else _bounds_files(argv, file_bytes)
    with _running.lock:
        if _running.stopping:
            raise KeyboardInterrupt
        try:
            with nullcontext() if huge_pages else _small_pages():
                child = subprocess.Popen(
                    _dies_with_harness(command),
                    stdin=stdin,
                    stdout=stdout,
                    stderr=stderr,
                    cwd=cwd,
                    env=dict(env) if env is not None else environment(),
                    pass_fds=tuple(pass_fds),
                    start_new_session=True,
                )
        except OSError as error:
            raise HostError(
                f"cannot start {argv[0]}", why=str(error), advice=advice_on(error)
            ) from error
        _running.children.add(child)
    return child


def end(child: subprocess.Popen[bytes], grace_s: float = GRACE_S) -> int:
    """End a child and its session: ask, wait, kill.  Returns its status.

    Raises HostError where not even that ends it: it waits within the kernel.
    """
    if child.poll() is None:
        _signal(child, signal.SIGTERM)
        if not _over(child, grace_s):
            _signal(child, signal.SIGKILL)
    if not _over(child, KILL_S):
        raise HostError(
            f"process {child.pid} does not end, though it was killed",
            why="it waits within the host's kernel, uninterruptible (state D in ps(1))",
            advice="see the kernel's log (dmesg); a restart of the host ends it",
        )
    status = child.wait()
    with _running.lock:
        _running.children.discard(child)
    return status


def confine(child: "subprocess.Popen[bytes]") -> None:
    """Have all threads of a child take turns on one CPU."""
    cpu = min(os.sched_getaffinity(0))
    # Threads may end meanwhile, and the child.
    with suppress(OSError):
        for thread in Path(f"/proc/{child.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {cpu})


def _signal(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


def stop_all() -> None:
    """End all children and refuse new ones: the harness is being stopped."""
    with _running.lock:
        _running.stopping = True
        children = list(_running.children)
    for child in children:
        _signal(child, signal.SIGTERM)
    for child in children:
        end(child)


def capture(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    seconds: float | None = None,
    errors: str = "replace",
    with_errors: bool = False,
) -> str:
    """Run a short command; return its standard output, decoded.

    `errors` says what becomes of bytes that are no UTF-8, as of bytes.decode().  With
    `with_errors` its standard error follows, though it ended well.

    Raises CommandError, with standard error as its output, for a status other than 0,
    HostError where it takes longer than it may.
    """
    child = start(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=env,
    )
    with child:
        try:
            out, err = child.communicate(stdin, seconds)
        except subprocess.TimeoutExpired as error:
            raise HostError(f"{shlex.join(argv)} did not end within {seconds:g} s") from error
        finally:
            status = end(child)
    if status:
        raise CommandError(argv, status, err.decode(errors="replace"))
    return (out + err if with_errors else out).decode(errors=errors)


def version(command: str) -> str:
    """The first line of what a command says with --version; raises HostError for none.

    It is asked once for each file.
    """
    found = where(command)
    about = Path(found).stat() if found else None
    return _version(command, about and (about.st_ino, about.st_size, about.st_mtime_ns))


@cache
def _version(command: str, _: tuple[int, int, int] | None) -> str:
    try:
        lines = capture([command, "--version"], seconds=VERSION_S).splitlines()
    except CommandError as error:
        raise HostError(f"{command} does not run", why=f"{error}\n{error.output}") from error
    if not lines:
        raise HostError(f"{command} --version says nothing")
    return lines[0]


def bounded(
    argv: Sequence[str], *, stdout: Path, stderr: Path, seconds: float, size: int
) -> int | None:
    """Run a command that is trusted with neither time nor disk; its status, None if time was up.

    Beyond `size` bytes a file does not grow: see `start`.
    """
    with stdout.open("wb") as out, stderr.open("wb") as err:
        child = start(argv, stdout=out, stderr=err, file_bytes=size)
        try:
            in_time = _over(child, seconds)
        finally:
            status = end(child, grace_s=1.0)
    return status if in_time else None


class BeyondError(CommandError):
    """A command was ended because it took more than it may: `output` says of what."""


def logged(
    argv: Sequence[str],
    log: Path,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    follow: Callable[[str], None] | None = None,
    beyond: Callable[[int], str] | None = None,
) -> None:
    """Run a long command, its command line and output appended to a log.

    `follow` gets the log's last line each second; `beyond` says several times a second what
    the child has taken too much of, if anything.  Raises CommandError, with the
    log's last lines as its output; BeyondError; HostError where the log is no plain file.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with _appending(log) as file:
        file.write(f"$ {shlex.join(argv)}\n".encode())
        file.flush()
        child = start(argv, stdout=file, cwd=cwd, env=env)
        excess = ""
        try:
            excess = _attended(child, log, follow, beyond)
        finally:
            status = end(child)
    if excess:
        raise BeyondError(argv, status, excess)
    if status:
        raise CommandError(argv, status, tail(log))


def _attended(
    child: "subprocess.Popen[bytes]",
    log: Path,
    follow: Callable[[str], None] | None,
    beyond: Callable[[int], str] | None,
) -> str:
    """Wait for a child, or until it has taken too much, which is said."""
    interval = WATCH_S if beyond else FOLLOW_S if follow else None
    while not _over(child, interval):
        if follow:
            follow(tail(log, 1))
        if beyond and (excess := beyond(child.pid)):
            return excess
    return ""


def _appending(log: Path) -> IO[bytes]:
    try:
        return os.fdopen(stranger.appending(log), "ab")
    except stranger.NotPlainError as error:
        raise HostError(
            f"the log {log} cannot be written",
            why=f"{error}: something is in its place",
            advice=f"see what lies there (ls -l), and remove {log.parent}",
        ) from error


def _over(child: "subprocess.Popen[bytes]", seconds: float | None) -> bool:
    """True if a child ends within so many seconds."""
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def tail(path: Path, lines: int = 20, size: int = 16384) -> str:
    """The last lines of a plain file, without reading more than `size` bytes."""
    try:
        with stranger.opened(path.parent, path.name) as file:
            begin = max(0, os.fstat(file).st_size - size)
            text = os.pread(file, size, begin).decode(errors="replace")
            return "\n".join(text.splitlines()[-lines:])
    except (OSError, stranger.NotPlainError):
        return ""
