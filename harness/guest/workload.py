# SPDX-License-Identifier: MIT
"""One cell whose guest runs perf or the kernel's selftests: over SSH, and into records."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from harness.build import recipe
from harness.guest import batch, tool
from harness.guest.batch import Guest
from harness.guest.files import CONSOLE, EVIDENCE
from harness.guest.live import FINISH_S, Boot, Live, booted
from harness.guest.ssh import Finished, LostError, Session, SessionError, TimeLimitError
from harness.guest.tool_records import Command, Subtest
from harness.machine.crash import recognize
from harness.model import GuestEnd, Outcome, Tool

_PLACE = "/root"
# How many times as long a command may take as a guest may be silent: perf test has dozens of
# entries, and half a minute for them on a host with nothing else to do.
_PATIENCE = 4


@dataclass(frozen=True)
class Provided:
    """What a workload needs beside the kernel: the disk, and the selftests by name."""

    disk: Path
    selftests: Path | None = None


class Work:
    """A workload in its session; keeps what each command printed as evidence."""

    def __init__(self, asked: Tool, session: Session, evidence: Path) -> None:
        self.asked = asked
        self.session = session
        self.evidence = evidence
        self.records: list[BaseModel] = []

    def run(self, *argv: str) -> Finished:
        """A command, with a record of how it ended."""
        done = self.session.run(argv, _PATIENCE * self.session.limit_s)
        number = sum(isinstance(record, Command) for record in self.records)
        for kind, content in (("out", done.stdout), ("err", done.stderr)):
            if content:
                self.keep(f"{number:02}-{kind}.txt", content)
        said = tool.last_lines(done.stderr)
        self.records.append(Command(argv=argv, status=done.status, seconds=done.seconds, said=said))
        return done

    def keep(self, name: str, content: bytes) -> None:
        """Raw output, beside the records that are made of it."""
        (self.evidence / name).write_bytes(content)

    def add(self, records: Iterable[BaseModel]) -> None:
        """What an output says."""
        self.records += records


def _stat(work: Work) -> None:
    file = f"{_PLACE}/stat.txt"
    asked = work.asked
    options = ("-x", tool.SEPARATOR, "-o", file, *asked.arguments)
    done = work.run("perf", "stat", *options, "--", *asked.workload)
    if done.status == 0:
        counted = work.session.get(file)
        work.keep("stat.txt", counted)
        work.add(tool.counts(counted))


def _record(work: Work) -> None:
    data = f"{_PLACE}/perf.data"
    asked = work.asked
    done = work.run("perf", "record", "-o", data, *asked.arguments, "--", *asked.workload)
    if done.status:
        return
    work.keep("perf.data", work.session.get(data))
    fields = ("--ns", "--header", "-F", "time,event,period")
    script = work.run("perf", "script", "-i", data, *fields).stdout
    work.run("perf", "report", "-i", data, "--stdio")
    stats = work.run("perf", "report", "-i", data, "--stdio", "--stats").stdout
    work.add([*tool.events(script), *tool.periods(script), *tool.totals(stats)])


def _test(work: Work) -> None:
    done = work.run("perf", "test", *work.asked.arguments)
    results = tool.subtests(done.stdout + done.stderr)
    verbose = {}
    for number in tool.unexplained(results):
        said = work.run("perf", "test", "-v", number)
        verbose[number] = said.stdout + said.stderr
    work.add(tool.explained(results, verbose))
    work.add(tool.unmatched(work.asked.arguments, results))
    work.add(tool.ended_badly("perf test", done.status, results))


def _selftests(work: Work, programs: Path | None) -> None:
    for name in work.asked.arguments:
        program = programs / name if programs else None
        missing = program is None or not program.exists()
        reason = (
            "this kernel's tree does not have it" if missing else work.asked.excuses().get(name)
        )
        if program is None or reason:
            work.add([Subtest(name=name, number="", result="skip", reason=reason or "")])
            continue
        place = f"{_PLACE}/{name}"
        work.session.put(program.read_bytes(), place, 0o755)
        done = work.run(place)
        results = tool.kselftest(name, done.stdout, done.stderr)
        work.add([*results, *tool.ended_badly(name, done.status, results)])


def perform(work: Work, provided: Provided) -> None:
    """The workload that the scenario asks for; raises SessionError."""
    if work.asked.run == "selftests":
        _selftests(work, provided.selftests)
    else:
        {"perf-stat": _stat, "perf-record": _record, "perf-test": _test}[work.asked.run](work)


def run(
    guest: Guest, asked: Tool, provided: Provided, folder: Path, timeout_scale: float = 1.0
) -> Outcome:
    """Boot, perform the workload over SSH, and leave the observation in `folder`.

    Raises HostError when QEMU does not start; whatever the guest does is an
    outcome.
    """
    lines = recipe.batch(guest.scenario)
    evidence = folder / EVIDENCE
    evidence.mkdir(exist_ok=True)
    boot = Boot(
        kernel=guest.kernel,
        modules=guest.loaded,
        image=guest.image,
        disk=provided.disk,
        machine=guest.machine,
        batch=lines,
        program=guest.program,
    )
    limit_s = guest.machine.timeout_s * timeout_scale
    with booted(boot, folder) as (live, files):
        fault: SessionError | None = None
        records: list[BaseModel] = []
        try:
            work = Work(asked, live.connect(limit_s), evidence)
            records = work.records
            perform(work, provided)
            live.finish(work.session)
        except SessionError as error:
            fault = error
        outcome = _outcome(guest, live, fault, folder)
        said = "".join(f"{record.model_dump_json(by_alias=True)}\n" for record in records)
        outcome = batch.leave_records(outcome, files.channel, folder, said.encode())
    batch.leave_outcome(outcome, folder)
    return outcome


def _outcome(guest: Guest, live: Live, fault: SessionError | None, folder: Path) -> Outcome:
    """How the guest ended: its console names what is worst, the session the rest."""
    gone = live.wait(FINISH_S if isinstance(fault, LostError) else 0)
    cause = batch.CAUSES[live.seen] if live.seen else None
    where = reason = ""
    if not gone:
        cause = GuestEnd.HANG
        where = batch.locate_hang(live.machine.registers(), guest.symbols, folder)
        live.end()
    elif cause is None:
        reason = live.machine.monitor.shutdown_reason()
        if qemus := live.machine.fault():
            raise qemus
    console = (folder / CONSOLE).read_bytes()
    outcome = recognize(console, cause=cause, where=where, reason=reason)
    if fault and outcome.end in (GuestEnd.DONE, GuestEnd.HANG, GuestEnd.STOPPED_EARLY):
        slow = isinstance(fault, TimeLimitError)
        return outcome.model_copy(
            update={
                "end": GuestEnd.HANG if slow else GuestEnd.STOPPED_EARLY,
                "summary": f"{fault}" + (f", in {where}" if where else ""),
            }
        )
    return outcome
