# SPDX-License-Identifier: MIT
"""What else goes on on this host: read before and after a guest, without root."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from harness.model import Noise

# The columns of /proc/stat's first line (proc_stat(5)): the eighth is steal; guest time,
# behind it, is in user already.
_STEAL, _COLUMNS = 7, 8


@dataclass(frozen=True)
class Reading:
    """The host's counters at one moment; None where it has no such file.

    `ticks` are of the CPUs' time (USER_HZ), `pressure_us` the time in which some task
    waited for a CPU (Documentation/accounting/psi.rst).
    """

    time: float
    ticks: int | None
    stolen: int | None
    pressure_us: int | None
    load: float | None
    throttled: int | None
    counters: int | None
    governors: tuple[str, ...]


def read(root: Path = Path("/")) -> Reading:
    """The counters now; `root` is where the host's /proc and /sys are."""
    ticks, stolen = _cpu_time(_text(root / "proc/stat"))
    return Reading(
        time=time.monotonic(),
        ticks=ticks,
        stolen=stolen,
        pressure_us=_waited(_text(root / "proc/pressure/cpu")),
        load=_load(_text(root / "proc/loadavg")),
        throttled=_throttled(root / "sys/devices/system/cpu"),
        counters=_counters(root / "proc"),
        governors=_governors(root / "sys/devices/system/cpu"),
    )


def between(before: Reading, after: Reading) -> Noise:
    """The noise of the time between two readings."""
    seconds = after.time - before.time
    ticks = _grown(before.ticks, after.ticks)
    stolen = _grown(before.stolen, after.stolen)
    waited = _grown(before.pressure_us, after.pressure_us)
    counters = [count for count in (before.counters, after.counters) if count is not None]
    return Noise(
        seconds=round(seconds, 3),
        steal=None if stolen is None or not ticks else round(stolen / ticks, 4),
        pressure=None if waited is None or not seconds else round(waited / 1e6 / seconds, 4),
        load=after.load,
        throttled=_grown(before.throttled, after.throttled),
        counters=max(counters, default=None),
        governors=after.governors,
    )


def _grown(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before


def _text(path: Path) -> str:
    """A file's text; empty where it is not there or not ours to read."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _cpu_time(stat: str) -> tuple[int | None, int | None]:
    """(all of the CPUs' time, what a hypervisor kept of it)."""
    words = stat.partition("\n")[0].split()[1:]
    if len(words) < _COLUMNS:
        return None, None
    columns = [int(word) for word in words[:_COLUMNS]]
    return sum(columns), columns[_STEAL]


def _waited(pressure: str) -> int | None:
    """`some avg10=0.00 avg60=0.00 avg300=0.00 total=12345`: its total."""
    for line in pressure.splitlines():
        if line.startswith("some "):
            return int(line.rpartition("total=")[2])
    return None


def _load(loadavg: str) -> float | None:
    """The load average of the last minute, for each CPU."""
    words = loadavg.split()
    return round(float(words[0]) / (os.cpu_count() or 1), 3) if words else None


def _throttled(cpus: Path) -> int | None:
    """How often CPUs were slowed down for their heat (x86 says so): the cores' own counts."""
    texts = [_text(path) for path in cpus.glob("cpu*/thermal_throttle/core_throttle_count")]
    found = [int(text) for text in texts if text]
    return sum(found) if found else None


def _counters(proc: Path) -> int | None:
    """How many of the host's counters others have: the NMI watchdog's, and perf events seen."""
    watchdog = _text(proc / "sys/kernel/nmi_watchdog").strip()
    if not watchdog:
        return None
    return int(watchdog) + sum(_perf_events(process) for process in proc.glob("[0-9]*"))


def _perf_events(process: Path) -> int:
    """The perf events that a process has open; none of one that is not ours to look at."""
    try:
        links = [os.readlink(link) for link in (process / "fd").iterdir()]  # noqa: PTH115
    except OSError:
        return 0
    return sum("[perf_event]" in link for link in links)


def _governors(cpus: Path) -> tuple[str, ...]:
    """The frequency governors in use."""
    texts = {_text(path).strip() for path in cpus.glob("cpu*/cpufreq/scaling_governor")}
    return tuple(sorted(texts - {""}))
