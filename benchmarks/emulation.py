# SPDX-License-Identifier: MIT
"""What the x86 PMU of qemu-patches/ costs: the same guest on QEMU with it and without, in pairs.

  benchmarks/emulation.py PLAIN [PAIRS]

PLAIN is the qemu-system-x86_64 of the same version, configured as in
configs/emulators.yaml and without the patches.  Run it with the project's
.venv/bin/python, on an idle machine, after a run on x86_64-tcg has left a kernel.

The guest hashes, compresses, interprets and forks with busybox, on the machine's
instruction clock and without one.  With the PMU, three counters count meanwhile:
instructions, cycles and branches; that they did is looked up in what the guest read.
None samples: an interrupt is work of the guest's, not of the emulator.  Ratios are of
the CPU seconds of QEMU's process from the first of this work to the last: booting is
faster with the patches, which has other reasons.

Where translated code comes to lie in the host's caches makes some percent of
difference.  So each pair's guests begin with other tools, the same on both sides.
"""

import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from harness.ask.catalog import Catalog
from harness.build.image import ImageBuilder, overlay
from harness.build.recipe import SCENARIO, script
from harness.guest.records import Read, channel_bytes, parse
from harness.host.debian import Archive
from harness.host.store import Cache
from harness.machine.argv import CHANNEL_BYTES
from harness.model import Scenario

MACHINE = "x86_64-tcg"
BEGIN, DONE = "bench: begin", "bench: done"
LEAST = 100_000_000
# What runs in the place of the guest's init: counters in the background, then work.
WORK = f"""
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
/probes/drive >/dev/null 2>&1 &
n=0
for tool in md5sum sha1sum sha3sum sha512sum cksum sum wc od hexdump sort rev tac nl fold xxd; do
  [ $((($1 >> n) & 1)) = 0 ] || $tool /bench >/dev/null
  n=$((n+1))
done
sleep 0.5
echo "{BEGIN}"
dd if=/dev/zero bs=1M count=16 2>/dev/null | sha256sum
dd if=/dev/zero bs=1M count=16 2>/dev/null | gzip -9 | md5sum
awk 'BEGIN {{ for (i = 0; i < 600000; i++) {{ s += i * i; a[i % 100] = s ":" i }} print s }}'
i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done
for k in $(seq 50); do true | cat; done
echo "{DONE}"
poweroff -f
"""
COUNTED = ("instructions", "cycles", "branches")


def scenario():
    """Three counters that count everything on the CPU, read each half second."""
    common = {"task": None, "cpu": 0, "pinned": True}
    events = {name: {"counts": name, **common} for name in COUNTED}
    steps = ["sleep 500"] * 60
    return Scenario(name="bench", title="", events=events, steps=steps, checks=["x"])


def initramfs(folder, cache, catalog):
    """The guest image, with what this guest does."""
    row = catalog.architectures[catalog.machines[MACHINE].architecture]
    builder = ImageBuilder(
        cache, row, Archive(cache, row.debian), catalog.root / "guest-images", print
    )
    overlay(folder / "overlay", {"bench": WORK, SCENARIO: script(scenario())}, None)
    target = folder / "initramfs"
    image = builder.build().initramfs
    target.write_bytes(image.read_bytes() + (folder / "overlay").read_bytes())
    return target


def cpu_seconds(pid):
    """What a process has taken so far, in user space and in the kernel."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def seconds(qemu, cpu, clock, guest, tools):
    """CPU seconds of one guest's work; what it counted stays in guest's channel."""
    firmware, kernel, folder = guest
    append = f"console=ttyS0 nokaslr panic=-1 rdinit=/bin/busybox -- sh /bench {tools}"
    channel = folder / "channel"
    with channel.open("wb") as file:
        file.truncate(CHANNEL_BYTES)
    argv = [qemu, "-L", firmware, "-machine", "pc,hpet=off,firmware=qboot.rom", "-cpu", cpu]
    argv += ["-m", "256", "-nodefaults", "-display", "none", "-no-reboot", *clock]
    argv += ["-serial", "stdio", "-kernel", kernel, "-initrd", folder / "initramfs"]
    argv += [
        "-object",
        f"memory-backend-file,id=c,share=on,size={CHANNEL_BYTES},mem-path={channel}",
    ]
    argv += ["-device", "ivshmem-plain,memdev=c"]
    argv += ["-append", append]
    marks = {}
    with subprocess.Popen(
        list(map(str, argv)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, errors="replace",
    ) as process:  # fmt: skip
        for line in process.stdout:
            if line.strip() in (BEGIN, DONE):
                marks[line.strip()] = cpu_seconds(process.pid)
    if set(marks) != {BEGIN, DONE}:
        sys.exit(f"the guest did not get through: {' '.join(map(str, argv))}")
    return marks[DONE] - marks[BEGIN]


def check_counted(channel):
    """Stop unless each counter counted all along."""
    records = parse(channel_bytes(channel.read_bytes()))
    last = {number: (read, count) for read in records.of(Read) for number, count in read.counts}
    for name in COUNTED:
        event = records.event(name)
        read, count = last.get(event and event.id, (None, 0))
        if count < LEAST or read.enabled != read.running:
            sys.exit(f"{name} did not count: {read}")


def compare(sides, clock, guest, pairs):
    """Pair by pair, the one first and the other first by turns."""
    ratios = []
    for pair in range(pairs):
        taken = {}
        tools = random.Random(pair).getrandbits(15)
        for side in list(sides)[:: 1 if pair % 2 else -1]:
            taken[side] = seconds(*sides[side], clock, guest, tools)
            if "PMU" in side:
                check_counted(guest[-1] / "channel")
        plain, patched = (taken[side] for side in sides)
        ratios.append(patched / plain)
        times = (f"{side} {taken[side]:.2f} s" for side in sides)
        print(*times, f"{ratios[-1]:.3f} x", sep="; ", flush=True)
    print(f"median {median(ratios):.3f} x, of {len(ratios)} pairs", flush=True)


def main(plain, pairs="7"):
    """On the machine's clock, and without one."""
    cache, catalog = Cache(), Catalog()
    built = max(cache.artifacts.glob("emulator-*/qemu-system-x86_64"), key=os.path.getmtime)
    kernels = cache.artifacts.glob("kernel-*/config")
    mine = [path for path in kernels if "CONFIG_X86_64=y" in path.read_text()]
    kernel = max(mine, key=os.path.getmtime).parent / "Image"
    machine = catalog.machines[MACHINE]
    model = machine.cpu.partition(",")[0]
    sides = {"plain": (plain, model), "with a PMU in use": (built, f"{model},pmu=on")}
    with tempfile.TemporaryDirectory(prefix="pmu-bench.") as name:
        folder = Path(name)
        initramfs(folder, cache, catalog)
        guest = (built.parent / "firmware", kernel, folder)
        for clock in (machine.clock, ()):
            print(" ".join(clock) or "without an instruction clock", flush=True)
            compare(sides, clock, guest, int(pairs))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
