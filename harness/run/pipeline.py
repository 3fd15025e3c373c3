# SPDX-License-Identifier: MIT
"""The run: sources, kernels, image, guests, verdicts, reports, in this order."""

import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from harness import __version__
from harness.ask.catalog import Catalog
from harness.build import selftests
from harness.build.compile import LOG
from harness.build.emulator import Built
from harness.build.kernel import Builder, Kernel
from harness.errors import (
    BuildError,
    HarnessError,
    HostError,
    OwnPartError,
    PatchError,
    SubjectError,
)
from harness.host import process, sandbox, stranger
from harness.host.progress import Progress
from harness.host.store import Cache, update_files
from harness.model import (
    Cell,
    Part,
    Plan,
    Regime,
    Role,
    RunResult,
    TouchedFile,
)
from harness.run.builders import Builders, builders_for
from harness.run.concluded import concluded
from harness.run.coverage import Watch, tolerant
from harness.run.first import note_seconds, ranks_of
from harness.run.folder import RunFolder
from harness.run.guests import Guests, Parts
from harness.run.judged import Judge
from harness.run.live import Live
from harness.run.request import Prepared
from harness.run.touched import Own, machines_elsewhere, touched_files
from harness.run.turns import Turns
from harness.verdict.exercise import exercised, in_any


