# SPDX-License-Identifier: MIT
"""Programs that need no kernel: an architecture's machine.c with a program of guest-images."""

from dataclasses import dataclass
from pathlib import Path

from harness.errors import HostError
from harness.host.process import CommandError, capture, version
from harness.host.store import digest
from harness.model import Accelerator, Architecture

MACHINES = "accelerator"
SCRIPT = "probe.ld"
# The program that tries an accelerator; any other folder's main.c takes its place.
TRIAL = "main.c"

# No libraries, no relocation; any warning is an error.  A row's flags keep vector registers out.
COMPILE = (
    *("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"),
    *("-ffreestanding", "-nostdlib", "-static", "-fno-pic", "-no-pie"),
    *("-fno-stack-protector", "-fno-asynchronous-unwind-tables"),
    *("-Wl,--build-id=none", "-Wl,-z,noexecstack", "-Wl,--fatal-warnings"),
)


@dataclass(frozen=True)
class Program:
    """One program for the machine that a row of accelerators.yaml names.

    `images` is guest-images/, `main` the program's own file there.
    """

    row: Accelerator
    architecture: Architecture
    images: Path
    main: str = f"{MACHINES}/{TRIAL}"

    @property
    def _machine(self) -> Path:
        return self.images / MACHINES / self.row.program

    @property
    def _compiler(self) -> str:
        return f"{self.architecture.triplet}-gcc"

    def _files(self) -> list[Path]:
        """What it is made of: the program, and what it asks of its machine."""
        common = [path for path in (self.images / MACHINES).iterdir() if path.name != TRIAL]
        files = [self.images / self.main, *common, *self._machine.iterdir()]
        return sorted(path for path in files if path.is_file())

    def digest(self) -> str:
        """The program's name in a store; raises HostError without a compiler."""
        texts = [path.read_bytes() for path in self._files()]
        made_with = repr((COMPILE, self.row.program, self.row.flags))
        return digest(made_with, version(self._compiler), *texts)

    def compile(self, target: Path) -> None:
        """Raises HostError with the compiler's words."""
        sources = [str(path) for path in self._files() if path.suffix in (".c", ".S")]
        script = ["-T", str(self._machine / SCRIPT)]
        try:
            capture(
                [self._compiler, *COMPILE, *self.row.flags, *script, "-o", str(target), *sources]
            )
        except CommandError as error:
            raise HostError(
                f"guest-images/{self.main} does not compile for {self.row.architecture}",
                why=error.output,
            ) from error
