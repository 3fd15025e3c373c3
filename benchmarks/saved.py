# SPDX-License-Identifier: MIT
"""What guests take that go on from a booted kernel, against the same ones that boot, in pairs.

  benchmarks/saved.py [MACHINE [PAIRS [SCENARIO...]]]

Run it with the project's .venv/bin/python, on an idle machine, after a run on MACHINE has
left the kernel.  All scenarios without SSH, or those that are named, on one clean kernel; what
they go on from is saved anew in each pair, which counts as theirs.  Ratios are of wall clock,
and of the CPU seconds of all QEMUs.
"""

import io
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

from rich.console import Console

from harness.ask.catalog import Catalog
from harness.build.emulator import provide_for
from harness.host.keeper import Keeper
from harness.host.keeping import SAVED
from harness.host.progress import Progress
from harness.host.store import Cache
from harness.run.folder import RunFolder
from harness.run.pipeline import Run, Settings
from harness.run.request import Asked, prepare

KERNEL = "debian:6.12"


def children():
    """CPU seconds of all children that have ended."""
    spent = os.times()
    return spent.children_user + spent.children_system


def observed(prepared, catalog, cache, progress, *, once):
    """Wall and CPU seconds of a run, and the seconds of each of its guests."""
    plan = prepared.plan
    row = plan.machine.model_copy(update={"boots_once": once})
    with tempfile.TemporaryDirectory(dir=Path.home(), prefix="pmu-bench.") as name:
        run = Run(
            prepared=replace(prepared, plan=plan.model_copy(update={"machine": row})),
            catalog=catalog,
            cache=cache,
            folder=RunFolder(Path(name)),
            progress=progress,
            settings=Settings(rerun=True, coverage=False),
            command="",
            repeat=lambda cell: "",
            emulator=provide_for(row, catalog, cache, progress),
        )
        began, before = time.monotonic(), children()
        run.execute()
        wall, cpu = time.monotonic() - began, children() - before
        return wall, cpu, list(run.guests.seconds.values())


def main(machine="aarch64-tcg", pairs="3", *names):
    """Pair by pair, each with the other one first."""
    catalog, cache = Catalog(), Cache()
    progress = Progress(Console(file=io.StringIO()))
    row = catalog.machines[machine]
    exact = [n for n, s in catalog.scenarios.items() if not (s.lacks(row) or s.takes_disk)]
    asked = Asked(
        source=KERNEL, machine=machine, scenarios=tuple(names or exact), alone=True, bare=True
    )
    prepared = prepare(catalog, cache, asked, progress.say)
    observed(prepared, catalog, cache, progress, once=False)
    walls, cpus = [], []
    for pair in range(int(pairs)):
        keeper = Keeper(cache)
        keeper.remove(keeper.entries(exact=False, kind=SAVED))
        found = {}
        for once in (True, False) if pair % 2 else (False, True):
            found[once] = observed(prepared, catalog, cache, progress, once=once)
            wall, cpu, seconds = found[once]
            how = "go on" if once else "boot"
            print(f"{len(seconds)} guests that {how}: {wall:.1f} s, {cpu:.1f} s of CPU time, "
                  f"median guest {median(seconds):.2f} s", flush=True)  # fmt: skip
        walls.append(found[True][0] / found[False][0])
        cpus.append(found[True][1] / found[False][1])
        print(f"{walls[-1]:.2f} x the time, {cpus[-1]:.2f} x the CPU time", flush=True)
    print(f"median of {pairs}: {median(walls):.2f} x the time, {median(cpus):.2f} x the CPU time")


if __name__ == "__main__":
    main(*sys.argv[1:])
