# SPDX-License-Identifier: MIT
"""What the harness adds to make and QEMU: warm, incremental and cold, as ratios.

  benchmarks/overhead.py warm                 a run with nothing changed
  benchmarks/overhead.py incremental [N]      N changes of kernel/events/core.c in a path: tree
  benchmarks/overhead.py refs [N]             N commits of such changes, as git: of that tree
  benchmarks/overhead.py series [N]           ci on N commits, against N makes and boots
  benchmarks/overhead.py cold                 an empty cache, against the bare build

Run it with the project's .venv/bin/python, on an idle machine.  Bare means: make
with the same config, and QEMU with the same guests, started by hand.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from harness.ask.catalog import ROOT, Catalog
from harness.build.image import INITRAMFS, overlay
from harness.build.kernel import REPRODUCIBLE
from harness.build.recipe import texts
from harness.host.process import environment
from harness.host.store import Cache
from harness.machine.argv import CHANNEL_BYTES, Descriptors, Files, build_argv
from harness.machine.crash import DONE
from harness.source.archive import track
from harness.source.tree import Tree

KERNEL = "6.12"
MACHINE = "aarch64-tcg"
# Guests over SSH are left out: what to do would have to be told to a bare QEMU as well.
_MACHINE = Catalog().machines[MACHINE]
SCENARIOS = {
    name: row.for_machine(_MACHINE)
    for name, row in Catalog().scenarios.items()
    if row.tool is None and not row.lacks(_MACHINE)
}


def timed(argv, **options):
    """Seconds that a command takes; its output goes nowhere, its failure ends this."""
    began = time.monotonic()
    subprocess.run(
        argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options
    )
    return time.monotonic() - began


def harness(*argv, **options):
    """Seconds that a run of the exact scenarios takes."""
    chosen = [f"--scenario={name}" for name in SCENARIOS]
    return timed([ROOT / "pmu-harness", "run", *chosen, *argv], **options)


def bare_make(tree, build, catalog):
    """Seconds that make takes, without the harness."""
    row = catalog.architectures[catalog.machines[MACHINE].architecture]
    argv = ["make", "-C", tree, f"O={build}", f"-j{os.cpu_count()}", f"ARCH={row.kernel}"]
    argv += [f"CROSS_COMPILE={row.triplet}-"]
    # No "+" for a tree under git: the observer that the guests load has none.
    env = environment({**REPRODUCIBLE, "LOCALVERSION": ""})
    return timed([*argv, Path(row.image).name, "modules"], env=env)


def bare_boots(kernel, observer, folder, catalog):
    """Seconds that the guests of all exact scenarios take, as many at a time as there are CPUs."""
    machine = catalog.machines[MACHINE]
    image = max(Cache().artifacts.glob(f"image-*/{INITRAMFS}"), key=lambda p: p.stat().st_mtime)
    commands = []
    for scenario in SCENARIOS.values():
        place = folder / scenario.name
        place.mkdir(exist_ok=True)
        overlay(place / "overlay", texts(scenario), observer if scenario.observe else None)
        initramfs, channel = place / "initramfs", place / "channel"
        initramfs.write_bytes(image.read_bytes() + (place / "overlay").read_bytes())
        with channel.open("wb") as file:
            file.truncate(CHANNEL_BYTES)
        booted = machine.with_cpus(scenario.cpus)
        argv = build_argv(booted, Files(kernel, initramfs, channel), Descriptors(0, 0))
        argv = [word for word in argv if word != "-S"]
        for start in ("socket,id=monitor", "chardev=monitor"):
            at = next(n for n, word in enumerate(argv) if word.startswith(start))
            del argv[at - 1 : at + 1]
        at = next(n for n, word in enumerate(argv) if word.startswith("socket,id=console"))
        argv[at] = f"file,id=console,path={place / 'console'}"
        commands.append(argv)
    began = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(timed, commands))
    seconds = time.monotonic() - began
    for scenario in SCENARIOS:
        if DONE not in (folder / scenario / "console").read_text():
            sys.exit(f"the bare guest of {scenario} did not get through: {folder}")
    return seconds


def warm():
    """A run with nothing changed."""
    harness()
    times = [harness() for _ in range(5)]
    print(f"warm run, nothing changed: median {median(times):.2f} s of {len(times)}")


IDENTITY = ("-c", "user.name=b", "-c", "user.email=b@localhost", "-c", "core.compression=0")


def git(tree, *argv):
    """Run git in a tree, without its words."""
    subprocess.run(["git", *IDENTITY, *argv], cwd=tree, check=True)


def own_tree(folder):
    """A developer's tree: the unpacked Debian source under git, as it comes."""
    source = next(Cache().sources.glob(f"debian-{KERNEL}-*/tree"))
    pristine = Tree(source.parent)
    pristine.checkout(track(pristine, set()))
    tree = folder / "linux"
    subprocess.run(["cp", "-a", source, tree], check=True)
    for argv in (["init", "-q"], ["add", "-Af", "."], ["commit", "-qm", "bench"]):
        git(tree, *argv)
    return tree


def change(tree):
    """One line of kernel/events/core.c that makes an image which no run has seen."""
    core = tree / "kernel/events/core.c"
    lines = [line for line in core.read_text().splitlines() if "pmu_harness_bench" not in line]
    core.write_text(
        "\n".join([*lines, f"int pmu_harness_bench = {time.time_ns() % 10**9};"]) + "\n"
    )


