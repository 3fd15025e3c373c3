# SPDX-License-Identifier: MIT
"""An exploration for a terminal or a log: what was found, and how much was tried."""

from rich.console import Console, ConsoleRenderable, Group
from rich.text import Text

from harness.model import Discovery, Exploration
from harness.report.terminal import line, plain

_EVIDENCE = 5
_FUNCTIONS = 8


def _told(one: Discovery) -> list[Text]:
    """A discovery: the check, what it says, the scenario, the command."""
    again, of = one.shifted
    said = f"  {one.said} (example {one.example}; in {again} of {of} guests that begin later)"
    told = [line(("found", "bold red"), f"  {one.check}{said}")]
    told += [line(f"    {text}") for text in one.evidence[:_EVIDENCE]]
    told += [line((f"      {text}", "dim")) for text in one.scenario.splitlines()]
    return [*told, line(("    repeat: ", "dim"), one.repeat), Text("")]


def _near(found: Exploration) -> list[Text]:
    """Which of the functions that a patch changes were entered."""
    if not found.near:
        return []
    missed = [name for name in found.near if name not in found.entered]
    text = f"{len(found.entered)} of the {len(found.near)} changed functions were entered"
    if missed:
        more = f" and {len(missed) - _FUNCTIONS} more" if len(missed) > _FUNCTIONS else ""
        text += f"; never {', '.join(missed[:_FUNCTIONS])}{more}"
    return [line(("patch:    ", "dim"), text)]


def render(found: Exploration, folder: str) -> ConsoleRenderable:
    """What was found first, then how much was tried."""
    percent = 100 * found.reached / max(1, found.size)
    number = len(found.discoveries)
    said = f"{number or 'nothing'} found" if found.decides else "no verdict: most was not judged"
    return Group(
        *(text for one in found.discoveries for text in _told(one)),
        *_near(found),
        line(
            ("examples: ", "dim"),
            f"{found.examples}, of which {found.invalid} came to no scenario and "
            f"{sum(found.undecided.values())} could not be judged; seed {found.seed}",
        ),
        *(line(f"          {number}: {why}") for why, number in found.undecided.items()),
        line(
            ("code:     ", "dim"),
            f"{percent:.1f} % of perf's sources ran; {found.corpus} scenarios are worth varying",
        ),
        line(
            (said, "bold" if found.decides and not number else "bold red"),
            f" in {found.kernel} on {found.machine}, {found.seconds:.0f} s; evidence: {folder}",
        ),
    )


def show(console: Console, found: Exploration, folder: str) -> None:
    """Print it; where nobody looks at a terminal, lines are not folded."""
    plain(console).print(render(found, folder), highlight=False)
