# SPDX-License-Identifier: MIT
"""A run's results for a terminal or a log."""

from collections import Counter
from enum import Enum

from rich.console import Console, ConsoleRenderable, Group
from rich.table import Table
from rich.text import Text

from harness.model import HEALTH, Cell, Change, Role, RunResult, Status, Verdict
from harness.report import terminal
from harness.report.outline import changed, moved, numbers, patches, remarks, some, unbuilt
from harness.report.table import (
    Row,
    by_scenario,
    repeats,
    rows,
    subject_names,
    tally,
    times,
)
from harness.report.terminal import CHANGE_STYLES, STYLES, line
from harness.verdict.coverage import summary

_EVIDENCE_LINES = 4
_REMARKS = 12
_ALIKE = (Change.STILL_FAILING, Change.STILL_PASSING)


class Detail(Enum):
    """How much is printed: what did not pass, a line for each scenario as well, or all."""

    BRIEF = "brief"
    NORMAL = "normal"
    FULL = "full"


def _said(verdict: Verdict | None) -> Text:
    if verdict is None:
        return Text("")
    return line((verdict.status.value, STYLES[verdict.status]), f" {verdict.measured}")


# --- what changed ------------------------------------------------------------


def _listing() -> Table:
    """A table without lines or head."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _outline(result: RunResult) -> list[ConsoleRenderable]:
    """What broke, what is fixed, what fails as before, which costs moved; nothing for nothing."""
    table = _listing()
    for told in changed(result):
        where = f"{some(told.scenarios)}: {told.reference} -> {told.candidate}"
        style = CHANGE_STYLES[told.change]
        table.add_row(line((told.change.value, style)), line((told.check, "bold")), line(where))
    for cost in moved(result):
        what = line(f"{cost.scenario}: {cost.measured}")
        table.add_row(line(("moved", "cyan")), line((cost.check, "bold")), what)
    others = numbers(result)
    if others:
        places = {number.scenario for number in others}
        what = line(f"{len(others)} in {len(places)} scenarios: see report.html")
        table.add_row(line(("moved", "cyan")), line(("numbers", "bold")), what)
    return [table, Text("")] if table.row_count else []


def _unbuilt(result: RunResult) -> list[ConsoleRenderable]:
    """The changed files that no guest has, and why not."""
    table = _listing()
    for file in unbuilt(result):
        table.add_row(line((file.part.value, "yellow")), line((file.path, "bold")), line(file.why))
    return [table, Text("")] if table.row_count else []


# --- the scenarios -----------------------------------------------------------


def _shown(result: RunResult, detail: Detail) -> dict[str, list[Row]]:
    """The rows to print for each scenario; none for one that only gets its line.

    Scenarios that nobody started are left out where a failure says why.
    """
    found = {}
    for scenario, all_rows in by_scenario(rows(result)).items():
        explained = result.failures or result.ended or not result.exercised
        if explained and not all_rows[0].started:
            continue
        # Where one cost moved, the scenario's others stand beside it.
        moving = any(row.is_cost and not row.quiet for row in all_rows)
        wanted = [
            row
            for row in all_rows
            if detail is Detail.FULL or not row.quiet or (moving and row.is_cost)
        ]
        wanted = [row for row in wanted if row.check == HEALTH or row.measured]
        if wanted or detail is not Detail.BRIEF:
            found[scenario] = wanted
    return found


def _table(result: RunResult, detail: Detail) -> list[ConsoleRenderable]:
    names = subject_names(result)
    compared = Role.REFERENCE in names
    shown = _shown(result, detail)
    if not shown:
        return []
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("scenario", no_wrap=True)
    if compared:
        table.add_column(line(f"reference {names[Role.REFERENCE]}"), overflow="fold")
    table.add_column(line(f"candidate {names[Role.CANDIDATE]}"), overflow="fold")
    table.add_column("expected, or time", overflow="fold")
    everything = by_scenario(rows(result))
    for scenario, wanted in shown.items():
        all_rows = everything[scenario]
        before = [tally([row.reference for row in all_rows])] if compared else []
        after = tally([row.candidate for row in all_rows])
        time = line((times(all_rows), "dim"))
        table.add_row(line((scenario, "bold")), *before, after, time)
        for row in wanted:
            said = [_said(row.reference)] if compared else []
            expected = line(row.candidate.expected)
            table.add_row(line(f"  {row.check}"), *said, _said(row.candidate), expected)
    return [table, Text("")]


def _evidence(result: RunResult) -> list[Text]:
    """What was seen where something is not as it should be, for each subject and check once.

    First of what the candidate broke; of what is alike on both, the candidate's only.
    """
    broken = {(one.scenario, one.check) for one in result.changes if one.change is Change.BROKEN}
    alike = {(row.scenario, row.check) for row in rows(result) if row.change in _ALIKE}
    faulty: dict[tuple[bool, str, str, Status], list[tuple[Cell, Verdict]]] = {}
    for cell in result.cells:
        for verdict in cell.verdicts:
            if verdict.status is not Status.PASS and verdict.evidence:
                mine = cell.cell.role is Role.CANDIDATE
                if not mine and (cell.cell.scenario, verdict.check) in alike:
                    continue
                first = mine and (cell.cell.scenario, verdict.check) in broken
                kind = (not first, cell.cell.subject, verdict.check, verdict.status)
                faulty.setdefault(kind, []).append((cell.cell, verdict))
    lines = []
    for (_, _, check, status), seen in sorted(faulty.items(), key=lambda item: item[0][0]):
        where, verdict = seen[0]
        title = (f"{where.id}  {check}", "bold")
        lines.append(line((status.value, STYLES[status]), "  ", title))
        lines += [line(f"    {text}") for text in verdict.evidence[:_EVIDENCE_LINES]]
        if len(seen) > 1:
            others = ", ".join(other.scenario for other, _ in seen[1:])
            lines.append(line((f"    as well in {others}", "dim")))
    return [*lines, Text("")] if lines else []


# --- the end -----------------------------------------------------------------


def _total(result: RunResult) -> str:
    guests = [guest for cell in result.cells for guest in cell.guests]
    ran = [guest.seconds for guest in guests if guest.seconds]
    stored = sum(guest.reused for guest in guests)
    text = f"{len(ran)} guests in {sum(ran):.0f} s of guests' time"
    return f"{text}, {stored} stored; {result.seconds:.0f} s in all"


def _noise(result: RunResult) -> list[Text]:
    """How many guests had more of the host's noise than is allowed, and of which kind."""
    guests = [guest for cell in result.cells for guest in cell.repetitions]
    noisy = [guest.noisy for guest in guests if guest.noisy]
    if not noisy:
        return []
    kinds = Counter(reason.split()[0] for reasons in noisy for reason in reasons)
    told = ", ".join(f"{kind} {number}" for kind, number in kinds.most_common())
    text = f"{len(noisy)} of {len(guests)} guests beyond a limit of configs/noise.yaml: {told}"
    return [line(("noise:", "dim"), f"    {text}")]


