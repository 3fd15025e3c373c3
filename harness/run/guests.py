# SPDX-License-Identifier: MIT
"""The guests of a run: each cell observed, or what the same machine did before taken for it."""

import os
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness.build import recipe
from harness.build.emulator import Built
from harness.build.image import GuestImage
from harness.build.kernel import IMAGE, SYMBOLS, Kernel
from harness.build.outer import OuterImage
from harness.build.reproducer import Made
from harness.errors import HarnessError, HostError
from harness.host import noise
from harness.host.progress import Progress
from harness.host.store import Cache
from harness.model import (
    Cell,
    GuestEnd,
    LineTable,
    Machine,
    Outcome,
    Plan,
    Regime,
    Role,
    Scenario,
)
from harness.model.coverage import Span
from harness.run.folder import NOT_STARTED, RunFolder, note_digest
from harness.run.judged import JUDGED
from harness.run.names import Names

# What boots a guest takes long to import, and a run in which nothing changed boots none.
if TYPE_CHECKING:
    from harness.guest.batch import Guest
    from harness.guest.saved import Saved, Saver, System
    from harness.guest.workload import Provided

# An end that depends on the host, or on who reads what was left, is asked for again; any other
# is the guest's own.
_HOSTS_OWN = (
    *(GuestEnd.HANG, GuestEnd.FLOOD, GuestEnd.NOT_STARTED),
    *(GuestEnd.QEMU_FAILED, GuestEnd.HARNESS_FAILED, GuestEnd.STOPPED_EARLY),
)
_ERROR_LINES = 10


@dataclass(frozen=True)
class Parts:
    """What the guests of a subject need beside its kernel, while it is being made."""

    image: "Future[GuestImage]"
    disk: "Future[Path] | None"
    selftests: Path | None
    reproducers: Mapping[str, Made]
    outer: "Future[OuterImage] | None"
    lines: "Future[LineTable] | None" = None

    def provided(self, scenario: Scenario) -> "Provided | None":
        """What a scenario over SSH needs; None for any other."""
        if scenario.tool is None or self.disk is None:
            return None
        from harness.guest.workload import Provided  # noqa: PLC0415 (takes long)

        return Provided(self.disk.result(), self.selftests)

    def reproducer(self, scenario: Scenario) -> Path | None:
        """A person's program, where the scenario runs one."""
        made = self.reproducers.get(scenario.plain_name)
        return made.program if made else None

    def watched(self, scenario: Scenario) -> tuple[Span, ...]:
        """The code of which a guest's execution is noted; none where it is not looked at."""
        return self.spans if is_watched(scenario) else ()

    @property
    def spans(self) -> tuple[Span, ...]:
        """Where the code lies whose execution is noted."""
        return self.lines.result().spans if self.lines else ()

    def disk_for(self, scenario: Scenario) -> Path | None:
        """Debian's system, where a scenario without SSH needs it."""
        asked = scenario.takes_disk and scenario.tool is None
        return self.disk.result() if asked and self.disk else None


def is_watched(scenario: Scenario) -> bool:
    """True if what a guest executes can be noted: QEMU's one log is free, and no SSH is there."""
    return scenario.tool is None and not scenario.trace


