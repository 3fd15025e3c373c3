# SPDX-License-Identifier: MIT
"""What of a candidate's patches its guests have, as its build and the reference's tell."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from harness.ask.catalog import Catalog
from harness.build import kbuild, kconfig
from harness.build.alone import compile_alone
from harness.build.kernel import Builder, Kernel
from harness.host.memory import code
from harness.host.store import digest
from harness.model import Machine, TouchedFile
from harness.verdict.exercise import Builds, left_out, touched


@dataclass(frozen=True)
class Own:
    """What of a subject's guests is its own: the kernel, and the selftests where they run."""

    kernel: Kernel
    selftests: Path | None


def touched_files(
    builder: Builder, before: Own, after: Own, elsewhere: Mapping[str, str]
) -> tuple[TouchedFile, ...]:
    """Each file that the candidate changes of its reference, and what of the guests it is.

    `elsewhere` has a machine of each other architecture.  What the config leaves out is compiled
    by itself; raises BuildError where that fails.
    """

    def find() -> list[Any]:
        return [file.model_dump(mode="json") for file in _found(builder, before, after, elsewhere)]

    kernels = before.kernel.digest, after.kernel.digest
    key = digest(code(), *kernels, str(before.selftests), str(after.selftests), repr(elsewhere))
    rows = builder.memory.known("touched", key, builder.source.spec, find)
    return tuple(TouchedFile(**row) for row in rows)


def _found(
    builder: Builder, before: Own, after: Own, elsewhere: Mapping[str, str]
) -> tuple[TouchedFile, ...]:
    reference, candidate = before.kernel, after.kernel
    changes = builder.changes(reference.subject, candidate.subject)
    builds = Builds(
        same_image=reference.facts["image_sha256"] == candidate.facts["image_sha256"],
        inputs=reference.inputs | candidate.inputs,
        selftests=before.selftests != after.selftests,
        architecture=builder.architecture.kernel,
        elsewhere=elsewhere,
        symbols={},
        alone={},
    )
    left = left_out(changes, builds)
    builds = replace(builds, alone=compile_alone(builder, reference, candidate, left))
    return touched(changes, replace(builds, symbols=_symbols(builder, candidate, left)))


def _symbols(builder: Builder, kernel: Kernel, paths: list[str]) -> dict[str, list[str]]:
    """The symbols that the config does not set, of those that ask for each source."""
    config = kconfig.parse((kernel.folder / "config").read_text(encoding="utf-8"))
    found = {}
    for path in paths:
        folder = builder.source.tree.work / PurePosixPath(path).parent
        makefiles = [folder / "Makefile", folder / "Kbuild", folder.parent / "Makefile"]
        texts = [m.read_text(errors="replace") for m in makefiles if m.is_file()]
        asked = kbuild.symbols_for(path, texts)
        found[path] = [symbol for symbol in asked if config.get(symbol, "n") == "n"]
    return found


def machines_elsewhere(catalog: Catalog, machine: Machine) -> dict[str, str]:
    """A machine that is alike for each other architecture, by the kernel's name of that."""
    found: dict[str, str] = {}
    for row in catalog.machines.values():
        kernel = catalog.architectures[row.architecture].kernel
        alike = row.accelerator == machine.accelerator and not row.outer
        if alike and row.architecture != machine.architecture:
            found.setdefault(kernel, row.name)
    return found
