# SPDX-License-Identifier: MIT
"""The configurations that a run's kernels are built in, and its scenarios under each."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.ask.catalog import Catalog, nearest
from harness.errors import PlanError
from harness.model import PLAIN, Machine, Scenario, Variant


@dataclass(frozen=True)
class Varied:
    """A plan's scenarios, and for a person what is not among them, and why."""

    scenarios: tuple[Scenario, ...]
    left_out: tuple[str, ...]


def variants_for(catalog: Catalog, names: Sequence[str]) -> tuple[Variant | None, ...]:
    """The rows of these names, None being the plain one; raises PlanError for an unknown one."""
    known = [PLAIN, *catalog.variants]
    for name in names:
        if name not in known:
            raise PlanError(
                f"unknown variant {name}{nearest(name, known)}",
                advice=f"known: {', '.join(known)}",
            )
    wanted = dict.fromkeys(names or (PLAIN,))
    return tuple(catalog.variants.get(name) for name in wanted)


def under(
    variants: Sequence[Variant | None],
    scenarios: Sequence[Scenario],
    machine: Machine,
    version: str,
    *,
    by_name: bool,
) -> Varied:
    """Scenarios under each variant, one variant after the other.

    Left out are those that lack something there; raises PlanError for one that was asked for
    `by_name`, for a variant that the kernel has not, and where nothing is left of a variant.
    """
    found: list[Scenario] = []
    left_out: list[str] = []
    for variant in variants:
        if variant is None:
            found += scenarios
            continue
        _see_that_it_is_for(variant, machine, version)
        mine = {scenario.name: _under(variant, scenario, machine) for scenario in scenarios}
        lacking = [f"{name} ({why})" for name, (_, why) in mine.items() if why]
        kept = [scenario for scenario, _ in mine.values() if scenario]
        if lacking and (by_name or not kept):
            raise PlanError(
                f"not under variant {variant.name}: {', '.join(lacking)}",
                advice="configs/variants.yaml says what it leaves out; --variant names another one",
            )
        found += kept
        if lacking:
            left_out.append(f"{variant.name} leaves out {', '.join(lacking)}")
    return Varied(tuple(found), tuple(left_out))


def _under(variant: Variant, scenario: Scenario, machine: Machine) -> tuple[Scenario | None, str]:
    """A scenario under a variant, or why there is none."""
    lacking = scenario.lacks(variant.on(machine))
    if lacking:
        return None, f"it takes {lacking} there"
    found = variant.of(scenario)
    return found, "" if found else f"{' and '.join(scenario.checks)} left out"


def _see_that_it_is_for(variant: Variant, machine: Machine, version: str) -> None:
    if not variant.is_for(version, machine.architecture):
        raise PlanError(
            f"no variant {variant.name} of kernel {version} on {machine.architecture}",
            why=variant.only,
            advice="choose another kernel with --source, or another --variant",
        )