@dataclass
class Guests:
    """Boots what a plan's cells ask for, and keeps what was observed."""

    plan: Plan
    cache: Cache
    folder: RunFolder
    progress: Progress
    # The QEMU that plays the machine: its version's line, and what is ours where it is.
    qemu: str
    emulator: Built | None
    rerun: bool
    patience: float
    # Bytes that machines may take which were saved.
    room: int
    keep_reference: bool = False
    # Whether what was observed is stored: not where each guest is another.
    stores: bool = True
    seconds: dict[str, float] = field(default_factory=dict)
    reused: set[str] = field(default_factory=set)
    # How a kernel's guest ended that did not get through its boot, by subject and variant.
    unbootable: dict[tuple[str, str], Outcome] = field(default_factory=dict)
    failures: list[HarnessError] = field(default_factory=list)
    # Where the observations of cells are stored, by cell.
    stored: dict[str, Path] = field(default_factory=dict)
    # What was not run, because the run was ended.
    left: set[str] = field(default_factory=set)

    @cached_property
    def names(self) -> Names:
        """What observations are called."""
        return Names(self.cache, self.plan, self.qemu, self.emulator)

    @cached_property
    def _saver(self) -> "Saver":
        from harness.guest.saved import Saver  # noqa: PLC0415 (takes long)

        return Saver(self.cache, self.room, self.progress.say, self.patience)

    def release(self) -> None:
        """Let go of what guests went on from."""
        if "_saver" in self.__dict__:
            self._saver.release()

    def observe(self, cell: Cell, scenario: Scenario, kernel: Kernel, parts: Parts) -> None:
        """Observe one cell, or reuse what the same machine did before."""
        if not self.look(cell, scenario, kernel, parts):
            self.boot(cell, scenario, kernel, parts)

    def look(self, cell: Cell, scenario: Scenario, kernel: Kernel, parts: Parts) -> bool:
        """Reuse what the same machine did before; False where it is to be booted."""
        name = self.names.of(cell, scenario, kernel, parts) or self._name(
            cell, scenario, kernel, parts
        )
        return self._taken(cell, name)

    def _taken(self, cell: Cell, name: str) -> bool:
        """True where there is an observation of this name, and it may be a cell's."""
        stored = self.cache.use(self.cache.observations / name, self.plan.machine.name)
        self.stored[cell.id] = stored
        if self.stores and stored.exists() and not self._again(cell):
            take(stored, self.folder.cell(cell))
            self.reused.add(cell.id)
            return True
        return False

    def leave(self, cell: Cell, why: str) -> None:
        """Have a cell be one that was not run."""
        self.left.add(cell.id)
        self.folder.write_outcome(cell, NOT_STARTED.model_copy(update={"summary": why}))

    def boot(self, cell: Cell, scenario: Scenario, kernel: Kernel, parts: Parts) -> None:
        """Observe one cell, which was looked for."""
        kernels = (cell.subject, scenario.variant)
        if kernels in self.unbootable:
            self.folder.write_outcome(cell, self.unbootable[kernels])
            return
        guest, provided = self._guest(scenario, kernel, parts), parts.provided(scenario)
        saved = self._saver.saved(guest.system) if guest.system else None
        if guest.system and not saved:
            guest = replace(guest, system=None)
            if self._taken(cell, self._name_of(guest, cell, kernel, provided)):
                return
        began = time.monotonic()
        place = self.folder.cell(cell)
        before = noise.read()
        try:
            with self.progress.stage(f"guest {cell.id}"):
                outcome = self._observe_guest(guest, provided, place, saved)
        except Exception as error:
            outcome = _host_failed(error)
            self.folder.write_outcome(cell, outcome)
        self.seconds[cell.id] = round(time.monotonic() - began, 2)
        exact = self.plan.machine.regime is Regime.EXACT
        if not exact:
            self.folder.write_noise(cell, noise.between(before, noise.read()))
        if outcome.stage == "boot":
            self.unbootable[kernels] = outcome.model_copy(
                update={"summary": f"{outcome.summary} (seen in {cell.scenario}; not booted again)"}
            )
        if self.stores and outcome.end not in _HOSTS_OWN:
            stored = self.stored[cell.id]
            self._keep(cell, place, stored, exact=exact and not scenario.takes_disk)

    def _name(self, cell: Cell, scenario: Scenario, kernel: Kernel, parts: Parts) -> str:
        """What a cell's observation is called, which is known from now on."""
        guest = self._guest(scenario, kernel, parts)
        name = self._name_of(guest, cell, kernel, parts.provided(scenario))
        self.names.learn(name, cell, scenario, kernel, parts)
        return name

    def _name_of(
        self, guest: "Guest", cell: Cell, kernel: Kernel, provided: "Provided | None"
    ) -> str:
        from harness.run import observations  # noqa: PLC0415 (takes long)

        return observations.name_of(
            guest,
            kernel,
            qemu=self.qemu,
            emulator=self.emulator,
            provided=provided,
            repetition=cell.repetition,
        )

    def _again(self, cell: Cell) -> bool:
        """True if a cell is to be booted, though the same machine did it before."""
        return self.rerun and not (self.keep_reference and cell.role is Role.REFERENCE)

    def _guest(self, scenario: Scenario, kernel: Kernel, parts: Parts) -> "Guest":
        """What a cell boots, as soon as that is there."""
        from harness.guest.batch import Guest  # noqa: PLC0415 (takes long)

        machine = self.plan.machine_for(scenario).with_cpus(scenario.cpus)
        return Guest(
            kernel=kernel.folder / IMAGE,
            modules=kernel.folder,
            symbols=kernel.folder / SYMBOLS,
            image=parts.image.result(),
            machine=machine,
            scenario=scenario,
            program=self.emulator.program if self.emulator else None,
            system=self._system(machine, scenario, kernel, parts),
            reproducer=parts.reproducer(scenario),
            disk=parts.disk_for(scenario),
            watched=parts.watched(scenario),
        )

    def _system(
        self, machine: Machine, scenario: Scenario, kernel: Kernel, parts: Parts
    ) -> "System | None":
        """What a scenario's guest goes on from, if it does not boot."""
        from harness.guest.saved import System  # noqa: PLC0415 (takes long)

        program = self.emulator.program if self.emulator else None
        version = self.emulator.digest if self.emulator else self.qemu
        size = f"{machine.cpus} CPU{'s' if machine.cpus > 1 else ''}"
        if parts.outer:
            outer = parts.outer.result()
            return System(
                title=f"{outer.row.name} with {size}",
                machine=machine,
                kernel=outer.kernel,
                initramfs=outer.initramfs,
                contents=(outer.sha256, version),
                program=program,
                outer=outer.row,
            )
        if not machine.boots_once or scenario.takes_disk:
            return None
        image = parts.image.result()
        name = "@".join(filter(None, (kernel.subject.name, scenario.variant)))
        prelude = recipe.prelude(scenario)
        modules = recipe.modules(scenario) if prelude else ()
        return System(
            title=f"{name} on {machine.name} with {size}",
            machine=machine,
            kernel=kernel.folder / IMAGE,
            initramfs=image.initramfs,
            contents=(
                *(str(kernel.facts[f"{name}_sha256"]) for name in ("image", *modules)),
                image.sha256,
                version,
            ),
            program=program,
            prelude=prelude,
            modules=tuple(kernel.folder / name for name in modules),
            watched=parts.spans,
        )

    def _observe_guest(
        self, guest: "Guest", provided: "Provided | None", place: Path, saved: "Saved | None"
    ) -> Outcome:
        from harness.guest import batch, workload  # noqa: PLC0415 (takes long)

        tool = guest.scenario.tool
        if tool is None or provided is None:
            return batch.run(guest, place, self.patience, saved)
        return workload.run(guest, tool, provided, place, self.patience)

    def _keep(self, cell: Cell, place: Path, stored: Path, *, exact: bool) -> None:
        """Store an observation; an exact one that differs from an earlier one is an error."""
        from harness.run import observations  # noqa: PLC0415 (takes long)

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


