# SPDX-License-Identifier: MIT
"""The run: sources, kernels, image, guests, verdicts, reports, in this order."""

import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from harness import __version__
from harness.ask.catalog import Catalog
from harness.build import selftests
from harness.build.compile import LOG
from harness.build.emulator import Built
from harness.build.image import GuestImage
from harness.build.kernel import IMAGE, OBSERVER, SYMBOLS, Builder, Kernel
from harness.build.outer import OuterImage
from harness.errors import BuildError, HarnessError, HostError, SubjectError
from harness.guest import batch, workload
from harness.guest.batch import Guest
from harness.guest.saved import Saved, saved
from harness.guest.workload import Provided
from harness.host import noise, process, sandbox
from harness.host.progress import Progress
from harness.host.store import Cache, update_files
from harness.model import (
    Cell,
    GuestEnd,
    Outcome,
    Plan,
    Regime,
    Role,
    RunResult,
    Scenario,
    Subject,
)
from harness.run import observations
from harness.run.builders import builders_for
from harness.run.conclusion import conclude
from harness.run.folder import RunFolder
from harness.run.request import Prepared

# An end that depends on the host is asked for again; any other is the guest's own.
_HOSTS_OWN = (
    *(GuestEnd.HANG, GuestEnd.FLOOD, GuestEnd.NOT_STARTED),
    *(GuestEnd.QEMU_FAILED, GuestEnd.HARNESS_FAILED),
)
_ERROR_LINES = 10


@dataclass(frozen=True)
class Settings:
    """How a run is carried out, as opposed to what it is about."""

    rerun: bool = False
    jobs: int = os.cpu_count() or 1
    timeout_scale: float = 1.0


@dataclass(frozen=True)
class Parts:
    """What the guests of a subject need beside its kernel, while it is being made."""

    image: "Future[GuestImage]"
    disk: "Future[Path] | None"
    selftests: Path | None
    outer: "Future[OuterImage] | None"

    def provided(self, scenario: Scenario) -> Provided | None:
        """What a scenario over SSH needs; None for any other."""
        if scenario.tool is None or self.disk is None:
            return None
        return Provided(self.disk.result(), self.selftests)