@dataclass(frozen=True)
class Settings:
    """How a run is carried out, as opposed to what it is about.

    With `keep_reference`, `rerun` is for the candidate's guests alone.
    """

    rerun: bool = False
    keep_reference: bool = False
    jobs: int = os.cpu_count() or 1
    timeout_scale: float = 1.0
    # Whether is noted what guests execute of a patch, or of these sources whatever a patch changes.
    coverage: bool = True
    sources: tuple[str, ...] = ()
    # Whether the candidate's faults are said as soon as they are known, and the first is the last.
    live: bool = False
    fail_fast: bool = False


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
    touched: tuple[TouchedFile, ...] | None = None
    watch: Watch | None = None
    failures: list[HarnessError] = field(default_factory=list)

    @property
    def plan(self) -> Plan:
        """What is to be done."""
        return self.prepared.plan

    @cached_property
    def guests(self) -> Guests:
        """Those of the plan's cells."""
        return Guests(
            plan=self.plan,
            cache=self.cache,
            folder=self.folder,
            progress=self.progress,
            qemu=self.qemu,
            emulator=self.emulator,
            rerun=self.settings.rerun,
            keep_reference=self.settings.keep_reference,
            patience=self.settings.timeout_scale,
            room=self.catalog.cache_policy.saved,
        )

    @cached_property
    def judge(self) -> Judge:
        """Who judges them, and knows of earlier runs."""
        return Judge(self.plan, self.folder, self.guests.stored, self.guests.reused)

    @cached_property
    def live(self) -> Live:
        """Who tells of the candidate's faults."""
        return Live(self.plan, self.judge, self.progress.say, self.settings.fail_fast)

    @cached_property
    def turns(self) -> Turns:
        """In which order guests are booted."""
        return Turns(
            self.guests,
            rank=lambda name: self._ranks[name],
            over=self._over,
            ended=lambda: self.live.ended,
        )

    @cached_property
    def _ranks(self) -> dict[str, int]:
        """The scenarios' places, asked for when something is to be booted."""
        return ranks_of(self.plan, self.catalog, self.cache)

    def _where(self) -> str:
        """How far the guests are."""
        over = len(self.guests.reused) + len(self.guests.seconds)
        failed = ", ".join(self.live.failed)
        told = f"{over} of {len(self.plan.cells)} guests are over"
        return f"{told}; failed: {failed}" if failed else told

    def _over(self, cell: Cell) -> None:
        booted = cell.id not in self.guests.reused
        # Where guests differ, none is judged by itself.
        if self.plan.machine.regime is Regime.EXACT and (
            self.settings.fail_fast or (self.settings.live and booted)
        ):
            self.live.over(cell, booted=booted)

    @cached_property
    def qemu(self) -> str:
        """The first line of --version of the QEMU that plays the machine."""
        if self.emulator:
            return str(self.emulator.facts["version"])
        return qemu_version(self.catalog.on_host(self.plan.machine).qemu)

    def execute(self) -> RunResult:
        """Build, boot, judge; whatever fails is in the result, and on disk."""
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.folder.begin(self.plan, {**host_facts(self.qemu, self.emulator), **self.noted})
        for name, made in self.prepared.reproducers.items():
            update_files(made.folder, self.folder.reproducer(name))
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
        finally:
            self.guests.release()
        return self._conclude(started)

    def _conclude(self, started: str) -> RunResult:
        self.guests.names.keep()
        if self.guests.seconds:
            note_seconds(self.plan, self.cache, self.guests.seconds)
        reused, seconds = self.guests.reused, self.guests.seconds
        return concluded(
            self.judge,
            self.cache,
            failures=[*self.failures, *self.guests.failures],
            command=self.command,
            started=started,
            seconds=time.monotonic() - self.began,
            cells={
                cell.id: (self.repeat(cell), cell.id in reused, seconds.get(cell.id, 0.0))
                for cell in self.plan.cells
            },
            touched=self.touched,
            watch=self.watch,
            ended=self._ended(),
        )

    def _ended(self) -> str:
        """Why not all was run, and how much of it was not."""
        left = len(self.guests.left)
        return f"{left} of {len(self.plan.cells)} guests {self.live.ended}" if left else ""

    def _observe(self) -> None:
        """Kernels one after the other; guests as soon as theirs is there."""
        builders = builders_for(self.prepared, self.catalog, self.cache, self.progress)
        self.progress.where = self._where
        self.see_that_patches_apply(builders.any_kernel)
        guests = ThreadPoolExecutor(self.settings.jobs, thread_name_prefix="guest")
        # Apart: a guest that waits for one of these holds up none of them.
        parts = ThreadPoolExecutor(self.settings.jobs, thread_name_prefix="part")
        try:
            self._build_and_boot(builders, guests, parts)
        except BaseException as error:
            if not isinstance(error, Exception):
                process.stop_all()
            for pool in (parts, guests):
                pool.shutdown(wait=True, cancel_futures=not isinstance(error, BuildError))
            raise
        guests.shutdown()
        parts.shutdown()

    def _build_and_boot(
        self, builders: Builders, guests: ThreadPoolExecutor, parts: ThreadPoolExecutor
    ) -> None:
        image = parts.submit(builders.image.build)
        disk = parts.submit(builders.disk.build) if takes_disk(self.plan) else None
        around = parts.submit(builders.outer.build) if builders.outer else None
        before: dict[str, Own] = {}
        for role in self.plan.subjects:
            own = self.built(builders, role)
            if before and not self._exercised(builders, before, own):
                guests.shutdown(wait=True, cancel_futures=True)
                return
            if role is Role.CANDIDATE:
                self.watch = self._watch(parts, builders, before, own)
            for variant, one in own.items():
                lines = self.watch.tables.get(variant) if self.watch else None
                made = Parts(image, disk, one.selftests, self.prepared.reproducers, around, lines)
                self._start_guests(guests, role, variant, one.kernel, made)
            before = own
        self.turns.wait()

    def see_that_patches_apply(self, builder: Builder) -> None:
        """Before anything is built."""
        for role, subject in self.plan.subjects.items():
            with _blaming(self.plan, role):
                builder.check(subject)
                if self.plan.strict and role is Role.CANDIDATE:
                    _see_that_own_patches_apply_as_they_are(self.plan)

    def built(self, builders: Builders, role: Role) -> dict[str, Own]:
        """What of a subject's guests is its own, by the variants that it is built in."""
        kernels = {
            variant: self._kernel(builder, role, variant)
            for variant, builder in builders.kernels.items()
        }
        programs = self._selftests(builders.any_kernel, role)
        return {variant: Own(kernel, programs) for variant, kernel in kernels.items()}

    def _kernel(self, builder: Builder, role: Role, variant: str) -> Kernel:
        """Build one subject, and keep what it was built from, or why not, in the run."""
        subject = self.plan.subjects[role]
        name = f"{subject.name}@{variant}" if variant else subject.name
        stage = self.progress.stage(f"build {name}", builder.log)
        with self._keeping_log(builder, name), _blaming(self.plan, role), stage:
            kernel = builder.build(subject)
        place = self.folder.subject(name)
        place.mkdir(parents=True, exist_ok=True)
        for name in ("config", "build.json", LOG):
            shutil.copyfile(kernel.folder / name, place / name)
        return kernel

    @contextmanager
    def _keeping_log(self, builder: Builder, name: str) -> Iterator[None]:
        """The log of a build that fails is kept in the run: the build folder's is overwritten."""
        try:
            yield
        except HarnessError as error:
            place = self.folder.subject(name)
            place.mkdir(parents=True, exist_ok=True)
            error.evidence = _kept(error.evidence or builder.log, place)
            raise

    def _start_guests(
        self, pool: ThreadPoolExecutor, role: Role, variant: str, kernel: Kernel, parts: Parts
    ) -> None:
        scenarios = {one.name: one for one in self.plan.scenarios if one.variant == variant}
        cells = (cell for cell in self.plan.cells if cell.role is role)
        jobs = [
            (cell, scenarios[cell.scenario], kernel, parts)
            for cell in cells
            if cell.scenario in scenarios
        ]
        self.turns.add(jobs, pool)

    def _selftests(self, builder: Builder, role: Role) -> Path | None:
        """The subject's own selftests, where a scenario runs them."""
        if "selftests" not in asked_tools(self.plan):
            return None
        subject = self.plan.subjects[role]
        stage = self.progress.stage(f"build selftests of {subject.name}", builder.log)
        with _blaming(self.plan, role), stage:
            return selftests.build(builder, subject)

    def _exercised(
        self, builders: Builders, before: Mapping[str, Own], after: Mapping[str, Own]
    ) -> bool:
        """Whether a guest has anything of what the candidate changes; see `touched`."""
        elsewhere = machines_elsewhere(self.catalog, self.plan.machine)
        found = []
        for variant, builder in builders.kernels.items():
            name = self.plan.subjects[Role.CANDIDATE].name
            with self._keeping_log(builder, name), _blaming(self.plan, Role.CANDIDATE):
                found.append(touched_files(builder, before[variant], after[variant], elsewhere))
        self.touched = in_any(found)
        return exercised(self.touched)

    def _watch(
        self,
        pool: ThreadPoolExecutor,
        builders: Builders,
        before: Mapping[str, Own],
        after: Mapping[str, Own],
    ) -> Watch | None:
        """What is to be noted of the code that guests execute; nothing where none can be."""
        machine = self.plan.machine
        if machine.regime is not Regime.EXACT or machine.outer or not self.settings.coverage:
            return None
        paths, diff = list(self.settings.sources), ""
        if before and not paths:
            first = next(iter(after))
            subjects = before[first].kernel.subject, after[first].kernel.subject
            paths = [file.path for file in self.touched or () if file.part is Part.IMAGE]
            diff = builders.any_kernel.difference(*subjects, paths)
        if not paths:
            return None
        tables = {
            variant: pool.submit(tolerant, builders.kernels[variant], own.kernel, paths)
            for variant, own in after.items()
        }
        return Watch(diff, tables)


