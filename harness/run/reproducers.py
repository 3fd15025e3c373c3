# SPDX-License-Identifier: MIT
"""Scenarios that run a program which is to show a bug: a person's, and those of configs/."""

from collections.abc import Sequence
from pathlib import Path

from harness.ask.catalog import Catalog
from harness.build.reproducer import Made, make
from harness.errors import HostError, PlanError
from harness.host.store import Cache
from harness.model import Architecture, Machine, Reproducer, Scenario
from harness.source.paths import printable, short

DEFAULT_SECONDS = 5
# Most bugs that show in a loop are races.
_CPUS = 2


def scenario_name(path: Path) -> str:
    """What a person's reproducer is called in a run."""
    return f"reproducer-{short(path.stem)}"


def scenarios_of(
    files: Sequence[Path], seconds: int, machine: Machine
) -> dict[str, tuple[Scenario, Path]]:
    """For each of a person's files a scenario by its name, with the file.

    Raises PlanError for two of one name.
    """
    found: dict[str, tuple[Scenario, Path]] = {}
    for path in files:
        # The checks take long to import.
        from harness.checks.reproducer import END  # noqa: PLC0415

        name = scenario_name(path)
        if name in found:
            raise PlanError(
                f"two reproducers are called {path.stem}",
                why=f"{found[name][1]} and {path}",
                advice="rename one: a run's folders are called so",
            )
        row = Scenario(
            name=name,
            title=f"The reproducer {printable(path.name)}",
            cpus=min(_CPUS, machine.cpus),
            observe=False,
            reproducer=Reproducer(file=printable(str(path)), seconds=seconds),
            checks=(END,),
        )
        found[name] = (row, path)
    return found


def made_of(
    scenarios: Sequence[Scenario],
    persons: dict[str, tuple[Scenario, Path]],
    catalog: Catalog,
    cache: Cache,
    architecture: Architecture,
) -> dict[str, Made]:
    """The programs of those scenarios that have one, by the scenario's name.

    Raises PlanError for a person's file that makes none.
    """
    found = {}
    for scenario in scenarios:
        if scenario.reproducer is None:
            continue
        file = scenario.reproducer.file
        if scenario.name in persons:
            found[scenario.name] = make(cache, architecture, persons[scenario.name][1], file)
            continue
        try:
            found[scenario.name] = make(cache, architecture, catalog.root / file, file)
        except PlanError as error:
            raise HostError.instead_of(error, "the harness's own", "mend it") from error
    return found


def resolved(scenario: Scenario, made: dict[str, Made]) -> Scenario:
    """A scenario that knows what its guest runs."""
    if scenario.reproducer is None:
        return scenario
    own = made[scenario.name]
    known = {"sha256": own.sha256, "userland": own.userland}
    reproducer = scenario.reproducer.model_copy(update=known)
    return scenario.model_copy(update={"reproducer": reproducer})
