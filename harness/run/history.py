# SPDX-License-Identifier: MIT
"""What runs found, kept over time: each verdict and number in SQLite, and baselines."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.ask.plan import short_version
from harness.errors import HostError, PlanError
from harness.host.store import default_runs
from harness.model import Plan, Point, Role, RunResult, Trend

_SCHEMA = """
create table if not exists runs (
    id integer primary key,
    folder text not null,
    started text not null,
    role text not null,
    kernel text not null,
    subject text not null,
    machine text not null,
    status text not null,
    headline text not null,
    unique (folder, started, role)
);
create table if not exists verdicts (
    run integer not null references runs (id) on delete cascade,
    scenario text not null,
    check_name text not null,
    status text not null,
    measured text not null,
    metrics text not null
);
create index if not exists verdicts_of_a_check on verdicts (check_name, run);
create index if not exists verdicts_of_a_run on verdicts (run, status);
create table if not exists baselines (
    kernel text not null,
    machine text not null,
    folder text not null,
    result text not null,
    primary key (kernel, machine)
);
"""
_TREND = """
select kernel, subject, machine, scenario, started, runs.folder,
       verdicts.status, measured, metrics
  from verdicts join runs on runs.id = verdicts.run
 where check_name = ? and (? = '' or scenario = ?) and (? = '' or machine = ?)
   and (? = '' or kernel = ?)
 order by kernel, subject, machine, scenario, started, runs.id
"""
_FAILED = """
select scenario, max(run) as latest from verdicts
 where status = 'fail' and run in (
    select id from runs where kernel = ? and machine = ? and role = 'candidate'
     order by id desc limit ?)
 group by scenario order by latest desc, scenario
"""
_WAIT_S = 30.0


@dataclass(frozen=True)
class Baseline:
    """A run that others are compared with, of one kernel on one machine; whole, as it was."""

    kernel: str
    machine: str
    folder: str
    result: RunResult


class History:
    """The database; several processes may use it at a time."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_runs().parent / "history.sqlite"

    def record(self, plan: Plan, result: RunResult, folder: Path) -> None:
        """Add what a run found of each subject; a run that was recorded before is replaced."""
        with self._open() as database:
            for role, subject in plan.subjects.items():
                place = (str(folder), result.started, role.value)
                database.execute(
                    "delete from runs where (folder, started, role) = (?, ?, ?)", place
                )
                row = database.execute(
                    "insert into runs (folder, started, role, kernel, subject, machine, status, "
                    "headline) values (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        *place,
                        short_version(subject.version),
                        subject.name,
                        plan.machine.name,
                        result.status.value,
                        result.headline,
                    ),
                )
                database.executemany(
                    "insert into verdicts values (?, ?, ?, ?, ?, ?)",
                    _verdicts(result, role, row.lastrowid),
                )

    def trends(
        self, check: str, *, scenario: str = "", machine: str = "", kernel: str = ""
    ) -> tuple[Trend, ...]:
        """What became of a check over time, by subject, machine and scenario."""
        chosen = (scenario, scenario, machine, machine, kernel, kernel)
        found: dict[tuple[str, str, str, str], list[Point]] = {}
        with self._open() as database:
            for row in database.execute(_TREND, (check, *chosen)):
                point = Point(
                    started=row[4],
                    folder=row[5],
                    status=row[6],
                    measured=row[7],
                    metrics=json.loads(row[8]),
                )
                found.setdefault((row[0], row[1], row[2], row[3]), []).append(point)
        return tuple(
            Trend(
                check=check,
                kernel=key[0],
                subject=key[1],
                machine=key[2],
                scenario=key[3],
                points=tuple(points),
            )
            for key, points in found.items()
        )

    def failed(self, kernel: str, machine: str, runs: int = 5) -> list[str]:
        """The scenarios in which candidates of a kernel failed in the last runs, the last first."""
        with self._open() as database:
            rows = database.execute(_FAILED, (kernel, machine, runs))
            return [str(scenario) for scenario, _ in rows]

    def checks(self) -> list[str]:
        """The names of all checks that there is anything of."""
        with self._open() as database:
            rows = database.execute("select distinct check_name from verdicts order by 1")
            return [str(name) for (name,) in rows]

    def save(self, baseline: Baseline) -> None:
        """Keep a baseline, in the place of an earlier one."""
        with self._open() as database:
            database.execute(
                "insert or replace into baselines values (?, ?, ?, ?)",
                (
                    baseline.kernel,
                    baseline.machine,
                    baseline.folder,
                    baseline.result.model_dump_json(),
                ),
            )

    def baselines(self) -> tuple[Baseline, ...]:
        """All of them, by kernel and machine."""
        with self._open() as database:
            rows = database.execute("select * from baselines order by kernel, machine").fetchall()
        return tuple(
            Baseline(kernel, machine, folder, RunResult.model_validate_json(text))
            for kernel, machine, folder, text in rows
        )

    def baseline(self, kernel: str, machine: str) -> Baseline:
        """The one of a kernel on a machine; raises PlanError where there is none."""
        known = self.baselines()
        for one in known:
            if (one.kernel, one.machine) == (kernel, machine):
                return one
        named = ", ".join(f"{one.kernel} on {one.machine}" for one in known) or "none"
        raise PlanError(
            f"there is no baseline of {kernel} on {machine}",
            why=f"known: {named}",
            advice="./pmu-harness baseline save RUN",
        )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The database, in one transaction; raises HostError where it cannot be used."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=_WAIT_S)) as database:
                database.execute("pragma foreign_keys = on")
                database.executescript(_SCHEMA)
                with database:
                    yield database
        except (OSError, sqlite3.Error) as error:
            raise HostError(
                f"the history in {self.path} cannot be used",
                why=str(error),
                advice="move it away, and a new one begins",
            ) from error


def _verdicts(
    result: RunResult, role: Role, run: int | None
) -> Iterator[tuple[int | None, str, str, str, str, str]]:
    for cell in result.cells:
        if cell.cell.role is role:
            for verdict in cell.verdicts:
                yield (
                    run,
                    cell.cell.scenario,
                    verdict.check,
                    verdict.status.value,
                    verdict.measured,
                    json.dumps(verdict.metrics),
                )


def kernel_of(plan: Plan) -> str:
    """What a kernel is called in baselines: its release without the last number."""
    return short_version(plan.subjects[Role.CANDIDATE].version)
