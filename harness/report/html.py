# SPDX-License-Identifier: MIT
"""A run's results as one HTML page: verdicts, evidence, and which counter an event was on when."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from harness.guest.records import Records
from harness.model import Change, Repetition, Role, RunResult, Scenario, SeriesResult, Status
from harness.report.coverage import shown
from harness.report.outline import changed, moved, numbers, patches, remarks, unbuilt
from harness.report.periods import HEIGHT, WIDTH, Chart, chart
from harness.report.steps import title_of, upon, where
from harness.report.table import Row, by_scenario, counts, rows, subject_names, times
from harness.report.timeline import Timeline, timeline
from harness.verdict.coverage import summary

if TYPE_CHECKING:
    from jinja2 import Template


@dataclass(frozen=True)
class Group:
    """The rows of one scenario, and what its line says."""

    title: str
    rows: list[Row]
    tallies: dict[str, dict[str, int]]
    times: str
    troubled: bool
    repetitions: list[Repetition]


def _groups(result: RunResult, scenarios: Mapping[str, Scenario]) -> dict[str, Group]:
    """The scenarios in order, those first in which the candidate is in trouble of its own."""
    found = {}
    compared = Role.REFERENCE in subject_names(result)
    guests: dict[str, list[Repetition]] = {}
    for cell in result.cells:
        guests.setdefault(cell.cell.scenario, []).extend(cell.repetitions)
    for scenario, members in by_scenario(rows(result)).items():
        tallies = {"reference": counts([row.reference for row in members])} if compared else {}
        tallies["candidate"] = counts([row.candidate for row in members])
        found[scenario] = Group(
            title=scenarios[scenario].title if scenario in scenarios else "",
            rows=members,
            tallies=tallies,
            times=times(members),
            troubled=any(_is_trouble(row) for row in members),
            repetitions=guests[scenario],
        )
    return dict(sorted(found.items(), key=lambda item: not item[1].troubled))


def _is_trouble(row: Row) -> bool:
    """True if a row is the candidate's fault, or does not decide."""
    if row.change is None:
        return row.candidate.status not in (Status.PASS, Status.SKIP)
    return row.change in (Change.BROKEN, Change.UNDECIDED)


def _lanes(
    result: RunResult, records: Mapping[str, Records], shared: set[str]
) -> dict[str, dict[str, Timeline]]:
    """Timelines by scenario and subject, of the cells that have a callback log.

    `shared` names the scenarios whose counters belong to several CPUs.
    """
    lanes: dict[str, dict[str, Timeline]] = {}
    for cell in result.cells:
        line = timeline(records[cell.cell.id], shared=cell.cell.scenario in shared)
        if line:
            lanes.setdefault(cell.cell.scenario, {})[cell.cell.subject] = line
    return lanes


def _charts(result: RunResult, records: Mapping[str, Records]) -> dict[str, Chart]:
    """Periods over time by scenario, of those that perf record sampled in."""
    cells: dict[str, dict[str, Records]] = {}
    for cell in result.cells:
        cells.setdefault(cell.cell.scenario, {})[cell.cell.subject] = records[cell.cell.id]
    charts = {scenario: chart(sides) for scenario, sides in cells.items()}
    return {scenario: found for scenario, found in charts.items() if found}


def render(
    result: RunResult,
    records: Mapping[str, Records],
    subjects: Mapping[str, Mapping[str, str]],
    scenarios: Mapping[str, Scenario],
) -> str:
    """The page, self-contained; everything that a guest said is escaped.

    `records` are by cell id, `subjects` (what each was built from) and `scenarios` by name.
    """
    template = _template("report.html")
    names = subject_names(result)
    shared = {name for name, row in scenarios.items() if "shared-counters" in row.needs}
    return template.render(
        result=result,
        scenarios=_groups(result, scenarios),
        changes=changed(result),
        moved=moved(result),
        numbers=numbers(result),
        unbuilt=unbuilt(result),
        covered=summary(result.coverage) if result.coverage else "",
        patch=shown(result.coverage) if result.coverage else [],
        patches=patches(result),
        remarks=remarks(result),
        names={role.value: name for role, name in names.items()},
        compared=Role.REFERENCE in names,
        repeated=any(len(cell.guests) > 1 for cell in result.cells),
        lanes=_lanes(result, records, shared),
        charts=_charts(result, records),
        chart_size=(WIDTH, HEIGHT),
        subjects=subjects,
        repeats=list(dict.fromkeys(cell.repeat for cell in result.cells)),
    )


def render_series(result: SeriesResult) -> str:
    """The page of a series: a row for each patch, with a link to its own page."""
    return _template("series.html").render(result=result, title_of=title_of, upon=upon, where=where)


def _template(name: str) -> "Template":
    from jinja2 import Environment  # noqa: PLC0415 (takes long)

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(
        files("harness.report").joinpath(name).read_text(encoding="utf-8")
    )