def refs(rounds=5):
    """The same with each change committed, and the commit named."""
    incremental(rounds, "git")


def incremental(rounds=5, kind="path"):
    """Change a line, run; change a line, make and boot by hand: pair by pair."""
    catalog = Catalog()
    with tempfile.TemporaryDirectory(dir=Path.home(), prefix="pmu-bench.") as name:
        folder = Path(name)
        tree = own_tree(folder)
        change(tree)
        where = ("--source", f"{kind}:{tree}", "--output", str(folder / "run"))
        print(f"preparing: first run {harness(*where):.0f} s", flush=True)
        build = folder / "build"
        build.mkdir()
        shutil.copyfile(folder / "run" / "subjects" / KERNEL / "config", build / ".config")
        print(f"preparing: bare build {bare_make(tree, build, catalog):.0f} s", flush=True)
        kernel = build / catalog.architectures["arm64"].image
        newest = max(Cache().artifacts.glob("kernel-*/pmu_observer.ko"), key=os.path.getmtime)
        ratios = []
        for _ in range(rounds):
            change(tree)
            if kind == "git":
                git(tree, "commit", "-qam", "bench")
            mine = harness(*where)
            make = bare_make(tree, build, catalog)
            boots = bare_boots(kernel, newest, folder, catalog)
            ratios.append(mine / (make + boots))
            print(f"harness {mine:.1f} s; bare make {make:.1f} s + boots {boots:.1f} s: "
                  f"{ratios[-1]:.2f} x", flush=True)  # fmt: skip
        print(f"incremental run: median {median(ratios):.2f} x bare, of {rounds}")


def series(number=5):
    """ci on so many commits whose base is known; then each made and booted by hand."""
    catalog = Catalog()
    with tempfile.TemporaryDirectory(dir=Path.home(), prefix="pmu-bench.") as name:
        folder = Path(name)
        tree = own_tree(folder)
        print(
            f"preparing: first run {harness('--source', f'git:{tree}', '--bare'):.0f} s", flush=True
        )
        for _ in range(number):
            change(tree)
            git(tree, "commit", "-qam", "bench")
        git(tree, "branch", "bench")
        chosen = [f"--scenario={name}" for name in SCENARIOS]
        where = ("--source", f"git:{tree}", "--range", f"HEAD~{number}..")
        command = [ROOT / "pmu-harness", "ci", *where, *chosen, "--output", folder / "series"]
        mine = timed(command)
        build = folder / "build"
        build.mkdir()
        config = next((folder / "series").glob("01-*/subjects/*/config"))
        shutil.copyfile(config, build / ".config")
        git(tree, "checkout", "-q", f"bench~{number}")
        print(f"preparing: bare build {bare_make(tree, build, catalog):.0f} s", flush=True)
        kernel = build / catalog.architectures["arm64"].image
        newest = max(Cache().artifacts.glob("kernel-*/pmu_observer.ko"), key=os.path.getmtime)
        bare = 0.0
        for left in range(number - 1, -1, -1):
            git(tree, "checkout", "-q", f"bench~{left}")
            bare += bare_make(tree, build, catalog) + bare_boots(kernel, newest, folder, catalog)
        print(f"ci on {number} commits: {mine:.1f} s; bare {bare:.1f} s: {mine / bare:.2f} x")


def cold():
    """Empty cache, downloads apart, against bare builds of the same two kernels."""
    catalog = Catalog()
    with tempfile.TemporaryDirectory(dir=Path.home(), prefix="pmu-bench.") as name:
        folder = Path(name)
        env = {**os.environ, "XDG_CACHE_HOME": str(folder), "XDG_STATE_HOME": str(folder)}
        began = time.monotonic()
        done = subprocess.run(
            [ROOT / "pmu-harness", "run"], check=True, env=env, capture_output=True, text=True
        )
        total = time.monotonic() - began
        stamps = [line.split(" s ", 1) for line in done.stdout.splitlines() if " s  " in line[:14]]
        marks = {text.strip(): float(seconds) for seconds, text in stamps}
        begin = next(at for text, at in marks.items() if text.startswith("unpacking"))
        mine = total - begin
        cache = folder / "pmu-harness"
        config = next(cache.glob("artifacts/kernel-*/config"))
        tree = next(cache.glob("sources/debian-*/tree"))
        build = folder / "build"
        build.mkdir()
        shutil.copyfile(config, build / ".config")
        first = bare_make(tree, build, catalog)
        core = tree / "kernel/events/core.c"
        core.write_text(core.read_text() + "\nint pmu_harness_bench;\n")
        second = bare_make(tree, build, catalog)
        print(f"cold run, downloads apart: {mine:.0f} s (with them {total:.0f} s)")
        print(f"bare builds: {first:.0f} s, then {second:.0f} s for the second kernel")
        print(f"ratio: {mine / (first + second):.2f} x both, {mine / first:.2f} x the first alone")


if __name__ == "__main__":
    modes = {"warm": warm, "incremental": incremental, "refs": refs, "series": series, "cold": cold}
    if len(sys.argv) < 2 or sys.argv[1] not in modes:
        sys.exit(__doc__)
    modes[sys.argv[1]](*map(int, sys.argv[2:]))
