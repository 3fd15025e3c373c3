# SPDX-License-Identifier: MIT
"""Commands that show what is stored, judge and report; and how each run ends."""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NoReturn

import click
from pydantic import ValidationError
from rich.console import Console

from harness import PROGRAM
from harness.cli.options import chosen_detail, detail_options, known_option
from harness.errors import Exit, HostError, PlanError
from harness.host.memory import Memory, code
from harness.host.store import Cache, as_json, digest, write_bytes, write_json, write_text
from harness.model import (
    Bisection,
    Change,
    Comparison,
    Frozen,
    Ladder,
    Plan,
    Role,
    RunResult,
    SeriesResult,
    Status,
)
from harness.report import steps, summary, terminal, text
from harness.report.stamp import stamped, unstamped
from harness.report.terminal import plain, written
from harness.run.folder import PLAN, RunFolder
from harness.run.history import History
from harness.run.known import known_issues
from harness.run.request import command_line
from harness.run.steps import SERIES_RESULT

KCIDB, REPLY, SUMMARY, HTML = "kcidb.json", "reply.eml", "summary.md", "report.html"
# A mail may have bytes that are no UTF-8.
_BYTES = "surrogateescape"
# What docs/schema/ has a file of.
SCHEMAS: dict[str, type[Frozen]] = {
    "bisection": Bisection,
    "comparison": Comparison,
    "ladder": Ladder,
    "results": RunResult,
    "series": SeriesResult,
}
# Of so many broken scenarios a reply's command names each.
_SCENARIOS = 3
EXITS = {
    Status.PASS: Exit.PASS,
    Status.SKIP: Exit.ERROR,
    Status.INCONCLUSIVE: Exit.ERROR,
    Status.ERROR: Exit.ERROR,
    Status.FAIL: Exit.FAIL,
}


@click.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(exists=True, path_type=Path))
@known_option
@detail_options
def judge(run_folder: Path, known: tuple[Path, ...], brief: bool, full: bool) -> None:
    """Judge a stored run again, with the checks of today; no kernel, no QEMU."""
    detail = chosen_detail(brief=brief, full=full)
    issues = known_issues(known, lambda text: click.echo(text, err=True))
    from harness.run.conclusion import rejudge  # noqa: PLC0415 (takes long)

    finish((rejudge(RunFolder(run_folder), issues), run_folder), detail)


@click.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--trace",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the callback log as a trace for ui.perfetto.dev.",
)
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    metavar="NAME",
    help="Only this scenario in the trace; repeat for several.",
)
@detail_options
def report(
    run_folder: Path, trace: Path | None, scenarios: tuple[str, ...], brief: bool, full: bool
) -> None:
    """Show a stored run's or series' results, and write its reports anew."""
    detail = chosen_detail(brief=brief, full=full)
    if (run_folder / SERIES_RESULT).exists():
        if trace:
            raise click.UsageError("a series has no trace: give the folder of one of its steps")
        finish_series(_read_series(run_folder), run_folder)
    if trace:
        _write_trace(RunFolder(run_folder), trace, scenarios)
    finish((RunFolder(run_folder).read_results(), run_folder), detail)


def _write_trace(folder: RunFolder, trace: Path, chosen: tuple[str, ...]) -> None:
    """The callback logs of a run's cells, as one trace; raises PlanError where there are none."""
    from harness.report import perfetto  # noqa: PLC0415 (takes long)

    plan, result = folder.read_plan(), folder.read_results()
    wide = {row.name for row in plan.scenarios if "shared-counters" in row.needs}
    wanted = [cell for cell in result.cells if not chosen or cell.cell.scenario in chosen]
    records = {cell.cell.id: folder.observed(cell.shown).records for cell in wanted}
    if not any(found.calls for found in records.values()):
        raise PlanError(
            f"no guest of {folder.path} has a callback log",
            why=f"asked for: {', '.join(chosen) or 'all scenarios'}",
            advice="./pmu-harness report RUN names the scenarios",
        )
    shared = {cell.cell.id for cell in wanted if cell.cell.scenario in wide}
    write_bytes(trace, perfetto.render(records, shared))


@click.command()
@click.argument("name", type=click.Choice(sorted(SCHEMAS)))
def schema(name: str) -> None:
    """Print the JSON Schema of a file that this writes: results.json, series.json, ..."""
    click.echo(json.dumps(SCHEMAS[name].model_json_schema(mode="serialization"), indent=1))


def finish(outcome: tuple[RunResult, Path], detail: text.Detail) -> NoReturn:
    """Write the reports, show the text, exit with the run's status."""
    result, path = outcome
    write_reports(result, path)
    show(Console(), result, path, detail)
    tell_github(path / SUMMARY, summary.annotations(result))
    sys.exit(EXITS[result.status])


