# SPDX-License-Identifier: MIT
"""Who builds what the guests of a plan are made of."""

from collections.abc import Mapping
from dataclasses import dataclass

from harness.ask.catalog import Catalog
from harness.build import bare
from harness.build.disk import DiskBuilder
from harness.build.image import ImageBuilder
from harness.build.kernel import Builder, Configuration
from harness.build.outer import OuterBuilder
from harness.build.recipe import VM_MAIN
from harness.host.progress import Progress
from harness.host.store import Cache
from harness.model import Architecture, Plan, Variant
from harness.run.request import Prepared


@dataclass(frozen=True)
class Builders:
    """Of one source and one machine: kernels, the initramfs, the disk with perf, what is around.

    Kernels by the names of the plan's variants, the plain one's being empty.
    """

    kernels: Mapping[str, Builder]
    image: ImageBuilder
    disk: DiskBuilder
    outer: OuterBuilder | None

    @property
    def any_kernel(self) -> Builder:
        """The first: what is asked of it depends on no configuration."""
        return next(iter(self.kernels.values()))


def builders_for(
    prepared: Prepared, catalog: Catalog, cache: Cache, progress: Progress, *, debug: bool = False
) -> Builders:
    """The builders of a plan's machine; kernels have DWARF with `debug`."""
    machine = prepared.plan.machine
    architecture = catalog.architectures[machine.architecture]
    sources = catalog.root / "guest-images"

    def kernel(variant: Variant | None) -> Builder:
        return Builder(
            cache,
            prepared.source,
            architecture,
            configs=catalog.configs,
            modules=sources / "modules",
            say=progress.say,
            configuration=Configuration(variant, prepared.added, debug),
        )

    return Builders(
        kernels={name: kernel(variant) for name, variant in _configurations(prepared.plan)},
        image=ImageBuilder(
            cache,
            architecture,
            prepared.archive,
            sources,
            say=progress.say,
            vm=_vm(architecture, catalog),
        ),
        disk=DiskBuilder(cache, architecture, prepared.archive, progress.say),
        outer=_outer(prepared, catalog, cache, progress),
    )


def _configurations(plan: Plan) -> list[tuple[str, Variant | None]]:
    """Those that the plan's scenarios run under, in its order."""
    rows = {variant.name: variant for variant in plan.variants}
    names = dict.fromkeys(scenario.variant for scenario in plan.scenarios)
    return [(name, rows.get(name)) for name in names]


def _vm(architecture: Architecture, catalog: Catalog) -> bare.Program | None:
    """What virtual machines of a guest's kernel execute, where accelerators.yaml has a machine."""
    rows = catalog.accelerators.values()
    row = next((row for row in rows if row.architecture == architecture.name), None)
    if row is None:
        return None
    return bare.Program(row, architecture, catalog.root / "guest-images", VM_MAIN)


def _outer(
    prepared: Prepared, catalog: Catalog, cache: Cache, progress: Progress
) -> OuterBuilder | None:
    """The builder of the outer system that the machine's row names."""
    name = prepared.plan.machine.outer
    if name is None:
        return None
    row = catalog.find("outers", name)
    architecture = catalog.find("architectures", row.architecture)
    sources = catalog.root / "guest-images"
    return OuterBuilder(
        cache, row, architecture, prepared.archive, sources=sources, say=progress.say
    )