@dataclass
class Run:
    """One run in progress."""

    prepared: Prepared
    catalog: Catalog
    cache: Cache
    folder: RunFolder
    progress: Progress
    settings: Settings
    command: str
    repeat: Callable[[Cell], str]
    # The QEMU that the machine's row names; the host's where there is none.
    emulator: Built | None = None
    # What else is known of the host: see harness/doctor/gather.py.
    noted: dict[str, Any] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    seconds: dict[str, float] = field(default_factory=dict)
    reused: set[str] = field(default_factory=set)
    # How a subject's guest ended that did not get through its boot.
    unbootable: dict[str, Outcome] = field(default_factory=dict)
    failures: list[HarnessError] = field(default_factory=list)

    @property
    def plan(self) -> Plan:
        """What is to be done."""
        return self.prepared.plan

    @property
    def qemu(self) -> str:
        """The first line of --version of the QEMU that plays the machine."""
        if self.emulator:
            return str(self.emulator.facts["version"])
        return qemu_version(self.catalog.on_host(self.plan.machine).qemu)

    def execute(self) -> RunResult:
        """Build, boot, judge; whatever fails is in the result, and on disk."""
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.folder.begin(self.plan, {**host_facts(self.qemu, self.emulator), **self.noted})
        try:
            self._observe()
        except HarnessError as error:
            self.failures.append(error)
        except Exception as error:
            self.failures.append(HostError.of(error))
        except KeyboardInterrupt:
            self.failures.append(HostError("interrupted"))
            self._conclude(started)
            raise
        return self._conclude(started)

    def _conclude(self, started: str) -> RunResult:
        return conclude(
            self.folder,
            self.plan,
            failures=self.failures,
            command=self.command,
            started=started,
            seconds=time.monotonic() - self.began,
            cells={
                cell.id: (self.repeat(cell), cell.id in self.reused, self.seconds.get(cell.id, 0.0))
                for cell in self.plan.cells
            },
        )

    def _observe(self) -> None:
        """Kernels one after the other; guests as soon as theirs is there."""
        builders = builders_for(self.prepared, self.catalog, self.cache, self.progress)
        builder = builders.kernel
        for role, subject in self.plan.subjects.items():
            with _blaming(role, subject):
                builder.check(subject)
        pool = ThreadPoolExecutor(max_workers=self.settings.jobs, thread_name_prefix="guest")
        try:
            image = pool.submit(builders.image.build)
            disk = pool.submit(builders.disk.build) if asked_tools(self.plan) else None
            around = pool.submit(builders.outer.build) if builders.outer else None
            guests = []
            for role, subject in self.plan.subjects.items():
                kernel = self._kernel(builder, role, subject)
                tests = self._selftests(builder, role, subject)
                parts = Parts(image, disk, tests, around)
                guests += self._start_guests(pool, role, kernel, parts)
            for guest in guests:
                guest.result()
        except BaseException as error:
            if not isinstance(error, Exception):
                process.stop_all()
            pool.shutdown(wait=True, cancel_futures=not isinstance(error, BuildError))
            raise
        pool.shutdown()

    def _kernel(self, builder: Builder, role: Role, subject: Subject) -> Kernel:
        """Build one subject, and keep what it was built from, or why not, in the run."""
        try:
            stage = self.progress.stage(f"build {subject.name}", builder.log)
            with _blaming(role, subject), stage:
                kernel = builder.build(subject)
        except HarnessError as error:
            place = self.folder.subject(subject.name)
            place.mkdir(parents=True, exist_ok=True)
            if builder.log.exists():
                shutil.copyfile(builder.log, place / LOG)
            error.evidence = place / LOG
            raise
        place = self.folder.subject(subject.name)
        place.mkdir(parents=True, exist_ok=True)
        for name in ("config", "build.json", LOG):
            shutil.copyfile(kernel.folder / name, place / name)
        return kernel

    def _start_guests(
        self, pool: ThreadPoolExecutor, role: Role, kernel: Kernel, parts: Parts
    ) -> list["Future[None]"]:
        scenarios = {scenario.name: scenario for scenario in self.plan.scenarios}
        return [
            pool.submit(self._cell, cell, scenarios[cell.scenario], kernel, parts)
            for cell in self.plan.cells
            if cell.role is role
        ]

    def _selftests(self, builder: Builder, role: Role, subject: Subject) -> Path | None:
        """The subject's own selftests, where a scenario runs them."""
        if "selftests" not in asked_tools(self.plan):
            return None
        stage = self.progress.stage(f"build selftests of {subject.name}", builder.log)
        with _blaming(role, subject), stage:
            return selftests.build(builder, subject)

    def _guest(self, scenario: Scenario, kernel: Kernel, parts: Parts) -> Guest:
        """What a cell boots, as soon as that is there."""
        return Guest(
            kernel=kernel.folder / IMAGE,
            observer=kernel.folder / OBSERVER,
            symbols=kernel.folder / SYMBOLS,
            image=parts.image.result(),
            machine=self.plan.machine.with_cpus(scenario.cpus),
            scenario=scenario,
            program=self.emulator.program if self.emulator else None,
            outer=self._saved(parts.outer.result(), scenario) if parts.outer else None,
        )

    def _cell(self, cell: Cell, scenario: Scenario, kernel: Kernel, parts: Parts) -> None:
        """Observe one cell, or reuse what the same machine did before."""
        guest = self._guest(scenario, kernel, parts)
        provided = parts.provided(scenario)
        name = observations.name_of(
            guest,
            kernel,
            qemu=self.qemu,
            emulator=self.emulator,
            provided=provided,
            repetition=cell.repetition,
        )
        stored = self.cache.use(self.cache.observations / name, self.plan.machine.name)
        if stored.exists() and not self.settings.rerun:
            update_files(stored, self.folder.cell(cell))
            self.reused.add(cell.id)
            return
        if cell.subject in self.unbootable:
            self.folder.write_outcome(cell, self.unbootable[cell.subject])
            return
        began = time.monotonic()
        place = self.folder.cell(cell)
        before = noise.read()
        try:
            with self.progress.stage(f"guest {cell.id}"):
                outcome = self._observe_guest(guest, provided, place)
        except Exception as error:
            outcome = _host_failed(error)
            self.folder.write_outcome(cell, outcome)
        self.seconds[cell.id] = round(time.monotonic() - began, 2)
        exact = self.plan.machine.regime is Regime.EXACT
        if not exact:
            self.folder.write_noise(cell, noise.between(before, noise.read()))
        if outcome.stage == "boot":
            self.unbootable[cell.subject] = outcome.model_copy(
                update={"summary": f"{outcome.summary} (seen in {cell.scenario}; not booted again)"}
            )
        if outcome.end not in _HOSTS_OWN:
            self._keep(cell, place, stored, exact=exact and not scenario.tool)

    def _saved(self, image: OuterImage, scenario: Scenario) -> Saved:
        """The outer system around a scenario's guest, booted as far as that."""
        machine = self.plan.machine.with_cpus(scenario.cpus)
        program = self.emulator.program if self.emulator else None
        version = self.emulator.digest if self.emulator else self.qemu
        return saved(
            image, machine, program, version=version, cache=self.cache, say=self.progress.say
        )

    def _observe_guest(self, guest: Guest, provided: Provided | None, place: Path) -> Outcome:
        patience = self.settings.timeout_scale
        tool = guest.scenario.tool
        if tool is None or provided is None:
            return batch.run(guest, place, patience)
        return workload.run(guest, tool, provided, place, patience)

    def _keep(self, cell: Cell, place: Path, stored: Path, *, exact: bool) -> None:
        """Store an observation; an exact one that differs from an earlier one is an error."""
        differing = observations.keep(self.cache, place, stored, exact=exact)
        if differing:
            self.failures.append(
                HostError(
                    f"{cell.id}: the same guest did something else than before",
                    why=f"{', '.join(differing)} differ from {stored}; the exact regime "
                    "promises the same bytes",
                    evidence=place,
                    advice="report it: something outside reached into the guest",
                )
            )


