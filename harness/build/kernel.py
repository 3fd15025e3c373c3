# SPDX-License-Identifier: MIT
"""From a subject to an image and the modules for it, in a persistent build folder."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.build import kbuild, kconfig
from harness.build.compile import LOG, prepare, run_step
from harness.build.recipe import MODULES
from harness.errors import BuildError, HostError, OwnPartError
from harness.host import sandbox, stranger
from harness.host.bounds import Bounds
from harness.host.memory import Memory, code
from harness.host.process import version
from harness.host.store import Cache, digest, file_digest, update_files, write_json, write_text
from harness.model import Architecture, Fragment, Subject, Variant
from harness.source.apply import patched
from harness.source.tree import Change, Source

# Fixed, so that a patch that changes no code gives the identical image.
REPRODUCIBLE = {
    "KBUILD_BUILD_TIMESTAMP": "2020-01-01",
    "KBUILD_BUILD_USER": "pmu-harness",
    "KBUILD_BUILD_HOST": "localhost",
    "KBUILD_BUILD_VERSION": "1",
}
IMAGE = "Image"
SYMBOLS = "System.map"
VMLINUX = "vmlinux"
INPUTS = "inputs"
# What an artifact holds: another one is made where this changes.
_LAYOUT = "with inputs, with test PMUs"
DEBUG = "kconfig/debug.config"
_MODULES = "modules"
_CONFIG_BYTES = 16 << 20


@dataclass(frozen=True)
class Kernel:
    """What a build left in the store: the image, the modules, and what they were made of."""

    subject: Subject
    folder: Path
    digest: str

    @cached_property
    def facts(self) -> dict[str, str]:
        """`image_sha256`, `pmu_observer.ko_sha256`, `toolchain`, `sandbox`, ..."""
        return dict(json.loads((self.folder / "build.json").read_text(encoding="utf-8")))

    @cached_property
    def inputs(self) -> frozenset[str]:
        """Paths below the tree of the files that it was made of."""
        text = (self.folder / INPUTS).read_text(encoding="utf-8", errors="surrogateescape")
        return frozenset(text.splitlines())


def toolchain(architecture: Architecture) -> str:
    """The cross compiler's first line of --version."""
    return version(f"{architecture.triplet}-gcc")


@dataclass(frozen=True)
class Configuration:
    """What a kernel is configured with beside its architecture's fragments, and built by.

    With `debug` it has DWARF in a vmlinux for gdb.  Each has a build folder of its own.
    """

    variant: Variant | None = None
    added: tuple[Fragment, ...] = ()
    debug: bool = False

    @property
    def suffix(self) -> str:
        """What tells its build folder from others of the same source and architecture."""
        words = [self.variant.name] if self.variant else []
        words += [f"kconfig-{digest(*(one.text for one in self.added))[:8]}"] if self.added else []
        words += ["gdb"] if self.debug else []
        return "".join(f"-{word}" for word in words)

    @property
    def llvm(self) -> bool:
        """True if clang and lld build it."""
        return self.variant is not None and self.variant.llvm

    def files(self, version: str) -> tuple[str, ...]:
        """Its fragments, of configs/, for one kernel release, in order."""
        rows = self.variant.kconfig if self.variant else ()
        return kconfig.fragments_for(rows, version) + ((DEBUG,) if self.debug else ())


_PLAIN = Configuration()


def _content(subject: Subject) -> list[bytes]:
    """All of a subject's patches that decides what they make of a source."""
    return [b"%d" % patch.flowed + patch.data for patch in subject.patches]


