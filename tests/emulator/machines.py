# SPDX-License-Identifier: MIT
"""The program of guest-images/pmu, compiled, and machines of the patched QEMU that run it."""

import os
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from harness.ask.catalog import Catalog
from harness.build.emulator import provide
from harness.host import process
from harness.host.progress import Progress
from harness.host.store import Cache
from harness.machine.qemu import Monitor

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "guest-images" / "pmu"
ROW = "qemu-x86-pmu"
PATIENCE_S = 60.0
PASSED, FAILED = 33, 35  # What isa-debug-exit makes of machine.c's EXIT_PASSED, EXIT_FAILED.

# A flat image for a multiboot loader: no libraries, no SSE, no red zone (interrupts are
# taken on the stack that is in use).
FLAGS = (
    *("-m64", "-std=gnu11", "-O2", "-Werror"),
    *("-Wall", "-Wextra", "-Wno-missing-field-initializers"),
    *("-ffreestanding", "-nostdlib", "-static", "-fno-pic", "-no-pie"),
    *("-mno-red-zone", "-mgeneral-regs-only"),
    *("-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-fcf-protection=none"),
    *("-Wl,--build-id=none", "-Wl,-z,noexecstack", "-Wl,--oformat=binary"),
)


@dataclass(frozen=True)
class Configuration:
    """A machine: its CPU, the shift of -icount or None, how many CPUs."""

    vendor: str
    cpu: str
    shift: int | None
    cpus: int

    @property
    def name(self) -> str:
        """For people and for pytest."""
        clock = "no-icount" if self.shift is None else f"icount-{self.shift}"
        return f"{self.vendor}-{clock}-{self.cpus}"

    @property
    def told(self) -> str:
        """The program's command line: what CPUID does not say."""
        clock = "" if self.shift is None else f"icount={self.shift} "
        return f"{clock}cpus={self.cpus}"


def emulator() -> list[str]:
    """The patched QEMU's command, with where its firmware is: built, or PMU_HARNESS_QEMU."""
    given = os.environ.get("PMU_HARNESS_QEMU")
    if given:
        return shlex.split(given)
    with Progress(Console(stderr=True)) as progress:
        program = provide(ROW, Catalog(), Cache(), progress).program
    return [str(program.binary), "-L", str(program.firmware)]


def compiler() -> str:
    """A compiler for x86-64: the host's own, if that is what it is."""
    if shutil.which("gcc") and process.capture(["gcc", "-dumpmachine"]).startswith("x86_64"):
        return "gcc"
    return "x86_64-linux-gnu-gcc"


def compile_program(image: Path) -> Path:
    """The program as an image."""
    sources = sorted([*SOURCES.glob("*.c"), *SOURCES.glob("*.S")])
    script = ["-T", str(SOURCES / "pmu.ld")]
    process.capture([compiler(), *FLAGS, *script, "-o", str(image), *map(str, sources)])
    return image


def command_line(qemu: list[str], image: Path, configuration: Configuration) -> list[str]:
    """A machine that runs the program; its lines are QEMU's standard output."""
    clock = []
    if configuration.shift is not None:
        clock = ["-icount", f"shift={configuration.shift},sleep=off"]
        clock += ["-rtc", "base=2020-01-01,clock=vm"]
    return [
        *qemu,
        *("-accel", "tcg"),
        *("-machine", "pc"),
        *("-cpu", f"{configuration.cpu},pmu=on"),
        *("-smp", str(configuration.cpus)),
        *("-m", "32"),
        *clock,
        "-nodefaults",
        "-no-user-config",
        *("-display", "none"),
        *("-kernel", str(image)),
        *("-append", configuration.told),
        *("-debugcon", "stdio"),
        *("-device", "isa-debug-exit,iobase=0xf4,iosize=4"),
    ]


@dataclass(frozen=True)
class Done:
    """How a machine ended, and what the program said."""

    status: int
    text: str

    def named(self, word: str) -> list[str]:
        """The names behind lines that begin with a word."""
        said = (line for line in self.text.splitlines() if line.startswith(f"{word} "))
        return [line.removeprefix(f"{word} ").split(" ")[0] for line in said]

    @property
    def complaints(self) -> str:
        """All lines that say what is wrong."""
        return "\n".join(line for line in self.text.splitlines() if line.startswith("not ok"))


def run(argv: list[str], log: Path) -> Done:
    """Run a machine to its end; it is ended after PATIENCE_S."""
    with log.open("wb") as errors:
        child = process.start(argv, stdout=subprocess.PIPE, stderr=errors)
        try:
            out, _ = child.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.end(child)
            out, _ = child.communicate()
        finally:
            status = process.end(child)
    return Done(status, out.decode(errors="replace"))


class Watched:
    """A machine with a monitor, whose lines are read one by one."""

    def __init__(self, child: "subprocess.Popen[bytes]", monitor: Monitor) -> None:
        self.child = child
        self.monitor = monitor

    def line(self) -> str:
        """The program's next line; empty when there is no other."""
        assert self.child.stdout
        return self.child.stdout.readline().decode(errors="replace")

    def rest(self) -> Done:
        """All that the program still says, and how it ends."""
        out, _ = self.child.communicate(timeout=PATIENCE_S)
        return Done(process.end(self.child), out.decode(errors="replace"))


@contextmanager
def watched(argv: list[str], log: Path) -> Iterator[Watched]:
    """A machine that QMP commands can be given to."""
    near, far = socket.socketpair()
    with near, log.open("wb") as errors:
        with far:
            words = ["-chardev", f"socket,id=monitor,fd={far.fileno()}"]
            words += ["-mon", "chardev=monitor,mode=control"]
            child = process.start(
                [*argv, *words], stdout=subprocess.PIPE, stderr=errors, pass_fds=(far.fileno(),)
            )
        monitor = Monitor(near)
        try:
            monitor.connect()
            yield Watched(child, monitor)
        finally:
            process.end(child)
            monitor.close()
            if child.stdout:
                child.stdout.close()
