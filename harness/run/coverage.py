# SPDX-License-Identifier: MIT
"""What a run's guests executed, of the candidate's patch or of whole sources."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from harness.build.kernel import Builder, Kernel
from harness.build.linetable import line_table
from harness.errors import HarnessError
from harness.model import Coverage, LineTable, MeasuredSource, Plan, Role, SuiteCoverage
from harness.model.coverage import Span
from harness.run.folder import RunFolder
from harness.source.patches import changed_lines
from harness.verdict.coverage import covered, in_any, of_suite


def tolerant(builder: Builder, kernel: Kernel, paths: Sequence[str]) -> LineTable:
    """The line table, or why there is none: no verdict depends on it."""
    try:
        return line_table(builder, kernel, paths)
    except HarnessError as error:
        return LineTable(unknown=dict.fromkeys(paths, error.what))


@dataclass(frozen=True)
class Watch:
    """What is to be known: a patch's diff, if it is about one, and by variant where lines are."""

    diff: str
    tables: "Mapping[str, Future[LineTable]]"

    def parts(self) -> list[str]:
        """All that what is known follows from, beside what lies in the run's folder."""
        known = [table.result() for table in self.tables.values() if table.done()]
        return [self.diff, str(len(self.tables)), *(one.model_dump_json() for one in known)]

    def of_patch(self, plan: Plan, folder: RunFolder) -> Coverage | None:
        """What ran of the patch, by what lies in the run's folder; None where no guest ran."""
        if not self.diff:
            return None
        changed = changed_lines(self.diff)
        shown = self.diff.encode(errors="surrogateescape").decode(errors="replace")
        found = []
        for variant, table in self.tables.items():
            executed = _executed(plan, folder, variant)
            if executed and table.done():
                found.append(covered(table.result(), changed, executed, shown))
        return in_any(found) if found else None

    def of_sources(
        self, plan: Plan, folder: RunFolder, sources: Sequence[MeasuredSource]
    ) -> SuiteCoverage:
        """What the scenarios of a run in one configuration executed of whole sources."""
        ((variant, table),) = self.tables.items()
        subject = plan.subjects[Role.CANDIDATE]
        return of_suite(
            table.result(),
            _executed(plan, folder, variant),
            sources,
            kernel=subject.version,
            machine=plan.machine.name,
            architecture=plan.machine.architecture,
        )


def _executed(plan: Plan, folder: RunFolder, variant: str) -> dict[str, list[Span]]:
    """By scenario, in the plan's order, what the candidate's guests executed."""
    mine = {one.name for one in plan.scenarios if one.variant == variant}
    known = {
        cell.scenario: folder.executed(cell)
        for cell in plan.cells
        if cell.role is Role.CANDIDATE and cell.scenario in mine
    }
    return {name: spans for name, spans in known.items() if spans is not None}