def _patches(result: RunResult) -> list[Text]:
    """Who wrote what, and what was done to have it."""
    known = [patch for patch in patches(result) if patch.subject]
    told = []
    if known:
        last = known[-1]
        title = f"{len(result.patches)}, {result.title or 'the last'}: " if len(known) > 1 else ""
        author = f" ({last.author})" if last.author else ""
        told.append(("patches", f"{title}{last.subject}{author}"))
    shown = remarks(result)
    told += shown[:_REMARKS]
    if len(shown) > _REMARKS:
        told.append(("note", f"{len(shown) - _REMARKS} more are in results.json"))
    return [line((f"{label + ':':<9}", "dim"), f" {text}") for label, text in told]


def _coverage(result: RunResult) -> list[Text]:
    """How much of the patch the guests executed."""
    if result.coverage is None:
        return []
    style = "yellow" if result.coverage.never else ""
    return [line(("coverage: ", "dim"), (summary(result.coverage), style))]


def _headline(result: RunResult) -> Text:
    word = result.status.value.upper() if result.exercised else "NOT EXERCISED"
    return line((word, STYLES[result.status]), f"  {result.headline}")


def found(result: RunResult, detail: Detail) -> ConsoleRenderable:
    """What changed, the scenarios, evidence and the headline: alike for all that find the same."""
    return Group(
        *_outline(result),
        *_unbuilt(result),
        *_table(result, detail),
        *_evidence(result),
        *(line(failure) for failure in result.failures),
        _headline(result),
    )


def around(result: RunResult, folder: str) -> ConsoleRenderable:
    """What was done with the patches, how long it took, and where the rest is."""
    return Group(
        *_patches(result),
        *_coverage(result),
        line(("time:", "dim"), f"     {_total(result)}"),
        *_noise(result),
        line(("evidence:", "dim"), f" {folder}"),
        *(line(("repeat:", "dim"), f"   {command}") for command in repeats(result)),
    )


def render(result: RunResult, folder: str, detail: Detail = Detail.NORMAL) -> ConsoleRenderable:
    """The whole report."""
    return Group(found(result, detail), around(result, folder))


def show(console: Console, result: RunResult, folder: str, detail: Detail = Detail.NORMAL) -> None:
    """Print the report."""
    terminal.show(console, render(result, folder, detail))
