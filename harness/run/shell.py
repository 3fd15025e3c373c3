# SPDX-License-Identifier: MIT
"""A person's shell in a guest with perf, or a paused guest for a person's gdb."""

import errno
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.ask.catalog import Catalog
from harness.build.emulator import provide_for
from harness.build.kernel import IMAGE, VMLINUX, Kernel
from harness.build.recipe import SHELL_BATCH
from harness.errors import Exit, HarnessError, HostError, PlanError, SubjectError, advice_on
from harness.guest.files import CONSOLE
from harness.guest.live import Boot, Live, booted
from harness.guest.sftp import Files
from harness.guest.ssh import Session, SessionError
from harness.guest.terminal import OutputError
from harness.guest.transfer import Get, Getter, Put, put
from harness.host.progress import Progress
from harness.host.store import Cache, default_runs
from harness.machine.console import Watch
from harness.machine.crash import clean, recognize
from harness.model import GuestEnd, Role
from harness.run.builders import builders_for
from harness.run.request import Prepared

_SLOW = "see the console; on a slow or busy host have more patience, with --timeout-scale 4"
_HARMLESS = (GuestEnd.DONE, GuestEnd.STOPPED_EARLY)


@dataclass(frozen=True)
class Errands:
    """A command, or a shell where there is none; what is put before it, and got after it."""

    command: tuple[str, ...] = ()
    puts: tuple[Put, ...] = ()
    gets: tuple[Get, ...] = ()


@dataclass(frozen=True)
class Place:
    """What is booted, and where its console and a debugger's socket are."""

    boot: Boot
    folder: Path
    kernel: Kernel


def prepare_place(
    prepared: Prepared, catalog: Catalog, cache: Cache, progress: Progress, *, debug: bool
) -> Place:
    """Build what the candidate's guest needs; raises HarnessError."""
    plan = prepared.plan
    if plan.machine.outer:
        raise PlanError(
            f"no shell on {plan.machine.name}",
            why="SSH does not reach into its outer system",
            advice="choose another one with --machine",
        )
    emulator = provide_for(plan.machine, catalog, cache, progress)
    builders = builders_for(prepared, catalog, cache, progress, debug=debug)
    subject = plan.subjects[Role.CANDIDATE]
    builder = builders.any_kernel
    with progress.stage(f"build {subject.name}", builder.log):
        kernel = builder.build(subject)
    image, disk = builders.image.build(), builders.disk.build()
    folder = _new_folder()
    boot = Boot(
        kernel=kernel.folder / IMAGE,
        modules=(),
        image=image,
        disk=disk,
        machine=plan.machine_for(plan.scenarios[0]),
        batch=SHELL_BATCH,
        program=emulator.program if emulator else None,
        gdb=folder / "gdb" if debug else None,
        echo=_show_console if debug else _keep_quiet,
    )
    return Place(boot, folder, kernel)


def _new_folder() -> Path:
    place = default_runs().parent / "shells"
    place.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=place, prefix=time.strftime("%Y%m%d-%H%M%S-")))


def _show_console(data: bytes) -> None:
    sys.stderr.write(clean(data))
    sys.stderr.flush()


def _keep_quiet(_: bytes) -> None:
    pass


def gdb_command(place: Place) -> str:
    """What to type in another terminal."""
    target = f"target remote {place.boot.gdb}"
    return shlex.join(["gdb-multiarch", str(place.kernel.folder / VMLINUX), "-ex", target])


def enter(place: Place, errands: Errands, patience: float, say: Callable[[str], None]) -> int:
    """Boot, and run a shell or a command there; its exit status.

    Raises SubjectError when the kernel ends it, PlanError or HostError when something else does.
    """
    limit_s = place.boot.machine.timeout_s * patience
    with booted(place.boot, place.folder) as (live, _):
        if place.boot.gdb:
            say(f"the machine waits; attach with\n{gdb_command(place)}")
        try:
            if place.boot.gdb and not errands.command:
                return _watch(live)
            session = live.connect(limit_s, patient=place.boot.gdb is not None)
            status = _perform(session, errands, say)
        except SessionError as error:
            raise _blame(place, live, error) from error
        with suppress(SessionError):  # Nothing is asked of the guest any more.
            live.finish(session)
    return status


def _perform(session: Session, errands: Errands, say: Callable[[str], None]) -> int:
    """Put, run, get; the exit status of the command or shell, whatever becomes of the files.

    Raises SessionError, and PlanError or HostError where that status would be 0.
    """
    files = Files(session)
    for wanted in errands.puts:
        put(files, wanted)
    status = _attach(session, errands.command)
    getter = Getter(files, say)
    failures = []
    for asked in errands.gets:
        try:
            getter.get(asked)
        except HarnessError as error:
            failures.append(error)
    last = failures.pop() if failures and status == 0 else None
    for failure in failures:
        say("\n".join(failure.lines()))
    if last:
        raise last
    return status


def _attach(session: Session, command: tuple[str, ...]) -> int:
    """The exit status of the command or shell; raises SessionError or HostError."""
    try:
        return session.attach(command)
    except OutputError as error:
        if error.error.errno == errno.EPIPE:
            return Exit.UNREAD
        raise HostError(
            "what the guest said could not be written to standard output",
            why=str(error),
            advice=advice_on(error.error),
        ) from error


def _watch(live: Live) -> int:
    """Until the guest ends, or Ctrl-C ends it."""
    with suppress(KeyboardInterrupt):
        live.wait()
    return 0


def _blame(place: Place, live: Live, error: SessionError) -> HostError | SubjectError:
    """Whose fault it is that a session ended: QEMU's end tells, or the console."""
    live.wait(5)
    if live.seen is Watch.CLOSED and (fault := live.machine.fault()):
        return fault
    console = place.folder / CONSOLE
    outcome = recognize(console.read_bytes())
    why = "\n".join(outcome.evidence)
    if outcome.end in _HARMLESS:
        return HostError(str(error), why=why, evidence=console, advice=_SLOW)
    return SubjectError(outcome.summary, why=why, evidence=console)
