# SPDX-License-Identifier: MIT
"""From what was asked to a plan: subjects x machine x scenarios, as cells."""

from collections.abc import Iterable

from harness.errors import PlanError
from harness.model import (
    Cell,
    Claim,
    Erratum,
    Machine,
    NoiseLimit,
    PatchFile,
    Plan,
    Role,
    Scenario,
    Series,
    Subject,
    Variant,
    parse_version,
)


def stack(series: Series, catalog: dict[str, Series]) -> list[Series]:
    """A series and all that it stands on, lowest first.

    Raises PlanError when one is missing or they stand on each other.
    """
    layers = [series]
    while (below := layers[0].stands_on) is not None:
        if below not in catalog:
            raise PlanError(f"series {layers[0].name} stands on {below}, which does not exist")
        if catalog[below] in layers:
            raise PlanError(f"series {below} stands on itself")
        layers.insert(0, catalog[below])
    return layers


def fits(series: Series, version: str, architecture: str, catalog: dict[str, Series]) -> bool:
    """True if every layer has patches for this kernel release and architecture."""
    return all(layer.patches_for(version, architecture) for layer in stack(series, catalog))


def newest_fitting(
    versions: Iterable[str],
    series: Series | None,
    architecture: str,
    catalog: dict[str, Series],
) -> str:
    """The newest kernel version among those offered that a series has patches for.

    Raises PlanError when there is none.
    """
    offered = sorted(versions, key=parse_version, reverse=True)
    for version in offered:
        if series is None or fits(series, version, architecture, catalog):
            return version
    wanted = f"series {series.name} fits" if series else "there is to build"
    raise PlanError(
        f"no kernel source that {wanted}",
        why="offered: " + (", ".join(offered) or "none"),
        advice="name one with --source debian:VERSION or --source path:DIR",
    )


def short_version(version: str) -> str:
    """6.12.117 as 6.12."""
    return ".".join(str(number) for number in parse_version(version)[:2])


def _ranges(series: Series) -> str:
    """The kernels and architectures that a series has patches for."""
    found = {
        str(patch.versions) + (f" on {patch.architecture}" if patch.architecture else "")
        for patch in series.patches
    }
    return "; ".join(sorted(found))


def subject_of_series(
    series: Series | None,
    source: str,
    version: str,
    architecture: str,
    *,
    catalog: dict[str, Series],
    files: dict[str, PatchFile],
) -> Subject:
    """The subject that a series makes of a source, of patch `files` by their names.

    Raises PlanError when the series has no patch for this kernel.
    """
    base = short_version(version)
    if series is None:
        return Subject(name=base, source=source, version=version, patches=())
    patches = []
    for layer in stack(series, catalog):
        names = layer.patches_for(version, architecture)
        if not names:
            raise PlanError(
                f"series {layer.name} has no patch for kernel {version} on {architecture}",
                why=f"it is for {_ranges(layer)}",
                advice="choose a kernel with --source, or add a patch to its series.yaml",
            )
        patches += [files[name] for name in names]
    return Subject(
        name=f"{base}+{series.name}", source=source, version=version, patches=tuple(patches)
    )


def make_plan(
    *,
    source: str,
    series: str,
    claim: Claim,
    candidate: Subject,
    reference: Subject | None,
    machine: Machine,
    scenarios: tuple[Scenario, ...],
    variants: tuple[Variant, ...] = (),
    kconfig: tuple[str, ...] = (),
    errata: tuple[Erratum, ...] = (),
    noise_limits: tuple[NoiseLimit, ...] = (),
    strict: bool = False,
    allow_unbuilt: bool = False,
    fail_under: float | None = None,
) -> Plan:
    """Expand into cells, the reference's before the candidate's.

    All scenarios come once before one is repeated: a bad minute of the host is not all
    of one scenario's.  Raises PlanError for a scenario that takes more than the machine has.
    """
    for scenario in scenarios:
        lacking = scenario.lacks(machine)
        if lacking:
            raise PlanError(
                f"scenario {scenario.name} is not for machine {machine.name}",
                why=f"it takes {lacking}",
                advice="choose another one with --machine",
            )
    subjects = {Role.REFERENCE: reference} if reference else {}
    subjects[Role.CANDIDATE] = candidate
    cells = tuple(
        Cell(
            subject=subject.name,
            role=role,
            machine=machine.name,
            scenario=scenario.name,
            repetition=repetition,
        )
        for role, subject in subjects.items()
        for repetition in _numbers(machine.repetitions)
        for scenario in scenarios
    )
    return Plan(
        source=source,
        series=series,
        claim=claim,
        subjects=subjects,
        machine=machine,
        variants=variants,
        kconfig=kconfig,
        scenarios=scenarios,
        errata=errata,
        noise_limits=noise_limits,
        strict=strict,
        allow_unbuilt=allow_unbuilt,
        fail_under=fail_under,
        cells=cells,
    )


def _numbers(repetitions: int) -> list[int]:
    """What the guests of one combination are called: 1, 2, ...; 0 where there is only one."""
    return list(range(1, repetitions + 1)) if repetitions > 1 else [0]
