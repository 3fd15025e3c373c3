# SPDX-License-Identifier: MIT
"""Building an outer system: Debian's kernel, and an initramfs with KVM's modules and QEMU."""

import lzma
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.build.image import add_busybox, compile_program, pack
from harness.build.kernel import toolchain
from harness.build.recipe import COMPILE, INIT, WAIT
from harness.errors import HostError
from harness.host.debian import Archive, extract
from harness.host.process import capture
from harness.host.store import Cache, digest, file_digest, write_text
from harness.model import Architecture, Outer

KERNEL = "kernel"
INITRAMFS = "initramfs.cpio"

_APPLETS = ("insmod", "ln", "mount", "poweroff")
_FOLDERS = ("bin", "dev", "guest", "modules", "proc", "run", "sys", "tmp")
_NEEDED = re.compile(r"\(NEEDED\).*\[(.+)\]")
_INTERPRETER = re.compile(r"program interpreter: /(\S+)\]")


@dataclass(frozen=True)
class OuterImage:
    """An outer system as it boots, without the guest that runs in it."""

    row: Outer
    kernel: Path
    initramfs: Path
    sha256: str


class OuterBuilder:
    """Builds the image of one outer system from Debian's packages and guest-images/outer."""

    def __init__(
        self,
        cache: Cache,
        row: Outer,
        architecture: Architecture,
        archive: Archive,
        *,
        sources: Path,
        say: Callable[[str], None],
    ) -> None:
        self.cache = cache
        self.row = row
        self.architecture = architecture
        self.archive = archive
        self.saved = sources / "saved"
        self.programs = {
            "launch": [sources / "outer" / "launch.c"],
            "wait": [self.saved / file for file in WAIT],
        }
        self.init = sources / "outer" / INIT
        self.say = say

    def build(self) -> OuterImage:
        """The image, from the store if it is there; raises HostError."""
        row = self.row
        name = digest(
            self.architecture.model_dump_json(),
            toolchain(self.architecture),
            repr((_FOLDERS, _APPLETS, COMPILE, row.kernel, row.modules, row.packages)),
            repr((row.programs, row.data)),
            self.init.read_bytes(),
            *(path.read_bytes() for path in sorted(self.saved.iterdir())),
            *(path.read_bytes() for files in self.programs.values() for path in files),
        )
        place = self.cache.artifact(f"outer-{name}", row.name, self._make)
        return OuterImage(
            row, place / KERNEL, place / INITRAMFS, (place / "sha256").read_text().strip()
        )

    def _make(self, new: Path) -> None:
        root, system, package = new / "root", new / "system", new / "kernel-package"
        for name in _FOLDERS:
            (root / name).mkdir(parents=True)
        self.say(f"fetching a kernel with KVM and QEMU for {self.architecture.debian}")
        add_busybox(self.archive, new, root / "bin", _APPLETS)
        package.mkdir()
        kernel = self.archive.newest_kernel(self.row.kernel)
        extract(self.archive.download(kernel, package), package)
        for archive in self.archive.download_all(self.row.packages, new / "packages"):
            extract(archive, system)
        shutil.copyfile(next((package / "boot").glob("vmlinuz-*")), new / KERNEL)
        for number, module in enumerate(self.row.modules):
            _add_module(package, module, root / "modules" / f"{number}-{module}.ko")
        add_programs(system, self.row.programs, root, self.architecture.triplet)
        for name in self.row.data:
            _copy(_found(system, Path(name).name), root / name)
        for name, sources in self.programs.items():
            compile_program(self.architecture, sources, root / name, new / "build.log")
        shutil.copyfile(self.init, root / INIT)
        (root / INIT).chmod(0o755)
        pack(root, new / INITRAMFS)
        write_text(new / "sha256", digest(file_digest(new / KERNEL), file_digest(new / INITRAMFS)))
        for folder in (root, system, package, new / "packages"):
            shutil.rmtree(folder)


def _found(folder: Path, name: str) -> Path:
    """The file of a name anywhere below a folder; raises HostError."""
    path = next((path for path in sorted(folder.rglob(name)) if path.is_file()), None)
    if path is None:
        raise HostError(
            f"Debian's packages hold no {name}",
            why="another release may have it elsewhere",
            advice="change the row in configs/outers.yaml",
        )
    return path


def _add_module(package: Path, name: str, target: Path) -> None:
    """A kernel module, unpacked where the package holds it packed."""
    module = _found(package, f"{name}.ko*")
    content = module.read_bytes()
    target.write_bytes(lzma.decompress(content) if module.suffix == ".xz" else content)


def add_programs(system: Path, programs: tuple[str, ...], root: Path, triplet: str) -> None:
    """Programs below `system` into `root`, with the shared libraries that they name.

    The libraries go where Debian's dynamic linker looks first, /lib/TRIPLET.
    """
    libraries = root / "lib" / triplet
    libraries.mkdir(parents=True)
    todo = [system / program for program in programs]
    for path in todo:
        _copy(path, root / path.relative_to(system))
        loader = _INTERPRETER.search(capture(["readelf", "--program-headers", str(path)]))
        if loader:
            _copy(_found(system, Path(loader[1]).name), root / loader[1])
    while todo:
        for name in _NEEDED.findall(capture(["readelf", "--dynamic", str(todo.pop())])):
            if not (libraries / name).exists():
                found = _found(system, name)
                _copy(found, libraries / name)
                todo.append(found)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755)