def show(console: Console, result: RunResult, path: Path, detail: text.Detail) -> None:
    """Print the report; what was found is laid out once for consoles of a kind."""
    out = plain(console)
    kind = (out.width, out.color_system, out.encoding, out.legacy_windows, out.no_color)
    key = digest(code(), unstamped(result).model_dump_json(), detail.value, repr(kind))

    def laid_out() -> str:
        return written(console, text.found(result, detail))

    console.file.write(Memory(Cache()).known("text", key, result.plan, laid_out))
    terminal.show(console, text.around(result, str(path)))


def remember(result: RunResult, path: Path) -> None:
    """Add a run to the history; that this cannot be is said, and no failure of the run's."""
    try:
        History().record(RunFolder(path).read_plan(), result, path)
    except HostError as error:
        click.echo("\n".join(error.lines()), err=True)


def _read_series(folder: Path) -> SeriesResult:
    try:
        return SeriesResult.model_validate_json((folder / SERIES_RESULT).read_bytes())
    except ValidationError as error:
        raise PlanError(
            f"{folder} holds no series that this version reads", why=str(error)
        ) from error


def finish_series(result: SeriesResult, path: Path) -> NoReturn:
    """Write a series' reports, show its table, exit with its status."""
    write_series_reports(result, path)
    steps.show(Console(), result, str(path))
    tell_github(path / SUMMARY, summary.annotations_of_series(result))
    sys.exit(EXITS[result.status])


def write_reports(result: RunResult, path: Path) -> None:
    """Put the reports for a CI, for a browser and for a list into a run's folder.

    They are made once of what is found, whichever run finds it.
    """
    folder = RunFolder(path)
    plain, names = unstamped(result), {cell.cell.subject for cell in result.cells}
    facts = {name: folder.facts(name) for name in sorted(names)}
    key = digest(
        code(),
        plain.model_dump_json(),
        (path / PLAN).read_bytes(),
        json.dumps(facts),
        *(folder.digest(cell.shown) for cell in result.cells),
    )
    memory = Memory(Cache())
    made = memory.known("reports", key, result.plan, lambda: _reports(plain, folder, facts))
    for name, content in made.items():
        write_bytes(path / name, stamped(content.encode(errors=_BYTES), result))


def _reports(
    result: RunResult, folder: RunFolder, facts: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """The reports by the names of their files."""
    # They take long, and are made when something is found that no run found before.
    from harness.report import html, junit, kcidb, ktap, mail  # noqa: PLC0415

    plan = folder.read_plan()
    records = {cell.cell.id: folder.observed(cell.shown).records for cell in result.cells}
    scenarios = {scenario.name: scenario for scenario in plan.scenarios}
    candidate = folder.facts(plan.subjects[Role.CANDIDATE].name)
    made = {
        "junit.xml": junit.render(result),
        "results.ktap": ktap.render(result),
        SUMMARY: summary.render(result),
        KCIDB: as_json(kcidb.document(result, plan, candidate)),
        HTML: html.render(result, records, facts, scenarios),
    }
    if result.patches:
        made[REPLY] = mail.render(result, _again(plan, result)).decode(errors=_BYTES)
    return made


def write_series_reports(result: SeriesResult, path: Path) -> None:
    """The same for a series, of whose steps each has its own in its folder."""
    from harness.report import html, junit, kcidb, mail  # noqa: PLC0415 (takes long)

    write_text(path / "junit.xml", junit.render_series(result))
    write_text(path / SUMMARY, summary.render_series(result))
    write_text(path / HTML, html.render_series(result))
    write_bytes(path / REPLY, mail.render_series(result))
    files = [path / step.folder / KCIDB for step in result.steps if step.folder]
    write_json(path / KCIDB, kcidb.merged([json.loads(file.read_bytes()) for file in files]))


def tell_github(summary_file: Path, annotations: Iterable[str]) -> None:
    """In a job of GitHub's, put the summary where it is shown, and print the annotations."""
    place = os.environ.get("GITHUB_STEP_SUMMARY")
    if place:
        with Path(place).open("a", encoding="utf-8") as file:
            file.write(summary_file.read_text(encoding="utf-8"))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in annotations:
            click.echo(line)


def _again(plan: Plan, result: RunResult) -> list[str]:
    """The command that anybody can give, without the patches: what is broken, or all."""
    broken = (one.scenario for one in result.changes if one.change is Change.BROKEN)
    asked = list(dict.fromkeys(broken))[:_SCENARIOS]
    words = [PROGRAM, "run", "--source", plan.source, "--machine", plan.machine.name]
    words += [word for name in asked for word in ("--scenario", name)]
    return [command_line([*words, "--patch"])]
