# SPDX-License-Identifier: MIT
"""What the harness adds to make and QEMU, as ratios: warm, guests, incremental, series, cold.

  benchmarks/overhead.py warm [N]             N runs with nothing changed: wall clock, CPU time
  benchmarks/overhead.py guests [N]           N times all guests of a built kernel
  benchmarks/overhead.py incremental [N]      N changes of kernel/events/core.c in a path: tree,
                                              and the time to the first fail of a broken one
  benchmarks/overhead.py refs [N]             N commits of such changes, as git: of that tree
  benchmarks/overhead.py series [N]           ci on N commits, against N makes and boots
  benchmarks/overhead.py cold                 an empty cache, against the bare build

Run it with the project's .venv/bin/python, on an idle machine.  Bare means: make
with the same config, and QEMU with the same guests (of the same run: its image, its modules,
its scenarios), started by hand, as many at a time as there are CPUs.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from rich.console import Console

from harness.ask.catalog import ROOT, Catalog
from harness.build.image import overlay
from harness.build.kernel import IMAGE, REPRODUCIBLE
from harness.build.recipe import modules, texts
from harness.host.process import environment
from harness.host.progress import Progress
from harness.host.store import Cache
from harness.machine.argv import CHANNEL_BYTES, Descriptors, Files, build_argv
from harness.machine.crash import DONE
from harness.model import Role
from harness.run.builders import builders_for
from harness.run.folder import RunFolder
from harness.run.request import Asked, prepare
from harness.source.archive import track
from harness.source.tree import Tree

KERNEL = "6.12"
MACHINE = "aarch64-tcg"


def is_bare(row):
    """True for a scenario that a QEMU can be given by hand, and nobody needs to speak to."""
    return row.tool is None and row.reproducer is None


_MACHINE = Catalog().machines[MACHINE]
SCENARIOS = [
    name for name, row in Catalog().scenarios.items() if is_bare(row) and not row.lacks(_MACHINE)
]


def timed(argv, *, check=True, **options):
    """Seconds that a command takes; its output goes nowhere, its failure ends this."""
    began = time.monotonic()
    subprocess.run(
        argv, check=check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options
    )
    return time.monotonic() - began


def command(*argv):
    """A run of the scenarios that a QEMU can be given by hand."""
    chosen = [f"--scenario={name}" for name in SCENARIOS]
    return [ROOT / "pmu-harness", "run", *chosen, *argv]


def harness(*argv, **options):
    """Seconds that it takes."""
    return timed(command(*argv), **options)


def bare_make(tree, build, catalog):
    """Seconds that make takes, without the harness."""
    row = catalog.architectures[catalog.machines[MACHINE].architecture]
    argv = ["make", "-C", tree, f"O={build}", f"-j{os.cpu_count()}", f"ARCH={row.kernel}"]
    argv += [f"CROSS_COMPILE={row.triplet}-"]
    # No "+" for a tree under git: the modules that the guests load have none.
    env = environment({**REPRODUCIBLE, "LOCALVERSION": ""})
    return timed([*argv, Path(row.image).name, "modules"], env=env)


def own_kernel(run, plan):
    """The artifact of the kernel that a run's candidate booted."""
    name = plan.subjects[Role.CANDIDATE].name
    built = RunFolder(run).subject(name) / "build.json"
    known = Cache().artifacts.glob("kernel-*/build.json")
    return next(path.parent for path in known if path.read_bytes() == built.read_bytes())


def own_image(plan):
    """The initramfs of a plan's guests."""
    catalog, cache = Catalog(), Cache()
    asked = Asked(source=plan.source, machine=plan.machine.name, bare=True)
    prepared = prepare(catalog, cache, asked, lambda _: None)
    quiet = Progress(Console(quiet=True))
    return builders_for(prepared, catalog, cache, quiet).image.build().initramfs


def bare_boots(run, folder, kernel=None):
    """Seconds that the guests of a run take, as many at a time as there are CPUs."""
    plan = RunFolder(run).read_plan()
    made = own_kernel(run, plan)
    kernel, image = kernel or made / IMAGE, own_image(plan).read_bytes()
    scenarios = [row for row in plan.scenarios if is_bare(row)]
    commands = []
    for scenario in scenarios:
        place = folder / scenario.name
        place.mkdir(exist_ok=True)
        overlay(place / "overlay", texts(scenario), [made / name for name in modules(scenario)])
        initramfs, channel = place / "initramfs", place / "channel"
        initramfs.write_bytes(image + (place / "overlay").read_bytes())
        with channel.open("wb") as file:
            file.truncate(CHANNEL_BYTES)
        commands.append(by_hand(plan.machine.with_cpus(scenario.cpus), kernel, place))
    began = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(timed, commands))
    seconds = time.monotonic() - began
    for scenario in scenarios:
        if DONE not in (folder / scenario.name / "console").read_text(errors="replace"):
            sys.exit(f"the bare guest of {scenario.name} did not get through: {folder}")
    return seconds


