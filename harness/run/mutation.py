# SPDX-License-Identifier: MIT
"""A campaign of generated mutants: each built, and given the scenarios that execute its line."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.build.compile import LOG
from harness.errors import BuildError
from harness.host.store import write_text
from harness.model import (
    Change,
    Fate,
    MutantResult,
    Mutation,
    Role,
    Status,
    SuiteCoverage,
    Triaged,
)
from harness.run.pipeline import Run
from harness.source.mutate import Mutant, as_diff, chosen, mutants

# Of a slip in types a compiler warns, and no patch with that is ever sent.
_OVERLOOKED_BY_NOBODY = re.compile(r"\[-W(?:incompatible-pointer-types|int-conversion)\]")
# So many scenarios are run at first, then twice as many, until one kills.
_FIRST = 3

# Runs a mutant's patch on some scenarios in a folder: the run, when it is over.
Runner = Callable[[Path, Sequence[str], Path], Run]


@dataclass
class Campaign:
    """What the mutants of a campaign have in common, and what it has learned so far."""

    coverage: SuiteCoverage
    texts: dict[str, str]
    triage: Sequence[Triaged]
    folder: Path
    run: Runner
    say: Callable[[str], None]
    # How many each scenario has killed: the one that killed most is tried first.
    kills: Counter[str] = field(default_factory=Counter)

    def carry_out(self, number: int, seed: int) -> Mutation:
        """So many mutants of lines that guests execute, the same for the same seed."""
        wanted = chosen(self.candidates(), number, seed)
        results = []
        for count, mutant in enumerate(wanted, 1):
            result = self.judged(mutant)
            results.append(result)
            by = f" by {result.by}" if result.by else ""
            self.say(f"{count} of {len(wanted)}: {mutant.name}: {result.fate.value}{by}")
        return Mutation(
            kernel=self.coverage.kernel,
            machine=self.coverage.machine,
            seed=seed,
            mutants=tuple(results),
        )

    def candidates(self) -> list[Mutant]:
        """All mutants of lines that a guest executes."""
        return [
            mutant
            for path, lines in self.coverage.lines.items()
            if path in self.texts
            for mutant in mutants(path, self.texts[path], [n for n, ran in lines.items() if ran])
        ]

    def judged(self, mutant: Mutant) -> MutantResult:
        """What becomes of one."""
        began = time.monotonic()
        place = self.folder / mutant.name
        patch = place / f"{mutant.name}.patch"
        write_text(patch, as_diff(mutant, self.texts[mutant.path]))
        reached = self._ordered(mutant)
        found = MutantResult(
            path=mutant.path,
            line=mutant.number,
            function=self.coverage.function_at(mutant.path, mutant.number),
            operator=mutant.operator,
            before=mutant.before.strip(),
            after=mutant.after.strip(),
            fate=Fate.SURVIVED,
            reached=tuple(reached),
            evidence=str(place),
        )
        undecided = ""
        for scenarios in _portions(reached):
            run = self.run(patch, scenarios, place)
            found = found.model_copy(update={"ran": found.ran + len(scenarios)})
            fate, said = fate_of(run)
            if fate is Fate.UNDECIDED:
                undecided = said
            elif fate is not Fate.SURVIVED:
                scenario = said.partition(" in ")[2]
                self.kills[scenario] += fate is Fate.KILLED
                found = found.model_copy(update={"fate": fate, "by": said})
                break
        else:
            found = self._survivor(found, undecided)
        return found.model_copy(update={"seconds": round(time.monotonic() - began, 1)})

    def _ordered(self, mutant: Mutant) -> list[str]:
        """The scenarios that execute a mutant's line: what killed most first."""
        reached = self.coverage.lines[mutant.path][mutant.number]
        return sorted(reached, key=lambda name: (-self.kills[name], name))

    def _survivor(self, found: MutantResult, undecided: str) -> MutantResult:
        """A survivor, with what a person found of it."""
        if undecided:
            return found.model_copy(update={"fate": Fate.UNDECIDED, "by": undecided})
        for row in self.triage:
            if (row.path, row.before, row.after) == (found.path, found.before, found.after):
                fate = Fate.EQUIVALENT if row.equivalent else Fate.SURVIVED
                note = row.equivalent or row.missed
                return found.model_copy(update={"fate": fate, "note": note})
        return found


def _portions(scenarios: Sequence[str]) -> Iterator[Sequence[str]]:
    """A few, then ever more."""
    start, size = 0, _FIRST
    while start < len(scenarios):
        yield scenarios[start : start + size]
        start, size = start + size, size * 2


def fate_of(run: Run) -> tuple[Fate, str]:
    """What a run says of a mutant, and which check in which scenario says it."""
    if any(isinstance(failure, BuildError) for failure in run.failures):
        return Fate.STILLBORN, ""
    result = run.folder.read_results()
    if not result.exercised:
        return Fate.SAME_IMAGE, ""
    name = run.plan.subjects[Role.CANDIDATE].name
    log = run.folder.subject(name) / LOG
    if log.exists() and _OVERLOOKED_BY_NOBODY.search(log.read_text(errors="replace")):
        return Fate.STILLBORN, ""
    if result.status is Status.PASS:
        return Fate.SURVIVED, ""
    broken = [one for one in result.changes if one.change is Change.BROKEN]
    if broken:
        return Fate.KILLED, f"{broken[0].check} in {broken[0].scenario}"
    return Fate.UNDECIDED, result.headline
