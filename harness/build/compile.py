# SPDX-License-Identifier: MIT
"""One step of a build, confined to its folder, with its words in a log."""

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.errors import BuildError, HostError
from harness.host import sandbox, stranger
from harness.host.bounds import Bounds, Watch
from harness.host.process import (
    DISK_FULL,
    BeyondError,
    CommandError,
    environment,
    logged,
    oom_kills,
    oom_kills_since,
)
from harness.host.store import write_text
from harness.machine.ending import cause
from harness.source.tree import Tree

LOG = "build.log"
_MADE_OF = "made-of"
# As gcc tells of its own programs, and make of those that it runs.
_KILLED = re.compile(
    r"^.*: fatal error: (?:Killed|Terminated) signal terminated program .*$"
    r"|^make.*: \*\*\* .* (?:Killed|Terminated)$",
    re.MULTILINE,
)


def prepare(folder: Path, tree: Tree) -> None:
    """Have a build folder that was made of this very tree, or an empty one.

    A tree that was unpacked anew is older than what was built of one with patches over it:
    make would take that for up to date.
    """
    if folder.exists() and stranger.text(folder, _MADE_OF) not in ("", tree.token()):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / _MADE_OF, tree.token())


def run_step(
    what: str,
    argv: Sequence[str],
    folder: Path,
    *,
    readable: Sequence[Path],
    env: Mapping[str, str] | None = None,
    follow: Callable[[str], None] | None = None,
    bounds: Bounds | None = None,
) -> None:
    """Run a command in a build folder, the one place that it can write to.

    Its words go to the folder's log; `follow` gets the log's last line now and
    then; `bounds` are those of harness/host/bounds.py where none are given.  Raises BuildError,
    or HostError where the disk is full or a compiler was killed.
    """
    log = folder / LOG
    limits = bounds or Bounds()
    confined = limits.limited(sandbox.confine(argv, readable=readable, writable=[folder]))
    watch = Watch(limits, folder, log)
    before = oom_kills()
    try:
        logged(
            confined, log, cwd=folder, env=environment(env), follow=follow, beyond=watch.exceeded
        )
    except BeyondError as error:
        raise BuildError(
            f"the {what} does not build: {error.output}",
            why="it was ended, with all that it had started",
            evidence=log,
            advice="no build takes so much; see what it does at the end of the log",
        ) from error
    except CommandError as error:
        text = words_of(log)
        if fault := _fault_of_host(what, text, log, before):
            raise fault from error
        raise BuildError(
            f"the {what} does not build",
            why=compiler_errors(text) or error.output,
            evidence=log,
        ) from error


def words_of(log: Path) -> str:
    """What a build printed; nothing where it put something else in the log's place."""
    try:
        return stranger.read(log.parent, log.name).decode(errors="replace")
    except (stranger.NotPlainError, FileNotFoundError):
        return ""


def _fault_of_host(what: str, text: str, log: Path, oom_before: int | None) -> HostError | None:
    """Why a step failed that says nothing of what it builds; None where it may."""
    if DISK_FULL in text:
        return HostError(
            f"the disk is full: the {what} was not built",
            why=f"{DISK_FULL}, below {log.parent}",
            evidence=log,
            advice=f"make room, such as by removing what is old in {log.parent.parent.parent}",
        )
    if killed := _KILLED.search(text):
        likely, advice = cause("SIGKILL", oom_kills_since(oom_before))
        return HostError(
            f"a program was killed: the {what} was not built",
            why=f"{killed[0]}\n{likely}",
            evidence=log,
            advice=advice,
        )
    return None


def compiler_errors(log: str) -> str:
    """The lines of a build log that say what is wrong, without make's echoes of them.

    Compilers and linkers, kbuild's modpost, meson.
    """
    said = (": error:", ": fatal error:", ": ERROR:", "undefined reference", "undefined!")
    wanted = [line for line in log.splitlines() if any(words in line for words in said)]
    return "\n".join(wanted[:10])
