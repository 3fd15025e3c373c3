# SPDX-License-Identifier: MIT
"""The layout of a run on disk: plan, host facts, patches, subjects, cells, results."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness.errors import PlanError
from harness.guest.blocks import read
from harness.guest.files import EXECUTED, OUTCOME, RECORDS
from harness.host.store import as_json, digest, write_bytes, write_json, write_text
from harness.model import Cell, GuestEnd, Noise, Outcome, PatchFile, Plan, Role, RunResult
from harness.model.coverage import Span
from harness.source.mail import SERIES, as_mail

if TYPE_CHECKING:
    from harness.verdict.judge import Observed

PLAN = "plan.json"
HOST = "host.json"
RESULTS = "results.json"
CELLS = "cells"
SUBJECTS = "subjects"
PATCHES = "patches"
REPRODUCERS = "reproducers"
NOISE = "noise.json"
_JUDGED = (OUTCOME, RECORDS, NOISE, EXECUTED)
NOT_STARTED = Outcome.model_construct(end=GuestEnd.NOT_STARTED, stage="none", summary="not started")


class RunFolder:
    """One run's folder; `path/cells/CELL-ID/` is an observation."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, plan: Plan, host: dict[str, Any]) -> None:
        """Write the plan, and each cell as not started: nothing lost looks green.

        Replaces an earlier run in the folder; raises PlanError where it holds
        anything else.
        """
        if not (self.path / PLAN).exists() and any(self.path.iterdir()):
            raise PlanError(
                f"{self.path} is not empty, and holds no run", advice="give another --output"
            )
        for name in (CELLS, SUBJECTS, PATCHES, REPRODUCERS):
            shutil.rmtree(self.path / name, ignore_errors=True)
        (self.path / RESULTS).unlink(missing_ok=True)
        write_text(self.path / PLAN, plan.model_dump_json(indent=2) + "\n")
        write_json(self.path / HOST, host)
        write_patches(self.patches, plan.subjects[Role.CANDIDATE].patches)
        text = _as_text(NOT_STARTED)
        for cell in plan.cells:
            place = self.cell(cell)
            place.mkdir(parents=True)
            (place / OUTCOME).write_text(text, encoding="utf-8")

    @property
    def patches(self) -> Path:
        """Where the candidate's patches are, as quilt and `--patch` take them."""
        return self.path / PATCHES

    def cell(self, cell: Cell) -> Path:
        """The folder of one cell."""
        return self.path / CELLS / cell.id

    def subject(self, name: str) -> Path:
        """The folder of one subject: config, build log, facts."""
        return self.path / SUBJECTS / name

    def reproducer(self, scenario: str) -> Path:
        """The folder of what a scenario's reproducer was made of, and the program."""
        return self.path / REPRODUCERS / scenario

    def write_outcome(self, cell: Cell, outcome: Outcome) -> None:
        """Say how a cell ended."""
        write_text(self.cell(cell) / OUTCOME, _as_text(outcome))

    def read_plan(self) -> Plan:
        """The stored plan; raises PlanError where the folder holds no run."""
        try:
            return Plan.model_validate_json((self.path / PLAN).read_bytes())
        except (OSError, ValidationError) as error:
            raise PlanError(
                f"{self.path} holds no run that this version reads", why=str(error)
            ) from error

    def outcome(self, cell: Cell) -> Outcome:
        """How a cell ended, as the guest's host has it."""
        return Outcome.model_validate_json((self.cell(cell) / OUTCOME).read_bytes())

    def observed(self, cell: Cell) -> "Observed":
        """One cell as it lies on disk; records that cannot be read make an outcome of it."""
        # They take long, and what is known already needs neither.
        from harness.guest.records import Records, RecordsError, parse  # noqa: PLC0415
        from harness.verdict.judge import Observed  # noqa: PLC0415

        folder = self.cell(cell)
        outcome = self.outcome(cell)
        try:
            records = parse((folder / RECORDS).read_bytes())
        except FileNotFoundError:
            records = Records([])
        except RecordsError as error:
            records = Records([])
            outcome = Outcome(end=GuestEnd.STOPPED_EARLY, stage="batch", summary=str(error))
        return Observed(outcome, records, self.noise(cell))

    def digest(self, cell: Cell) -> str:
        """Of all that is judged, counted or drawn of a cell."""
        folder = self.cell(cell)
        state = _state(folder)
        if state not in _digests:
            _digests[state] = digest(*(_content(folder / name) for name in _JUDGED))
        return _digests[state]

    def executed(self, cell: Cell) -> list[Span] | None:
        """Where the code lies that a cell's guest executed; None where nobody looked."""
        path = self.cell(cell) / EXECUTED
        return read(path.read_text(encoding="ascii")) if path.exists() else None

    def write_noise(self, cell: Cell, noise: Noise) -> None:
        """Say what the host did while a cell's guest ran."""
        write_json(self.cell(cell) / NOISE, noise.model_dump(mode="json"))

    def noise(self, cell: Cell) -> Noise | None:
        """What the host did meanwhile, where that was noted."""
        path = self.cell(cell) / NOISE
        return Noise.model_validate_json(path.read_bytes()) if path.exists() else None

    def write_results(self, result: RunResult) -> None:
        """Write results.json."""
        write_text(self.path / RESULTS, result.model_dump_json(indent=1) + "\n")

    def read_results(self) -> RunResult:
        """The stored results; raises PlanError where there are none."""
        try:
            return RunResult.model_validate_json((self.path / RESULTS).read_bytes())
        except (OSError, ValidationError) as error:
            raise PlanError(f"{self.path} holds no results", why=str(error)) from error

    def facts(self, subject: str) -> dict[str, str]:
        """What a subject was built from; empty for one that was not built."""
        path = self.subject(subject) / "build.json"
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _as_text(outcome: Outcome) -> str:
    return as_json(outcome.model_dump(mode="json"))


# By the state of a cell's files: what was read once need not be read again.
_digests: dict[tuple[object, ...], str] = {}


def note_digest(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Know what is in a cell's folder, which was just written."""
    parts = (contents.get(name) for name in _JUDGED)
    _digests[_state(folder)] = digest(*(b"-" if one is None else b"+" + one for one in parts))


def _state(folder: Path) -> tuple[object, ...]:
    """What changes when a file that is judged does."""
    found: list[object] = [str(folder)]
    for name in _JUDGED:
        try:
            about = os.stat(f"{folder}/{name}")  # noqa: PTH116 (there are thousands)
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns))
    return tuple(found)


def _content(path: Path) -> bytes:
    """What is in a file, and whether it is there."""
    try:
        return b"+" + path.read_bytes()
    except FileNotFoundError:
        return b"-"


def write_patches(folder: Path, patches: Sequence[PatchFile]) -> None:
    """Put patches into a folder as quilt and `--patch` take them; none makes no folder."""
    names = [f"{_safe(patch.stem or PurePath(patch.path).stem)}.patch" for patch in patches]
    if len(set(names)) < len(names):
        names = [f"{number:04d}-{name}" for number, name in enumerate(names, 1)]
    for name, patch in zip(names, patches, strict=True):
        write_bytes(folder / name, as_mail(patch))
    if names:
        write_text(folder / SERIES, "".join(f"{name}\n" for name in names))


def _safe(name: str) -> str:
    """A file's name that a list of quilt's can hold."""
    return "".join(char if char.isalnum() or char in "._+-" else "-" for char in name)[:100]
