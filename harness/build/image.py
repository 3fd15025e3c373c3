# SPDX-License-Identifier: MIT
"""Building the guest image: busybox, the probes and init, as one initramfs."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.build import bare
from harness.build.kernel import toolchain
from harness.build.recipe import (
    APPLETS,
    COMPILE,
    FOLDERS,
    INIT,
    KEYS,
    MODULES_PLACE,
    PROBES,
    REPRODUCER,
    VM,
    WAIT,
)
from harness.errors import HostError
from harness.host.debian import Archive, extract
from harness.host.process import CommandError, capture, logged
from harness.host.store import Cache, digest, file_digest, write_text
from harness.model import Architecture

INITRAMFS = "initramfs.cpio"


@dataclass(frozen=True)
class GuestImage:
    """The part of the initramfs that is the same for every cell of an architecture."""

    initramfs: Path
    sha256: str


def pack(folder: Path, target: Path) -> None:
    """A folder as a cpio archive that depends on names and contents only."""
    names = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    for name in (Path(), *names):
        os.utime(folder / name, (0, 0), follow_symlinks=False)
    listing = "".join(f"{name}\0" for name in names).encode()
    argv = ["cpio", "--create", "--quiet", "--format=newc", "--null", "--reproducible"]
    argv += ["--owner=0:0", f"--file={target}"]
    capture(argv, cwd=folder, stdin=listing)


def overlaid(
    target: Path,
    image: Path,
    texts: Mapping[str, str],
    modules: Sequence[Path],
    *,
    keys: Mapping[str, bytes] | None = None,
    reproducer: Path | None = None,
) -> None:
    """An initramfs: the image's, and behind it the part that is one boot's."""
    part = target.with_suffix(".overlay")
    overlay(part, texts, modules, keys, reproducer)
    target.write_bytes(image.read_bytes() + part.read_bytes())
    part.unlink()


def overlay(
    target: Path,
    texts: Mapping[str, str],
    modules: Sequence[Path],
    keys: Mapping[str, bytes] | None = None,
    reproducer: Path | None = None,
) -> None:
    """The part of the initramfs that is one boot's.

    Texts by name, modules, keys for SSH, a person's program.

    The kernel unpacks concatenated archives one after the other
    (Documentation/driver-api/early-userspace/buffer-format.rst).
    """
    folder = target.with_suffix(".d")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / MODULES_PLACE).mkdir(parents=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="ascii")
    for module in modules:
        shutil.copyfile(module, folder / MODULES_PLACE / module.name)
    if reproducer:
        shutil.copyfile(reproducer, folder / REPRODUCER)
        (folder / REPRODUCER).chmod(0o755)
    if keys:
        (folder / KEYS).mkdir()
        for name, content in keys.items():
            (folder / KEYS / name).write_bytes(content)
    pack(folder, target)
    shutil.rmtree(folder)


class ImageBuilder:
    """Builds the guest image of one architecture from guest-images/."""

    def __init__(
        self,
        cache: Cache,
        architecture: Architecture,
        archive: Archive,
        sources: Path,
        *,
        say: Callable[[str], None],
        vm: bare.Program | None,
    ) -> None:
        self.cache = cache
        self.architecture = architecture
        self.archive = archive
        self.probes = sources / "probes"
        self.saved = sources / "saved"
        self.init = sources / "rootfs" / INIT
        self.say = say
        # What a guest of the guest's kernel executes, where the architecture has it.
        self.vm = vm

    def build(self) -> GuestImage:
        """The image, from the store if it is there; raises HostError."""
        probes = (path for path in sorted(self.probes.iterdir()) if path.is_file())
        inputs = [path.read_bytes() for path in (*probes, *sorted(self.saved.iterdir()))]
        name = digest(
            self.architecture.model_dump_json(),
            toolchain(self.architecture),
            repr((FOLDERS, APPLETS, PROBES, WAIT, COMPILE)),
            self.init.read_bytes(),
            *([self.vm.digest()] if self.vm else []),
            *inputs,
        )
        place = self.cache.artifact(f"image-{name}", self.architecture.name, self._make)
        sha256 = (place / "sha256").read_text().strip()
        return GuestImage(place / INITRAMFS, sha256)

    def _make(self, new: Path) -> None:
        root = new / "root"
        for folder in FOLDERS:
            (root / folder).mkdir(parents=True)
        shutil.copyfile(self.init, root / INIT)
        (root / INIT).chmod(0o755)
        self.say(f"fetching busybox for {self.architecture.debian}")
        add_busybox(self.archive, new, root / "bin", APPLETS)
        for probe, files in PROBES.items():
            sources = [self.probes / file for file in files]
            compile_program(self.architecture, sources, root / "probes" / probe, new / "build.log")
        sources = [self.saved / file for file in WAIT]
        compile_program(self.architecture, sources, root / "probes" / "wait", new / "build.log")
        if self.vm:
            self.vm.compile(root / VM)
        pack(root, new / INITRAMFS)
        shutil.rmtree(root)
        write_text(new / "sha256", file_digest(new / INITRAMFS) + "\n")


def add_busybox(archive: Archive, scratch: Path, folder: Path, applets: Sequence[str]) -> None:
    """Debian's static busybox, and links to it for what an init calls; raises HostError."""
    package = archive.download("busybox-static", scratch)
    extract(package, scratch / "busybox")
    found = [scratch / "busybox" / place / "busybox" for place in ("bin", "usr/bin")]
    binary = next((path for path in found if path.is_file()), None)
    if binary is None:
        raise HostError("Debian's busybox-static holds no busybox", evidence=package)
    shutil.copyfile(binary, folder / "busybox")
    (folder / "busybox").chmod(0o755)
    for name in applets:
        (folder / name).symlink_to("busybox")
    shutil.rmtree(scratch / "busybox")
    package.unlink()


def compile_program(
    architecture: Architecture, sources: Sequence[Path], target: Path, log: Path
) -> None:
    """A static program for the guest; raises HostError with the compiler's words."""
    compiler = f"{architecture.triplet}-gcc"
    try:
        logged([compiler, *COMPILE, "-o", str(target), *map(str, sources)], log)
    except CommandError as error:
        raise HostError(
            f"{target.name} does not compile for {architecture.name}", why=error.output
        ) from error
