# SPDX-License-Identifier: MIT
"""bubblewrap around what runs a stranger's code on the host: the build of a patched kernel."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from harness.errors import HostError
from harness.host.process import CommandError, capture, has

_ISOLATE = (
    "bwrap",
    "--ro-bind",
    "/",
    "/",
    "--dev",
    "/dev",
    "--proc",
    "/proc",
    "--tmpfs",
    "/tmp",
    "--unshare-net",
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-uts",
    "--cap-drop",
    "ALL",
    "--die-with-parent",
)
_TRUE_S = 20.0


@cache
def why_unavailable() -> str:
    """Empty when a sandbox can be made here, else the reason."""
    if not has("bwrap"):
        return "bwrap is not installed"
    try:
        capture([*_ISOLATE, "--", "true"], seconds=_TRUE_S)
    except CommandError as error:
        return error.output.strip()
    except HostError as error:
        return error.what
    return ""


def confine(argv: Sequence[str], readable: Sequence[Path], writable: Sequence[Path]) -> list[str]:
    """The command without network, and without write access outside `writable`.

    Where no sandbox can be made, the command as it is: see `why_unavailable`.
    """
    if why_unavailable():
        return list(argv)
    binds = []
    for option, paths in (("--ro-bind", readable), ("--bind", writable)):
        for path in paths:
            binds += [option, str(path), str(path)]
    return [*_ISOLATE, *binds, "--", *argv]
