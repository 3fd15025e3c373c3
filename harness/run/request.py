# SPDX-License-Identifier: MIT
"""From what a person asked for to a plan, with its kernel source resolved."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.ask.catalog import Catalog, nearest
from harness.ask.plan import make_plan, newest_fitting, stack, subject_of_series
from harness.checks import CHECKS
from harness.errors import PlanError
from harness.host.debian import Archive
from harness.host.store import Cache
from harness.model import (
    Cell,
    Claim,
    Erratum,
    Machine,
    NoiseLimit,
    PatchFile,
    Plan,
    Regime,
    Scenario,
    Series,
    Subject,
)
from harness.source.kernel import Request, offered_versions, resolve
from harness.source.tree import Source

PROGRAM = "./pmu-harness"
DEFAULT_SERIES = "start-stop-callbacks"
DEFAULT_SOURCE = "debian:auto"
DEFAULT_MACHINE = "aarch64-tcg"


@dataclass(frozen=True)
class Asked:
    """The options of `run` that say what is to be judged."""

    series: str | None = None
    patches: tuple[Path, ...] = ()
    source: str = DEFAULT_SOURCE
    machine: str = DEFAULT_MACHINE
    scenarios: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    alone: bool = False
    refresh: bool = False
    repetitions: int | None = None


@dataclass(frozen=True)
class Prepared:
    """A plan, and what it takes to carry it out."""

    plan: Plan
    source: Source
    archive: Archive


def prepare(catalog: Catalog, cache: Cache, asked: Asked, say: Callable[[str], None]) -> Prepared:
    """The plan for what was asked; raises PlanError for what does not exist."""
    series = _series(catalog, asked)
    machine = repeated(catalog.find("machines", asked.machine), asked.repetitions)
    scenarios = scenarios_for(catalog, asked, machine)
    archive = Archive(cache, catalog.architectures[machine.architecture].debian)
    request = Request(cache, archive, asked.refresh, say)
    spec = asked.source
    if spec == DEFAULT_SOURCE:
        spec = "debian:" + newest_fitting(
            offered_versions(request), series, machine.architecture, catalog.series
        )
    source = resolve(spec, request)
    candidate, reference = _subjects(catalog, series, source, machine, asked)
    plan = make_plan(
        source=source.spec,
        series=series.name if series else "",
        # A claim is about the whole suite: some of its scenarios do not decide it.
        claim=series.claim if series and not (asked.scenarios or asked.checks) else Claim(),
        candidate=candidate,
        reference=None if asked.alone else reference,
        machine=machine,
        scenarios=tuple(
            scenario.for_kernel(source.version, machine.architecture).for_machine(machine)
            for scenario in scenarios
        ),
        errata=_errata(catalog, series),
        noise_limits=_noise_limits(catalog, machine),
    )
    return Prepared(plan, source, archive)


def _errata(catalog: Catalog, series: Series | None) -> tuple[Erratum, ...]:
    """The known defects, without those that the series or what it stands on mends."""
    layers = stack(series, catalog.series) if series else []
    mended = {name for layer in layers for name in layer.mends}
    return tuple(erratum for name, erratum in catalog.errata.items() if name not in mended)


def repeated(machine: Machine, repetitions: int | None) -> Machine:
    """The machine with as many repetitions as were asked for.

    Raises PlanError where the machine does the same each time.
    """
    if repetitions is None:
        return machine
    if machine.regime is Regime.EXACT and repetitions > 1:
        raise PlanError(
            f"{machine.name} has nothing to repeat",
            why="on an instruction clock each repetition gives the same bytes",
            advice="--rerun boots again and compares; --machine names a statistical one",
        )
    return machine.model_copy(update={"repetitions": repetitions})


def _noise_limits(catalog: Catalog, machine: Machine) -> tuple[NoiseLimit, ...]:
    """Those that a machine's guests are held to: none where a host cannot reach into them."""
    if machine.regime is Regime.EXACT:
        return ()
    return tuple(catalog.noise_limits.values())


def _series(catalog: Catalog, asked: Asked) -> Series | None:
    """The series that was asked for; none for a patch, or for a tree as it is."""
    if asked.patches and asked.series:
        raise PlanError("--patch and --series exclude each other")
    if asked.patches or (asked.series is None and asked.source.startswith("path:")):
        return None
    found: Series = catalog.find("series", asked.series or DEFAULT_SERIES)
    return found


def scenarios_for(catalog: Catalog, asked: Asked, machine: Machine) -> tuple[Scenario, ...]:
    """Those that were asked for, or all that the machine has what it takes for."""
    if asked.scenarios and asked.checks:
        raise PlanError("--scenario and --check exclude each other")
    if asked.scenarios:
        return tuple(catalog.find("scenarios", name) for name in asked.scenarios)
    wanted = {name for check in asked.checks for name in _family(check)}
    able = [row for row in catalog.scenarios.values() if not row.lacks(machine)]
    return tuple(row for row in able if not asked.checks or wanted & set(row.checks))


def _family(name: str) -> list[str]:
    """The check of a name, or all of a family's; raises PlanError where there is none."""
    found = [check for check in CHECKS if check == name or check.startswith(f"{name}.")]
    if not found:
        known = [*CHECKS, *dict.fromkeys(check.partition(".")[0] for check in CHECKS)]
        raise PlanError(
            f"unknown check {name}{nearest(name, known)}",
            advice="./pmu-harness list names them",
        )
    return found


def _subjects(
    catalog: Catalog, series: Series | None, source: Source, machine: Machine, asked: Asked
) -> tuple[Subject, Subject | None]:
    """(candidate, reference); a tree as it is has no reference."""
    layers = stack(series, catalog.series) if series else []
    target = (source.version, machine.architecture)
    files = {file for layer in layers for file in layer.patches_for(*target)}
    texts = {file: Path(file).read_text(encoding="utf-8") for file in files}

    def subject(of: Series | None) -> Subject:
        return subject_of_series(of, source.spec, *target, catalog=catalog.series, texts=texts)

    if asked.patches:
        bare = subject(None)
        patches = tuple(
            PatchFile(path=str(path), text=path.read_text(encoding="utf-8", errors="replace"))
            for path in asked.patches
        )
        name = f"{bare.name}+{asked.patches[-1].stem}"
        return bare.model_copy(update={"name": name, "patches": patches}), bare
    if series is None:
        return subject(None), None
    below = catalog.series[series.stands_on] if series.stands_on else None
    return subject(series), subject(below)


def repeat_command(plan: Plan, asked: Asked, cell: Cell) -> str:
    """The command that repeats one cell, all its repetitions and its reference included."""
    words = [PROGRAM, "run", "--source", plan.source]
    for patch in asked.patches:
        words += ["--patch", str(patch)]
    if plan.series:
        words += ["--series", plan.series]
    words += ["--machine", cell.machine, "--scenario", cell.scenario, "--rerun"]
    if asked.repetitions is not None:
        words += ["--repetitions", str(asked.repetitions)]
    return shlex.join([*words, *(["--alone"] if asked.alone else [])])
