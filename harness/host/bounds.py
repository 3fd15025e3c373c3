# SPDX-License-Identifier: MIT
"""How much of the host a stranger's build may take, and who ends one that takes more.

What the kernel bounds by itself it does from the first instruction on (setrlimit(2)); what
is the sum of many processes or files is looked at several times a second.
"""

import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_BLOCK = 512
# Places behind the command's name in /proc/PID/stat: proc(5).
_THREADS, _RESIDENT = 17, 21
GIB = 1 << 30
# Of addresses a linker takes more than it touches.
_LEAST_SPACE = 8 * GIB


def _memory() -> int:
    """Four fifths of the host's: what is left is for the harness and its guests."""
    return os.sysconf("SC_PHYS_PAGES") * _PAGE // 5 * 4


@dataclass(frozen=True)
class Bounds:
    """Of one step of a build, in seconds and bytes.

    A clean kernel takes minutes, 700 MB in its folder and a dozen processes for each CPU; one
    with DWARF some GB.  `processes` are threads, too; `file` is for any one file, `log` for
    what it prints.
    """

    seconds: float = 4 * 3600.0
    memory: int = field(default_factory=_memory)
    processes: int = field(default_factory=lambda: 1000 + 100 * (os.cpu_count() or 1))
    folder: int = 32 * GIB
    files: int = 1_000_000
    file: int = 8 * GIB
    log: int = GIB // 4

    def limited(self, argv: Sequence[str]) -> list[str]:
        """The command, with what setrlimit(2) bounds; it is the first to go where memory ends."""
        space = max(self.memory, _LEAST_SPACE)
        limits = [f"--as={space}", f"--fsize={self.file}", "--core=0"]
        return ["choom", "-n", "1000", "--", "prlimit", *limits, "--", *argv]


@dataclass
class Watch:
    """Looks at a step that runs: its processes, its folder, its log, its time."""

    bounds: Bounds
    folder: Path
    log: Path
    began: float = field(default_factory=time.monotonic)
    walked: float = 0.0
    took: float = 0.0

    def exceeded(self, child: int) -> str:
        """What of a child and its descendants is beyond the bounds; nothing for nothing."""
        bounds = self.bounds
        if time.monotonic() - self.began > bounds.seconds:
            return f"it took longer than {bounds.seconds:g} s"
        if self.log.exists() and self.log.lstat().st_size > bounds.log:
            return f"it printed more than {shown(bounds.log)}"
        number, memory = descendants(child)
        if number > bounds.processes:
            return f"it had more than {bounds.processes} processes and threads at a time"
        if memory > bounds.memory:
            return f"its processes had more than {shown(bounds.memory)} of memory"
        return self._folder()

    def _folder(self) -> str:
        """What is too much in the folder; to walk through it takes a fortieth of the time."""
        if time.monotonic() - self.walked < 40 * self.took:
            return ""
        begin = time.monotonic()
        files, size = usage(self.folder)
        self.walked = time.monotonic()
        self.took = self.walked - begin
        if size > self.bounds.folder:
            return f"it wrote more than {shown(self.bounds.folder)}"
        return f"it wrote more than {self.bounds.files} files" if files > self.bounds.files else ""


def shown(size: int) -> str:
    """Bytes as a person reads them."""
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size >> 20} MiB"


def descendants(child: int) -> tuple[int, int]:
    """(how many threads, bytes of memory) of a process and all that it started.

    The sandbox's first process is a parent of what would leave its own.  Pages that
    processes share are counted for each.
    """
    parents: dict[int, list[int]] = {}
    taken: dict[int, tuple[int, int]] = {}
    for entry in os.scandir(_PROC):
        if not entry.name.isdigit():
            continue
        try:
            said = (_PROC / entry.name / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        fields = said.rpartition(")")[2].split()
        taken[int(entry.name)] = int(fields[_THREADS]), int(fields[_RESIDENT])
        parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [child]
    while waiting:
        process = waiting.pop()
        found.append(process)
        waiting += parents.get(process, [])
    sums = [taken.get(process, (0, 0)) for process in found]
    return sum(threads for threads, _ in sums), sum(pages for _, pages in sums) * _PAGE


def usage(folder: Path) -> tuple[int, int]:
    """(files, bytes on the disk) in a folder, no link followed."""
    files = size = 0
    waiting = [os.fspath(folder)]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            files += 1
            size += found.st_blocks * _BLOCK
            if stat.S_ISDIR(found.st_mode):
                waiting.append(entry.path)
    return files, size
