# SPDX-License-Identifier: MIT
"""Ask the host: all of it for `doctor`, and for a run what its machine needs."""

import platform
import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.ask.catalog import Catalog
from harness.doctor import findings
from harness.doctor.trial import Doctor
from harness.errors import HarnessError, HostError, PlanError
from harness.host import mirror, process, sandbox, setup
from harness.host.process import CommandError
from harness.host.store import Cache, default_runs
from harness.model import (
    Accelerator,
    Choice,
    Diagnosis,
    Disk,
    Finding,
    HostFacts,
    Machine,
)

# A kernel source unpacked is 1.7 GiB, its build 0.3, a disk image 0.15; a run's folder
# is 50 MiB, and while it lasts each guest's channel 64.
WANTED_COLD = 4 << 30
WANTED_WARM = 1 << 30
WANTED_RUNS = 1 << 30
ARCHIVE_S = 20.0


def accelerator_of(machine: Machine, catalog: Catalog) -> Accelerator | None:
    """The row that plays a machine; an emulated one, or one in an outer system, may have none.

    Raises PlanError for hardware that no row says how to try: it is not believed.
    """
    rows = catalog.accelerators.values()
    found = next((row for row in rows if row.plays(machine)), None)
    hardware = [row for row in rows if row.device and row.accelerator == machine.accelerator]
    if found is None and hardware and not machine.outer:
        raise PlanError(
            f"how to try the accelerator of {machine.name} is not known",
            why=f"no row has {machine.architecture}, {machine.accelerator} and its QEMU",
            advice="add one to configs/accelerators.yaml",
        )
    return found


def of_this_host(row: Accelerator, catalog: Catalog) -> bool:
    """True unless a row's hardware is of another architecture than the host's."""
    triplet = catalog.architectures[row.architecture].triplet
    return not row.device or triplet.partition("-")[0] == platform.machine()


class Examination:
    """The trials of one host, each made or remembered once, and what they come to."""

    def __init__(self, catalog: Catalog, cache: Cache, doctor: Doctor, default: str) -> None:
        self.catalog = catalog
        self.cache = cache
        self.doctor = doctor
        self.default = catalog.find("machines", default)

    @cached_property
    def rows(self) -> list[Accelerator]:
        """The accelerators that this host may have."""
        rows = self.catalog.accelerators.values()
        return [row for row in rows if of_this_host(row, self.catalog)]

    def diagnose(self) -> Diagnosis:
        """Try everything, ask everything."""
        trials = [(row, self.doctor.trial(row)) for row in self.rows]
        main = accelerator_of(self.default, self.catalog)
        found = [findings.accelerated(row, trial, needed=row == main) for row, trial in trials]
        found += [device for _, trial in trials if (device := findings.device(trial))]
        found += {
            (row.qemu, row.emulator): findings.qemu(row, trial) for row, trial in trials
        }.values()
        compiler = f"{self.catalog.architectures[self.default.architecture].triplet}-gcc"
        facts = self._facts()
        found += findings.host(facts, compiler)
        seen = {"trials": tuple(trial for _, trial in trials), "facts": facts}
        return findings.conclude(found, self.default.name).model_copy(update=seen)

    def choose(self, asked: str) -> Choice:
        """The machine for a run: the one asked for, or for `auto` the best that works here.

        Raises HostError for one whose hardware accelerator does not deliver: it is
        played by nothing else in its stead.
        """
        if asked == findings.AUTO:
            hardware = [row for row in self.rows if row.device]
            found = {row.name: self._finding(row) for row in hardware}
            machines = self.catalog.machines
            return findings.automatic(machines, hardware, found, self.default.name)
        machine = self.catalog.find("machines", asked)
        row = accelerator_of(machine, self.catalog)
        if row and row.device:
            _require(machine, self._finding(row))
        return Choice(asked=asked, machine=asked, reason="asked for by name")

    def noted(self, choice: Choice) -> dict[str, Any]:
        """For a run's host.json: the choice, and what is known by now of what plays it.

        And of the host's hardware, which would have played it for `auto`.
        """
        main = accelerator_of(self.catalog.find("machines", choice.machine), self.catalog)
        rows = [row for row in self.rows if row.device or row == main]
        trials = [(row, self.doctor.remembered(row)) for row in rows]
        found = [findings.accelerated(row, trial) for row, trial in trials]
        found += [device for _, trial in trials if (device := findings.device(trial))]
        return {
            "machine": choice.model_dump(mode="json"),
            "findings": [finding.model_dump(mode="json") for finding in found],
        }

    def _finding(self, row: Accelerator) -> Finding:
        return findings.accelerated(row, self.doctor.trial(row))

    def _facts(self) -> HostFacts:
        kernels = _cached_kernels(self.cache)
        main = (self.default.architecture, self.default.emulator)
        lacking = setup.missing(self.catalog.packages)
        triplets = [row.triplet for row in self.catalog.architectures.values()]
        return HostFacts(
            compilers={name: _version(name) for name in ("gcc", *(f"{x}-gcc" for x in triplets))},
            kernels=kernels,
            unreachable="" if kernels else _said(self._ask_archive),
            disks=(
                _disk("cache", self.cache.root, WANTED_WARM if kernels else WANTED_COLD),
                _disk("runs", default_runs(), WANTED_RUNS),
            ),
            unconfined=sandbox.why_unavailable(),
            missing=tuple(package for package in lacking if package.needed_for(*main)),
            wanting=tuple(package for package in lacking if not package.needed_for(*main)),
        )

    def _ask_archive(self) -> None:
        with self.cache.scratch() as scratch:
            mirror.reach(scratch, ARCHIVE_S)


def _require(machine: Machine, finding: Finding) -> None:
    if not finding.good:
        raise HostError(
            f"{machine.name} cannot be played here: {findings.unusable(finding)}",
            why="\n".join(finding.details),
            evidence=Path(finding.evidence) if finding.evidence else None,
            advice=finding.advice or "./pmu-harness doctor",
        )


def _said(ask: Callable[[], None]) -> str:
    """Why something cannot be had; empty where it can."""
    try:
        ask()
    except CommandError as error:
        return error.output
    except HarnessError as error:
        return "\n".join(filter(None, [error.what, error.why]))
    return ""


def _version(command: str) -> str:
    """What a compiler says of itself; empty where there is none."""
    try:
        return process.version(command)
    except HostError:
        return ""


def _cached_kernels(cache: Cache) -> tuple[str, ...]:
    """Debian's kernels whose source is unpacked in the cache."""
    names = [path.stem for path in sorted(cache.sources.glob("debian-*.json"))]
    return tuple(name.removeprefix("debian-") for name in names if cache.remembers(name))


def _disk(name: str, folder: Path, wanted: int) -> Disk:
    """Of a folder that may not be there yet."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    return Disk(name=name, path=str(folder), free_bytes=free, wanted_bytes=wanted)
