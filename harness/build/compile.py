# SPDX-License-Identifier: MIT
"""One step of a build, confined to its folder, with its words in a log."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.errors import BuildError, HostError
from harness.host import sandbox
from harness.host.process import DISK_FULL, CommandError, environment, logged
from harness.host.store import write_text
from harness.source.tree import Tree

LOG = "build.log"
_MADE_OF = "made-of"


def prepare(folder: Path, tree: Tree) -> None:
    """Have a build folder that was made of this very tree, or an empty one.

    A tree that was unpacked anew is older than what was built of one with patches over it:
    make would take that for up to date.
    """
    stamp = folder / _MADE_OF
    if stamp.exists() and stamp.read_text() != tree.token():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(stamp, tree.token())


def run_step(
    what: str,
    argv: Sequence[str],
    folder: Path,
    *,
    readable: Sequence[Path],
    env: Mapping[str, str] | None = None,
    follow: Callable[[str], None] | None = None,
) -> None:
    """Run a command in a build folder, the one place that it can write to.

    Its words go to the folder's log; `follow` gets the log's last line now and
    then.  Raises BuildError, or HostError where the disk is full.
    """
    log = folder / LOG
    confined = sandbox.confine(argv, readable=readable, writable=[folder])
    try:
        logged(confined, log, cwd=folder, env=environment(env), follow=follow)
    except CommandError as error:
        text = log.read_text(errors="replace")
        if DISK_FULL in text:
            raise HostError(
                f"the disk is full: the {what} was not built",
                why=f"{DISK_FULL}, below {folder}",
                evidence=log,
                advice=f"make room, such as by removing what is old in {folder.parent.parent}",
            ) from error
        raise BuildError(
            f"the {what} does not build",
            why=compiler_errors(text) or error.output,
            evidence=log,
        ) from error


def compiler_errors(log: str) -> str:
    """The lines of a build log that say what is wrong, without make's echoes of them.

    Compilers and linkers, kbuild's modpost, meson.
    """
    said = (": error:", ": fatal error:", ": ERROR:", "undefined reference", "undefined!")
    wanted = [line for line in log.splitlines() if any(words in line for words in said)]
    return "\n".join(wanted[:10])
