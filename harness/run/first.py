# SPDX-License-Identifier: MIT
"""What is known of scenarios before they are booted: who failed lately, what takes how long."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from harness.ask.catalog import Catalog
from harness.ask.plan import short_version
from harness.errors import HostError
from harness.host.memory import Memory
from harness.host.store import Cache, digest
from harness.model import PatchFile, Plan, Role, Series
from harness.run.history import History
from harness.run.order import SABOTEURS, functions, ranks, suspected

_KIND = "seconds"


def ranks_of(plan: Plan, catalog: Catalog, cache: Cache) -> dict[str, int]:
    """The places of a plan's scenarios among those that are booted; see `order.ranks`.

    What cannot be known orders nothing.
    """
    names = [scenario.name for scenario in plan.scenarios]
    failed: list[str] = []
    with suppress(HostError):
        version = short_version(plan.subjects[Role.CANDIDATE].version)
        failed = History().failed(version, plan.machine.name)
    touched = functions(_own_patches(plan))
    suspects = suspected(touched, _saboteurs(catalog)) if touched else frozenset()
    return ranks(names, failed=failed, suspects=suspects, seconds=_seconds(plan, cache))


def _own_patches(plan: Plan) -> tuple[PatchFile, ...]:
    """Those that the candidate has and its reference has not."""
    reference = plan.subjects.get(Role.REFERENCE)
    shared = len(reference.patches) if reference else 0
    return plan.subjects[Role.CANDIDATE].patches[shared:]


def _saboteurs(catalog: Catalog) -> dict[str, tuple[Series, frozenset[str]]]:
    """Each that says where it shows, with the functions that its patches are in."""
    rows = {name: row for name, row in catalog.series.items() if name.startswith(SABOTEURS)}
    return {
        name: (row, functions(PatchFile.of(one.file, _bytes(one.file)) for one in row.patches))
        for name, row in rows.items()
        if row.claim.scenarios
    }


def _bytes(name: str) -> bytes:
    with suppress(OSError):
        return Path(name).read_bytes()
    return b""


def _seconds(plan: Plan, cache: Cache) -> dict[str, float]:
    """How long each scenario's guest took when it was booted last; a hint, and no more."""
    known = Memory(cache).recall(_KIND, _key(plan), plan.machine.name)
    with suppress(ValueError):
        return dict(json.loads(known)) if known else {}
    return {}


def note_seconds(plan: Plan, cache: Cache, seconds: Mapping[str, float]) -> None:
    """Know from now on how long guests take; `seconds` are by cell."""
    taken = {cell.scenario: seconds[cell.id] for cell in plan.cells if cell.id in seconds}
    value = json.dumps({**_seconds(plan, cache), **taken}).encode()
    Memory(cache).keep(_KIND, _key(plan), value)


def _key(plan: Plan) -> str:
    return digest(plan.machine.name)