class Builder:
    """Builds the subjects of one source for one architecture, one after the other."""

    def __init__(
        self,
        cache: Cache,
        source: Source,
        architecture: Architecture,
        *,
        configs: Path,
        modules: Path,
        say: Callable[[str], None],
        configuration: Configuration = _PLAIN,
    ) -> None:
        self.cache = cache
        self.memory = Memory(cache)
        self.configuration = configuration
        self.bounds = Bounds()
        self.source = source
        self.architecture = architecture
        self.modules = modules
        self.say = say
        self.toolchain = version("clang") if configuration.llvm else toolchain(architecture)
        name = f"{source.tree.folder.name}-{architecture.name}{configuration.suffix}"
        self.folder = cache.builds / name
        files = kconfig.fragments_for(architecture.kconfig, source.version)
        files += configuration.files(source.version)
        texts = [(configs / file).read_text(encoding="utf-8") for file in files]
        self.fragment = "".join([*texts, *(one.text + "\n" for one in configuration.added)])
        # The one log of the build that runs now; the artifact gets a copy.
        self.log = self.folder / LOG

    def check(self, subject: Subject) -> None:
        """See that the patches apply, before anything is built; raises PatchError."""
        self.difference_of(subject)

    def difference_of(self, subject: Subject, below: tuple[str, ...] = ()) -> str:
        """Digest of what a subject's patches change of its source, or of folders of it.

        Raises PatchError.
        """

        def find() -> str:
            with self.trees(subject) as (pristine, tree):
                return self.source.tree.difference(pristine, tree, below)

        return str(self._known("difference", find, *_content(subject), *below))

    def _known(self, kind: str, find: Callable[[], Any], *parts: str | bytes) -> Any:
        """What git says of the source, which is asked once: it follows from what is in `parts`."""
        key = digest(code(), self.source.digest, *parts)
        return self.memory.known(kind, key, self.source.spec, find)

    def _patched(self, subject: Subject) -> tuple[str, str]:
        """(pristine tree, patched tree) of a subject, as git knows them by now.

        Of an archive that is ever more files: a tree of before lacks some, and to check it out
        would remove them.
        """
        return patched(self.source.tree, self.source.pristine, subject.patches)

    def build(self, subject: Subject) -> Kernel:
        """The subject's kernel, from the store if it is there.

        Raises PatchError, BuildError or OwnPartError, with the log as evidence.
        """
        kernel = self._kernel(subject, self.difference_of(subject))
        self.cache.use(kernel.folder, self.source.spec)
        made = kernel.folder / "build.json"
        if not made.exists():
            with self.trees(subject) as (_, tree):
                if not made.exists():
                    self.source.tree.checkout(tree)
                    self._make(kernel, tree)
        return kernel

    def changes(self, reference: Subject, candidate: Subject) -> tuple[Change, ...]:
        """What the candidate's source changes of the reference's, path by path."""
        with self._both(reference, candidate) as (before, after):
            return self.source.tree.changed(before, after)

    def difference(self, reference: Subject, candidate: Subject, paths: Sequence[str]) -> str:
        """What the candidate's source changes in some files, as `diff -u` has it."""

        def find() -> str:
            with self._both(reference, candidate) as (before, after):
                return self.source.tree.diff(before, after, paths)

        both = digest(*_content(reference)), digest(*_content(candidate))
        return str(self._known("diff", find, *both, *paths))

    @contextmanager
    def _both(self, reference: Subject, candidate: Subject) -> Iterator[tuple[str, str]]:
        """Both subjects' trees, as git knows them, to ourselves."""
        with self.source.locked(self.cache, self.say):
            # Twice: of an archive, git knows only what it was asked for.
            subjects = (candidate, reference, candidate)
            _, (_, before), (_, after) = [self._patched(subject) for subject in subjects]
            yield before, after

    @contextmanager
    def configured(self, subject: Subject) -> Iterator[Path]:
        """The work tree with a subject's sources, and the build folder with its .config.

        Both to ourselves; raises BuildError.
        """
        with self.trees(subject) as (_, tree):
            self.source.tree.checkout(tree)
            self._open_folder()
            self._configure(tree)
            yield self.source.tree.work

    @contextmanager
    def trees(self, subject: Subject) -> Iterator[tuple[str, str]]:
        """(pristine tree, patched tree) of a subject, the work tree to ourselves."""
        with self.source.locked(self.cache, self.say):
            yield self._patched(subject)

    def _kernel(self, subject: Subject, difference: str) -> Kernel:
        modules = [path.read_bytes() for path in sorted(self.modules.iterdir())]
        name = digest(
            self.source.digest,
            difference,
            self.architecture.model_dump_json(),
            self.fragment,
            self.toolchain,
            json.dumps(REPRODUCIBLE),
            _LAYOUT,
            *modules,
        )
        return Kernel(subject, self.cache.artifacts / f"kernel-{name}", name)

    def _make(self, kernel: Kernel, tree: str) -> None:
        began = time.monotonic()
        self._open_folder()
        self._configure(tree)
        self.make("kernel", Path(self.architecture.image).name, "modules")
        self._modules()
        with self.cache.publish(kernel.folder) as new:
            kept = [(self.architecture.image, IMAGE), (".config", "config"), (SYMBOLS, SYMBOLS)]
            kept += [(f"{_MODULES}/{name}", name) for name in MODULES]
            kept += [(VMLINUX, VMLINUX)] if self.configuration.debug else []
            for name, target in [*kept, (LOG, LOG)]:
                self._keep(name, new / target)
            made_of = "\n".join(kbuild.inputs(self.folder, self.source.tree.work))
            write_text(new / INPUTS, made_of)
            write_json(
                new / "build.json",
                {
                    "subject": kernel.subject.name,
                    "source": self.source.spec,
                    "source_digest": self.source.digest,
                    "version": self.source.version,
                    "image_sha256": file_digest(new / IMAGE),
                    **{f"{name}_sha256": file_digest(new / name) for name in MODULES},
                    "toolchain": self.toolchain,
                    "sandbox": sandbox.why_unavailable() or "bubblewrap, no network",
                    "seconds": f"{time.monotonic() - began:.1f}",
                },
            )

    def _keep(self, name: str, target: Path) -> None:
        """Copy a file that the build made; raises BuildError where it is none."""
        try:
            stranger.copy(self.folder, name, target)
        except (stranger.NotPlainError, FileNotFoundError) as error:
            raise BuildError(
                "the kernel does not build: it made something else than a kernel",
                why=str(error),
                evidence=self.log,
            ) from error

    def _open_folder(self) -> None:
        """Have the build folder, with no log in it."""
        self.cache.use(self.folder, f"{self.source.spec}, {self.architecture.name}")
        prepare(self.folder, self.source.tree)
        self.log.unlink(missing_ok=True)

    def _configure(self, tree: str) -> None:
        """Make .config from the fragments, unless nothing that it depends on changed."""
        fragment = self.folder / "fragment.config"
        stamp = self.folder / "config.stamp"
        key = digest(self.fragment, self.toolchain, self.source.tree.kconfig_digest(tree))
        if stranger.text(self.folder, stamp.name) == key and (self.folder / ".config").exists():
            return
        stamp.unlink(missing_ok=True)
        write_text(fragment, self.fragment)
        self.make("kconfig", f"KCONFIG_ALLCONFIG={fragment}", "allnoconfig")
        got = self._config()
        lost = kconfig.lost(self.fragment, got)
        added = "".join(one.text + "\n" for one in self.configuration.added)
        if theirs := kconfig.lost(added, got):
            raise HostError(
                f"kernel {self.source.version} does not take what --kconfig adds",
                why="\n".join(theirs),
                evidence=self.folder / ".config",
                advice="a symbol that it lacks, or one with a dependency that is not set: add that "
                "to the file as well",
            )
        if lost:
            raise OwnPartError(
                f"the harness's kconfig is not for kernel {self.source.version}",
                why="\n".join(lost),
                evidence=self.folder / ".config",
                advice="it lacks a symbol, or a dependency of it is not set: give the fragment of "
                "configs/kconfig a range in configs/architectures.yaml",
            )
        write_text(stamp, key)

    def _config(self) -> str:
        """What kconfig made; raises BuildError where that is no config."""
        try:
            return stranger.read(self.folder, ".config", _CONFIG_BYTES).decode(errors="replace")
        except (stranger.NotPlainError, FileNotFoundError) as error:
            raise BuildError(
                "kconfig makes no config", why=str(error), evidence=self.log
            ) from error

    def _modules(self) -> None:
        """Build the modules against this subject, in a folder; raises OwnPartError."""
        place = self.folder / _MODULES
        update_files(self.modules, place)
        try:
            self.make("modules of the harness", f"M={place}", "modules")
        except BuildError as error:
            raise OwnPartError(
                f"the harness's modules do not compile for kernel {self.source.version}",
                why=error.why,
                evidence=error.evidence,
                advice="make guest-images/modules go with what this kernel changed; compat.h "
                "there has what differs between kernels",
            ) from error

    def make(
        self, what: str, *targets: str, below: str = "", env: Mapping[str, str] | None = None
    ) -> None:
        """Run make in the tree, or in a folder of it, confined to the build folder.

        gcc compiles what is in a folder of it: programs, for which clang would need a libc of
        the architecture's.  Raises BuildError, or HostError where the disk is full.
        """
        tree = self.source.tree.work
        argv = ["make", "-C", str(tree / below), f"O={self.folder}", f"-j{os.cpu_count()}"]
        argv += [f"ARCH={self.architecture.kernel}"]
        argv += [f"CROSS_COMPILE={self.architecture.triplet}-"]
        argv += ["LLVM=1"] if self.configuration.llvm and not below else []
        argv += targets
        built_with = {**REPRODUCIBLE, **(env or {})}
        run_step(what, argv, self.folder, readable=[tree], env=built_with, bounds=self.bounds)
