# SPDX-License-Identifier: MIT
"""bubblewrap around what runs a stranger's code on the host: the build of a patched kernel."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from harness.errors import HostError
from harness.host.process import CommandError, capture, has

# All of the host that a build sees, beside what it is given: no home, no sockets, no secrets.
_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix", "/gnu"),
    *("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d"),
)
# /tmp is memory.
_TMP_BYTES = 1 << 30
_APART = (
    *("--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts"),
    *("--cap-drop", "ALL", "--die-with-parent"),
)
_TRUE_S = 20.0


@cache
def why_unavailable() -> str:
    """Empty when a sandbox can be made here, else the reason."""
    if not has("bwrap"):
        return "bwrap is not installed"
    try:
        capture([*_isolated(()), "--", "true"], seconds=_TRUE_S)
    except CommandError as error:
        return error.output.strip()
    except HostError as error:
        return error.what
    return ""


def _system() -> list[str]:
    """The host's programs and libraries, read-only, where it has them."""
    words = []
    for path in map(Path, _SYSTEM):
        if path.is_symlink():
            words += ["--symlink", str(path.readlink()), str(path)]
        elif path.exists():
            words += ["--ro-bind", str(path), str(path)]
    return words


@cache
def _bounded() -> list[str]:
    """What bounds the size of the next tmpfs, where bubblewrap can (0.7)."""
    return ["--size", str(_TMP_BYTES)] if "--size" in capture(["bwrap", "--help"]) else []


def _isolated(binds: Sequence[str]) -> list[str]:
    """bubblewrap's words: a root of its own, in which only what is bound writable is."""
    places = ["--dev", "/dev", "--proc", "/proc", *_bounded(), "--tmpfs", "/tmp"]
    # /proc as well: the kernel asks for no capability of a root that writes to /proc/sys.
    closed = [word for place in ("/proc", "/dev", "/") for word in ("--remount-ro", place)]
    return ["bwrap", *_system(), *places, *_APART, *binds, *closed]


def confine(argv: Sequence[str], readable: Sequence[Path], writable: Sequence[Path]) -> list[str]:
    """The command without network, and without write access outside `writable`.

    Of the host it sees its programs, and what is `readable`: no home, no sockets, no secrets.

    Where no sandbox can be made, the command as it is: see `why_unavailable`.
    """
    if why_unavailable():
        return list(argv)
    binds: list[str] = []
    for option, paths in (("--ro-bind", readable), ("--bind", writable)):
        for path in paths:
            binds += [option, str(path), str(path)]
    return [*_isolated(binds), "--", *argv]