def take(stored: Path, place: Path) -> None:
    """Have a cell's new folder hold a stored observation; what is known of it stays behind."""
    place.mkdir(parents=True, exist_ok=True)
    contents = {}
    with os.scandir(stored) as entries:
        for entry in entries:
            if entry.is_dir():
                take(stored / entry.name, place / entry.name)
            elif not entry.name.startswith(JUDGED):
                contents[entry.name] = _copied(entry.path, f"{place}/{entry.name}")
    note_digest(place, contents)


def _copied(source: str, target: str) -> bytes:
    """A file's content, which another has now; there are thousands."""
    with open(source, "rb") as file:  # noqa: PTH123
        content = file.read()
    with open(target, "wb") as file:  # noqa: PTH123
        file.write(content)
    return content


def _host_failed(error: Exception) -> Outcome:
    """How a guest ended that the host or the harness could not observe: not the guest's fault."""
    foreseen = isinstance(error, HostError)
    fault = HostError.of(error)
    next_step = (f"next: {fault.advice}",) if fault.advice else ()
    return Outcome(
        end=GuestEnd.QEMU_FAILED if foreseen else GuestEnd.HARNESS_FAILED,
        stage="none",
        summary=fault.what,
        evidence=(*fault.why.splitlines()[-_ERROR_LINES:], *next_step),
    )
