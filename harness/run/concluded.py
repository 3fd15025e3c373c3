# SPDX-License-Identifier: MIT
"""What a run comes to, known where an earlier one had the same plan and saw the same."""

import json
from collections.abc import Mapping
from contextlib import suppress

from harness.errors import HarnessError
from harness.host.memory import Memory, code
from harness.host.store import Cache, digest
from harness.model import RunResult, TouchedFile
from harness.run.coverage import Watch
from harness.run.judged import Judge

_KIND = "conclusion"
# What is of each run by itself.
_ITS_OWN = {"started": "", "seconds": 0.0}


def concluded(
    judge: Judge,
    cache: Cache,
    *,
    failures: list[HarnessError],
    command: str,
    started: str,
    seconds: float,
    cells: Mapping[str, tuple[str, bool, float]],
    touched: tuple[TouchedFile, ...] | None,
    watch: Watch | None,
    ended: str = "",
) -> RunResult:
    """Judge what lies in a run's folder, as `conclude` does, unless it is known."""
    mine = {"started": started, "seconds": round(seconds, 2)}
    stored = not (failures or ended) and all(reused for _, reused, _ in cells.values())
    memory = Memory(cache)
    key = digest(
        code(),
        judge.plan.model_dump_json(),
        json.dumps([command, cells]),
        "unknown" if touched is None else "".join(file.model_dump_json() for file in touched),
        *(watch.parts() if watch else ()),
        *judge.digests().values(),
    )
    if stored:
        known = memory.recall(_KIND, key, judge.plan.source)
        with suppress(ValueError):
            if known is not None:
                found = RunResult.model_validate_json(known).model_copy(update=mine)
                judge.folder.write_results(found)
                return found
    # It takes long to import.
    from harness.run.conclusion import conclude  # noqa: PLC0415

    result = conclude(
        judge.folder,
        judge.plan,
        failures=failures,
        command=command,
        started=started,
        seconds=seconds,
        cells=cells,
        touched=touched,
        coverage=watch.of_patch(judge.plan, judge.folder) if watch else None,
        judge=judge,
        ended=ended,
    )
    if stored:
        own = result.model_copy(update=_ITS_OWN)
        memory.keep(_KIND, key, own.model_dump_json().encode())
    return result