def _host_failed(error: Exception) -> Outcome:
    """How a guest ended that the host or the harness could not observe: not the guest's fault."""
    foreseen = isinstance(error, HostError)
    fault = HostError.of(error)
    return Outcome(
        end=GuestEnd.QEMU_FAILED if foreseen else GuestEnd.HARNESS_FAILED,
        stage="none",
        summary=fault.what,
        evidence=tuple(fault.why.splitlines()[-_ERROR_LINES:]),
    )


def asked_tools(plan: Plan) -> set[str]:
    """What the plan's scenarios run over SSH."""
    return {scenario.tool.run for scenario in plan.scenarios if scenario.tool}


@contextmanager
def _blaming(role: Role, subject: Subject) -> Iterator[None]:
    """A reference that cannot be made is nobody's fault but the host's or the plan's."""
    try:
        yield
    except SubjectError as error:
        if role is Role.CANDIDATE:
            error.what = f"{subject.name}: {error.what}"
            raise
        raise HostError.instead_of(
            error, f"the reference {subject.name}", "the patch under test is not to blame"
        ) from error


@cache
def qemu_version(qemu: str) -> str:
    """QEMU's own first line."""
    return process.version(qemu)


def host_facts(qemu: str, emulator: Built | None) -> dict[str, Any]:
    """What the run was made on: with which QEMU, and what that was built from."""
    return {
        "harness": __version__,
        "python": sys.version.split()[0],
        "host": platform.platform(),
        "cpus": os.cpu_count(),
        "qemu": qemu,
        **({"emulator": emulator.facts} if emulator else {}),
        "build_sandbox": sandbox.why_unavailable() or "bubblewrap",
    }
