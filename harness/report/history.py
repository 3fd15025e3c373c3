# SPDX-License-Identifier: MIT
"""What became of a check over time: a line for a terminal, a plot for a browser."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment
from rich.console import Console, ConsoleRenderable, Group
from rich.table import Table
from rich.text import Text

from harness.model import Point, Status, Trend
from harness.report import terminal
from harness.report.terminal import STYLES, line

# A mark for each verdict where there is no number, and eight heights where there is one.
_MARKS = {
    Status.PASS: ".",
    Status.SKIP: "s",
    Status.INCONCLUSIVE: "?",
    Status.ERROR: "e",
    Status.FAIL: "F",
}
_BARS = "▁▂▃▄▅▆▇█"
_SHOWN = 40
WIDTH, HEIGHT = 640, 80


@dataclass(frozen=True)
class Plot:
    """A number of a trend, as points of a drawing of WIDTH x HEIGHT, with the verdicts' words."""

    trend: Trend
    number: str
    least: float
    most: float
    dots: tuple[tuple[float, float, Point], ...]


def numbers_of(trend: Trend) -> list[str]:
    """The names of the numbers that all its verdicts have."""
    names = [set(point.metrics) for point in trend.points if point.metrics]
    return sorted(set.intersection(*names)) if names else []


def spark(points: Sequence[Point], number: str) -> Text:
    """A mark for each point: how high its number is, in the colour of its verdict."""
    values = [point.metrics.get(number) for point in points]
    known = [value for value in values if value is not None]
    least, most = min(known, default=0), max(known, default=0)
    marks = []
    for point, value in zip(points, values, strict=True):
        mark = _MARKS[point.status]
        if value is not None and most > least:
            mark = _BARS[round((value - least) / (most - least) * (len(_BARS) - 1))]
        marks.append((mark, STYLES[point.status]))
    return line(*marks)


def render(trends: Sequence[Trend], number: str = "") -> ConsoleRenderable:
    """A line for each trend: where, how often which verdict, and the last one's words."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("kernel", "machine", "scenario", "runs"):
        table.add_column(name, no_wrap=True)
    table.add_column("from the oldest on", no_wrap=True)
    table.add_column("last", overflow="fold")
    for trend in trends:
        shown = trend.points[-_SHOWN:]
        last = shown[-1]
        said = line((last.status.value, STYLES[last.status]), f" {last.measured}")
        table.add_row(
            line(trend.subject),
            line(trend.machine),
            line(trend.scenario),
            str(len(trend.points)),
            spark(shown, number),
            said,
        )
    return Group(table)


def show(console: Console, trends: Sequence[Trend], number: str = "") -> None:
    """Print it."""
    terminal.show(console, render(trends, number))


def plot(trend: Trend, number: str) -> Plot:
    """Where each point that has the number is drawn, from left to right."""
    known = [point for point in trend.points if number in point.metrics]
    values = [float(point.metrics[number]) for point in known]
    least, most = min(values), max(values)
    step = WIDTH / max(len(known) - 1, 1)
    height = (most - least) or 1.0
    dots = tuple(
        (round(n * step, 1), round(HEIGHT - (value - least) / height * HEIGHT, 1), point)
        for n, (value, point) in enumerate(zip(values, known, strict=True))
    )
    return Plot(trend, number, least, most, dots)


def page(check: str, trends: Sequence[Trend]) -> str:
    """One HTML page: a plot for each number of each trend; all that a guest said is escaped."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(
        files("harness.report").joinpath("history.html").read_text(encoding="utf-8")
    )
    plots = [(trend, [plot(trend, name) for name in numbers_of(trend)]) for trend in trends]
    return template.render(check=check, plots=plots, width=WIDTH, height=HEIGHT)
