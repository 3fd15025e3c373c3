# SPDX-License-Identifier: MIT
"""What checks say of a run's guests: found out on all cores, or known from an earlier run.

Beside a stored observation lies what was said of it, under a digest of all that it follows
from: the checks' code, the scenario, the machine, the known defects, the kernels' releases, and
the bytes of the observation itself and of its reference's.
"""

import os
import signal
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from harness.host.memory import code, keep, kept
from harness.host.store import digest
from harness.model import Cell, Frozen, Outcome, Plan, Role, Verdict
from harness.run.folder import RunFolder

# How the names of files begin that hold what was said of an observation.
JUDGED = "judged-"
# What the modules of a verdict are; a test compares.
CODE = (
    *("checks", "verdict", "model", "errors.py", "run/judged.py", "run/folder.py"),
    *("guest/files.py", "guest/records.py", "guest/aux_records.py", "guest/callback_records.py"),
    *("guest/pmu_records.py", "guest/tool_records.py", "guest/trace_records.py"),
)
# So many are kept of one observation: of both roles, alone, and of some versions of the checks.
_KEPT = 12
# With fewer cells than that, starting processes takes longer than it saves.
_FEW = 24


class Said(Frozen):
    """How a cell ended, as its records have it, and the verdicts of the checks."""

    outcome: Outcome
    verdicts: tuple[Verdict, ...]


@dataclass
class Judge:
    """Judges the cells of a plan that lie in a run's folder.

    `stored` has where the observations of cells are stored, `reused` which of the cells were
    taken from there: what was booted is judged anew.
    """

    plan: Plan
    folder: RunFolder
    stored: Mapping[str, Path] = field(default_factory=dict)
    reused: Container[str] = ()
    _digests: dict[str, str] = field(default_factory=dict)
    _said: dict[str, Said] = field(default_factory=dict)

    def digests(self) -> dict[str, str]:
        """Of what lies there, by cell, when all guests are over."""
        return {cell.id: self._digest(cell) for cell in self.plan.cells}

    def _digest(self, cell: Cell) -> str:
        """Of what lies there of a cell whose guest is over."""
        if cell.id not in self._digests:
            self._digests[cell.id] = self.folder.digest(cell)
        return self._digests[cell.id]

    def all(self) -> dict[str, Said]:
        """What is said of every cell; what is not known is found out, and kept."""
        digests = self.digests()
        keys = {cell.id: self._key(cell, digests) for cell in self.plan.cells}
        known = {cell.id: self._recalled(cell, keys[cell.id]) for cell in self.plan.cells}
        left = [cell for cell in self.plan.cells if known[cell.id] is None]
        found = _judged(self.plan, self.folder.path, left)
        for cell in left:
            self._keep(cell, keys[cell.id], found[cell.id])
        return {cell.id: known[cell.id] or found[cell.id] for cell in self.plan.cells}

    def cell(self, cell: Cell) -> Said:
        """What is said of one that has been observed, as its reference has."""
        there = [one for one in (cell, reference_of(cell, self.plan)) if one is not None]
        key = self._key(cell, {one.id: self._digest(one) for one in there})
        said = self._recalled(cell, key)
        if said is None:
            said = _judged(self.plan, self.folder.path, [cell])[cell.id]
            self._keep(cell, key, said)
        return said

    @cached_property
    def _base(self) -> str:
        """Digest of what all cells' verdicts follow from."""
        plan = self.plan
        return digest(
            code(*CODE),
            plan.machine.model_dump_json(),
            *(variant.model_dump_json() for variant in plan.variants),
            *(erratum.model_dump_json() for erratum in plan.errata),
            *(f"{role.value} {subject.version}" for role, subject in plan.subjects.items()),
        )

    @cached_property
    def _scenarios(self) -> dict[str, str]:
        return {one.name: one.model_dump_json() for one in self.plan.scenarios}

    def _key(self, cell: Cell, digests: Mapping[str, str]) -> str:
        reference = reference_of(cell, self.plan)
        return digest(
            self._base,
            self._scenarios[cell.scenario],
            cell.role.value,
            digests[cell.id],
            digests[reference.id] if reference else "",
        )

    def _recalled(self, cell: Cell, key: str) -> Said | None:
        """What is known under a key: of this run, or beside the stored observation."""
        if key in self._said:
            return self._said[key]
        place = self.stored.get(cell.id) if cell.id in self.reused else None
        value = kept(place / f"{JUDGED}{key}", key) if place else None
        with suppress(ValueError):
            return Said.model_validate_json(value) if value is not None else None
        return None

    def _keep(self, cell: Cell, key: str, said: Said) -> None:
        """Know it from now on; where that cannot be written, it is found out again."""
        self._said[key] = said
        place = self.stored.get(cell.id)
        with suppress(OSError):
            if place and place.exists():
                _forget_oldest(place)
                keep(place / f"{JUDGED}{key}", key, said.model_dump_json().encode())


def _forget_oldest(place: Path) -> None:
    known = sorted(place.glob(f"{JUDGED}*"), key=lambda path: path.stat().st_mtime)
    for path in known[: max(0, len(known) - _KEPT + 1)]:
        path.unlink(missing_ok=True)


def reference_of(cell: Cell, plan: Plan) -> Cell | None:
    """The reference's guest of the same scenario and repetition, of a candidate's."""
    reference = plan.subjects.get(Role.REFERENCE)
    if cell.role is not Role.CANDIDATE or reference is None:
        return None
    return cell.model_copy(update={"role": Role.REFERENCE, "subject": reference.name})


# --- finding out -------------------------------------------------------------


def _judged(plan: Plan, folder: Path, cells: Sequence[Cell]) -> dict[str, Said]:
    """What is said of cells that lie in a run's folder, by several processes where it is worth it.

    They are started anew: the harness has threads, which a fork would not have.
    """
    # They take long to import.
    import multiprocessing  # noqa: PLC0415
    from concurrent.futures import ProcessPoolExecutor  # noqa: PLC0415

    number = os.cpu_count() or 1
    if len(cells) < _FEW or number == 1:
        return _judge(plan, folder, cells)
    found: dict[str, Said] = {}
    together = list(_by_scenario(cells))
    # A share for each, and the scenarios' sizes spread over them.
    shares = [[cell for group in together[first::number] for cell in group]
              for first in range(number)]  # fmt: skip
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(number, mp_context=context, initializer=_leave_signals) as pool:
        for said in pool.map(partial(_judge, plan, folder), shares):
            found |= said
    return found


def _leave_signals() -> None:
    """Ctrl-C is for the harness, which ends its children."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _by_scenario(cells: Iterable[Cell]) -> Iterator[list[Cell]]:
    """Cells that are judged from the same records together."""
    found: dict[tuple[str, int], list[Cell]] = {}
    for cell in cells:
        found.setdefault((cell.scenario, cell.repetition), []).append(cell)
    yield from found.values()


def _judge(plan: Plan, path: Path, cells: Iterable[Cell]) -> dict[str, Said]:
    """What is said of cells, one scenario after the other: records are many."""
    from harness.verdict.judge import judge_cell  # noqa: PLC0415 (takes long)

    folder = RunFolder(path)
    said = {}
    for group in _by_scenario(cells):
        observed = {}
        for cell in group:
            reference = reference_of(cell, plan)
            for one in (cell, reference):
                if one is not None and one.id not in observed:
                    observed[one.id] = folder.observed(one)
            mine = observed[cell.id]
            theirs = observed[reference.id] if reference else None
            said[cell.id] = Said(
                outcome=mine.outcome, verdicts=judge_cell(cell, plan, mine, theirs)
            )
    return said