def _see_that_own_patches_apply_as_they_are(plan: Plan) -> None:
    """Raise PatchError for one of the candidate's that only applies after something was done."""
    reference = plan.subjects.get(Role.REFERENCE)
    for patch in plan.subjects[Role.CANDIDATE].patches[
        len(reference.patches) if reference else 0 :
    ]:
        if patch.warnings:
            raise PatchError(
                f"{patch.path} does not apply as it is",
                why="\n".join(patch.warnings),
                advice="rebase it onto this kernel, or leave --strict out",
            )


def takes_disk(plan: Plan) -> bool:
    """True if a guest has Debian's system beside the initramfs."""
    return any(scenario.takes_disk for scenario in plan.scenarios)


def asked_tools(plan: Plan) -> set[str]:
    """What the plan's scenarios run over SSH."""
    return {scenario.tool.run for scenario in plan.scenarios if scenario.tool}


def _kept(evidence: Path, place: Path) -> Path:
    """A copy in the run's folder of what shows why a build failed, if it is there."""
    copy = place / evidence.name.lstrip(".")
    with suppress(stranger.NotPlainError, FileNotFoundError):
        stranger.copy(evidence.parent, evidence.name, copy)
    return copy


@contextmanager
def _blaming(plan: Plan, role: Role) -> Iterator[None]:
    """A reference that cannot be made is nobody's fault but the host's or the plan's.

    What the harness adds to a kernel is a candidate's fault where the reference took it.
    """
    name = plan.subjects[role].name
    try:
        yield
    except OwnPartError as error:
        if role is Role.REFERENCE or Role.REFERENCE not in plan.subjects:
            raise
        raise BuildError(
            f"{name}: {error.what}",
            why=error.why,
            evidence=error.evidence,
            advice="the reference takes it: see what the patch changes there",
        ) from error
    except SubjectError as error:
        if role is Role.CANDIDATE:
            error.what = f"{name}: {error.what}"
            raise
        raise HostError.instead_of(
            error, f"the reference {name}", "the patch under test is not to blame"
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
