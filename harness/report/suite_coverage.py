# SPDX-License-Identifier: MIT
"""What the suite executes of perf's sources, for a terminal or a log, and for a browser."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment
from rich.console import Console, ConsoleRenderable, Group
from rich.table import Table
from rich.text import Text

from harness.model import SuiteCoverage
from harness.report.terminal import line, plain

# So many functions that were never entered are named for each file, and so many scenarios.
_NAMED = 12
_SCENARIOS = 8


@dataclass(frozen=True)
class Line:
    """A line of a source: `ran` is None where it became no code, else the scenarios."""

    text: str
    ran: tuple[str, ...] | None


def _table(coverage: SuiteCoverage) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("source", no_wrap=True)
    for name in ("executed", "bytes", "functions", "entered", "unreachable"):
        table.add_column(name, justify="right", no_wrap=True)
    for path in _paths(coverage):
        mine = coverage.of(path)
        left_out = sum(one.path == path for one in coverage.functions) - len(mine)
        table.add_row(
            line(path),
            f"{coverage.percent(path):.0f} %",
            str(sum(one.size for one in mine)),
            str(len(mine)),
            str(sum(bool(one.ran) for one in mine)),
            str(left_out),
        )
    return table


def _paths(coverage: SuiteCoverage) -> list[str]:
    return list(dict.fromkeys(one.path for one in coverage.functions))


def _never(coverage: SuiteCoverage) -> list[Text]:
    """The functions that were never entered, the largest first."""
    told = []
    for path in _paths(coverage):
        never = sorted((one for one in coverage.of(path) if not one.ran), key=lambda f: -f.size)
        if not never:
            continue
        names = ", ".join(one.name for one in never[:_NAMED])
        more = f" and {len(never) - _NAMED} more" if len(never) > _NAMED else ""
        told.append(line((f"never entered in {path}: ", "yellow"), f"{names}{more}"))
    return told


def _alone(coverage: SuiteCoverage) -> list[Text]:
    """The scenarios without which most code would not run."""
    first = list(coverage.alone.items())[:_SCENARIOS]
    told = ", ".join(f"{name} {size}" for name, size in first)
    return [line(("bytes that one scenario alone executes: ", "dim"), told)] if told else []


def render(coverage: SuiteCoverage, page: str) -> ConsoleRenderable:
    """A row for each source, what no scenario entered, and where the rest is."""
    unknown = [line((f"{path}: ", "yellow"), why) for path, why in coverage.unknown.items()]
    return Group(
        _table(coverage),
        Text(""),
        *_never(coverage),
        *_alone(coverage),
        *unknown,
        line(("lines:", "dim"), f" {page}"),
    )


def show(console: Console, coverage: SuiteCoverage, page: str) -> None:
    """Print it; where nobody looks at a terminal, lines are not folded."""
    plain(console).print(render(coverage, page), highlight=False)


def page(coverage: SuiteCoverage, texts: Mapping[str, str]) -> str:
    """The sources as one HTML page, each line coloured; `texts` are the sources by path."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(
        files("harness.report").joinpath("coverage.html").read_text(encoding="utf-8")
    )
    sources = {
        path: [
            Line(text, coverage.lines.get(path, {}).get(number))
            for number, text in enumerate(texts[path].splitlines(), 1)
        ]
        for path in _paths(coverage)
        if path in texts
    }
    return template.render(coverage=coverage, sources=sources)