def by_hand(machine, kernel, place):
    """QEMU's command line without a monitor, and with a file for a console."""
    files = Files(kernel, place / "initramfs", place / "channel")
    argv = [word for word in build_argv(machine, files, Descriptors(0, 0)) if word != "-S"]
    for start in ("socket,id=monitor", "chardev=monitor"):
        at = next(n for n, word in enumerate(argv) if word.startswith(start))
        del argv[at - 1 : at + 1]
    at = next(n for n, word in enumerate(argv) if word.startswith("socket,id=console"))
    argv[at] = f"file,id=console,path={place / 'console'}"
    return argv


def warm(rounds=5):
    """Runs with nothing changed: the main job, launcher, judging and reports included."""
    times, processor = [], []
    main = [ROOT / "pmu-harness", "run"]
    # The first may judge, the second what all the others find in the cache.
    timed(main)
    timed(main)
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(timed(main))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    print(
        f"warm run, nothing changed: median {median(times):.2f} s of {len(times)} "
        f"({min(times):.2f} to {max(times):.2f}), CPU time {median(processor):.2f} s"
    )


def guests(rounds=3):
    """All guests of a kernel that is built, against the same booted by hand: pair by pair."""
    ratios = []
    with tempfile.TemporaryDirectory(dir=Path.home(), prefix="pmu-bench.") as name:
        folder, run = Path(name), Path(name) / "run"
        what = ("--source", f"debian:{KERNEL}", "--bare", "--alone", "--output", str(run))
        harness(*what)
        for _ in range(rounds):
            mine, bare = harness(*what, "--rerun"), bare_boots(run, folder)
            ratios.append(mine / bare)
            print(f"harness {mine:.1f} s; bare boots {bare:.1f} s: {ratios[-1]:.2f} x", flush=True)
    print(f"guests of a built kernel: median {median(ratios):.2f} x bare, of {rounds}")


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


def break_(tree):
    """As the saboteur no-low-pass does."""
    core = tree / "kernel/events/core.c"
    text = core.read_text()
    broken = text.replace("\tdelta /= 8; /* low pass filter */\n", "")
    if broken == text:
        sys.exit(f"{core} has no low pass filter to take out")
    core.write_text(broken)


def first_fail(where):
    """(seconds to the first fail that is said, seconds to the end) of a run that fails fast."""
    began = time.monotonic()
    with subprocess.Popen(
        command(*where, "--fail-fast"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        said = next((time.monotonic() for line in child.stdout if "  FAIL  " in line), None)
        child.stdout.read()
    if said is None or child.returncode != 1:
        sys.exit(f"the broken kernel did not fail: exit status {child.returncode}")
    return said - began, time.monotonic() - began


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
        ratios = []
        for _ in range(rounds):
            change(tree)
            if kind == "git":
                git(tree, "commit", "-qam", "bench")
            mine = harness(*where)
            make = bare_make(tree, build, catalog)
            boots = bare_boots(folder / "run", folder, kernel)
            ratios.append(mine / (make + boots))
            print(f"harness {mine:.1f} s; bare make {make:.1f} s + boots {boots:.1f} s: "
                  f"{ratios[-1]:.2f} x", flush=True)  # fmt: skip
        break_(tree)
        if kind == "git":
            git(tree, "commit", "-qam", "bench")
        fail, end = first_fail(where)
        print(f"incremental run: median {median(ratios):.2f} x bare, of {rounds}; "
              f"a broken kernel: first fail after {fail:.1f} s, end after {end:.1f} s")  # fmt: skip


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
        ci = [ROOT / "pmu-harness", "ci", *where, *chosen, "--output", folder / "series"]
        mine = timed(ci)
        build = folder / "build"
        build.mkdir()
        config = next((folder / "series").glob("01-*/subjects/*/config"))
        shutil.copyfile(config, build / ".config")
        git(tree, "checkout", "-q", f"bench~{number}")
        print(f"preparing: bare build {bare_make(tree, build, catalog):.0f} s", flush=True)
        kernel = build / catalog.architectures["arm64"].image
        run = next((folder / "series").glob("01-*"))
        bare = 0.0
        for left in range(number - 1, -1, -1):
            git(tree, "checkout", "-q", f"bench~{left}")
            bare += bare_make(tree, build, catalog) + bare_boots(run, folder, kernel)
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
    modes = {
        "warm": warm,
        "guests": guests,
        "incremental": incremental,
        "refs": refs,
        "series": series,
        "cold": cold,
    }
    if len(sys.argv) < 2 or sys.argv[1] not in modes:
        sys.exit(__doc__)
    modes[sys.argv[1]](*map(int, sys.argv[2:]))
