# SPDX-License-Identifier: MIT
"""What the x86 PMU of qemu-patches/ costs: the same guest on QEMU with it and without, in pairs.

  benchmarks/emulation.py PLAIN [PAIRS]

PLAIN is the qemu-system-x86_64 of the same version, configured as in
configs/emulators.yaml and without the patches.  Run it with the project's
.venv/bin/python, on an idle machine, after a run on x86_64-tcg has left a kernel.

The guest hashes, compresses, interprets and forks with busybox, without an
instruction clock.  With the PMU, three counters count meanwhile: instructions, cycles
and branches.  None samples: an interrupt is work of the guest's, not of the emulator.
Ratios are of the CPU seconds of QEMU's process.
"""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from harness.catalog import Catalog
from harness.debian import Archive
from harness.image.build import ImageBuilder, overlay
from harness.image.recipe import SCENARIO, script
from harness.model import Scenario
from harness.store import Cache

MACHINE = "x86_64-tcg"
DONE = "bench: done"
# What runs in the place of the guest's init: counters in the background, then work.
WORK = f"""
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
/probes/drive >/dev/null 2>&1 &
dd if=/dev/zero bs=1M count=16 2>/dev/null | sha256sum
dd if=/dev/zero bs=1M count=16 2>/dev/null | gzip -9 | md5sum
awk 'BEGIN {{ for (i = 0; i < 600000; i++) {{ s += i * i; a[i % 100] = s ":" i }} print s }}'
i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done
for k in $(seq 50); do true | cat; done
echo "{DONE}"
poweroff -f
"""
COUNTING = {"task": None, "cpu": 0, "pinned": True}
EVENTS = {
    "instructions": {"counts": "instructions", **COUNTING},
    "cycles": {"counts": "cycles", **COUNTING},
    "branches": {"counts": "branches", **COUNTING},
}


def initramfs(folder, cache, catalog):
    """The guest image, with what this guest does."""
    row = catalog.architectures[catalog.machines[MACHINE].architecture]
    builder = ImageBuilder(
        cache, row, Archive(cache, row.debian), catalog.root / "guest-images", print
    )
    scenario = Scenario.model_validate(
        {"name": "bench", "title": "", "events": EVENTS, "steps": ["sleep 600000"], "checks": ["x"]}
    )
    overlay(folder / "overlay", {"bench": WORK, SCENARIO: script(scenario)}, None)
    target = folder / "initramfs"
    image = builder.build().initramfs
    target.write_bytes(image.read_bytes() + (folder / "overlay").read_bytes())
    return target


def seconds(qemu, cpu, firmware, kernel, folder):
    """CPU seconds of one guest."""
    console = folder / "console"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    argv = [qemu, "-L", firmware, "-machine", "pc,hpet=off,firmware=qboot.rom", "-cpu", cpu]
    argv += ["-m", "256", "-nodefaults", "-display", "none", "-no-reboot"]
    argv += ["-serial", f"file:{console}", "-kernel", kernel, "-initrd", folder / "initramfs"]
    argv += ["-append", "console=ttyS0 nokaslr panic=-1 rdinit=/bin/busybox -- sh /bench"]
    subprocess.run(argv, check=True, stderr=subprocess.DEVNULL, timeout=600)
    if DONE not in console.read_text(errors="replace"):
        sys.exit(f"the guest did not get through: {console}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(plain, pairs="7"):
    """Pair by pair, the one first and the other first by turns."""
    cache, catalog = Cache(), Catalog()
    built = max(cache.artifacts.glob("emulator-*/qemu-system-x86_64"), key=os.path.getmtime)
    kernels = cache.artifacts.glob("kernel-*/config")
    mine = [path for path in kernels if "CONFIG_X86_64=y" in path.read_text()]
    kernel = max(mine, key=os.path.getmtime).parent / "Image"
    model = catalog.machines[MACHINE].cpu.partition(",")[0]
    with tempfile.TemporaryDirectory(prefix="pmu-bench.") as name:
        folder = Path(name)
        initramfs(folder, cache, catalog)
        guest = (built.parent / "firmware", kernel, folder)
        sides = {"plain": (plain, model), "with a PMU in use": (built, f"{model},pmu=on")}
        ratios = []
        for pair in range(int(pairs)):
            order = list(sides) if pair % 2 else list(sides)[::-1]
            taken = {side: seconds(*sides[side], *guest) for side in order}
            ratios.append(taken["with a PMU in use"] / taken["plain"])
            print(
                *(f"{side} {taken[side]:.2f} s" for side in sides), f"{ratios[-1]:.3f} x", sep="; "
            )
        print(f"median {median(ratios):.3f} x, of {len(ratios)} pairs")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
