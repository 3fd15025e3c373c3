# SPDX-License-Identifier: MIT
"""A mutation campaign for a terminal or a log: the score, survivors with their diffs, the time."""

from collections import Counter

from rich.console import Console, ConsoleRenderable, Group
from rich.text import Text

from harness.model import Fate, MutantResult, Mutation
from harness.report.terminal import line, plain

_SCENARIOS = 6
_KILLERS = 10


def _alive(one: MutantResult) -> list[Text]:
    """A survivor: what the slip is, and who executed it without a word."""
    names = ", ".join(one.reached[:_SCENARIOS])
    more = f" and {len(one.reached) - _SCENARIOS} more" if len(one.reached) > _SCENARIOS else ""
    title = f"  {one.path}:{one.line} in {one.function} ({one.operator})"
    told = [
        line((one.fate.value, "bold red"), title),
        line(f"    -{one.before}"),
        line(f"    +{one.after}"),
        line((f"    executed in {names}{more}", "dim")),
    ]
    for text in filter(None, (one.by, one.note)):
        told.append(line(f"    {text}"))
    return told


def render(found: Mutation, folder: str) -> ConsoleRenderable:
    """Survivors first, who killed most, how many of each fate, the score."""
    alive = found.of(Fate.SURVIVED) + found.of(Fate.UNDECIDED)
    killers = Counter(one.by.partition(" in ")[0] for one in found.of(Fate.KILLED))
    fates = Counter(one.fate.value for one in found.mutants)
    seconds = sum(one.seconds for one in found.mutants)
    mean = seconds / max(1, len(found.mutants))
    told = ", ".join(f"{check} {number}" for check, number in killers.most_common(_KILLERS))
    return Group(
        *(text for one in alive for text in _alive(one)),
        Text(""),
        line(("killed by: ", "dim"), told or "none"),
        line(("fates:     ", "dim"), ", ".join(f"{n} {fate}" for fate, n in fates.most_common())),
        line(
            (f"score {found.score:.0f} %", "bold"),
            f" of {len(found.mutants)} mutants of {found.kernel} on {found.machine}, "
            f"seed {found.seed}; {seconds:.0f} s, {mean:.0f} s each; evidence: {folder}",
        ),
    )


def show(console: Console, found: Mutation, folder: str) -> None:
    """Print it; where nobody looks at a terminal, lines are not folded."""
    plain(console).print(render(found, folder), highlight=False)
