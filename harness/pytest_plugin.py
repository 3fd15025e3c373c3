# SPDX-License-Identifier: MIT
"""A pytest plugin: each check of a plan is a test (`pytest --pmu-plan "--patch my.patch"`).

The tests are known before anything is built; what is selected (-k, --deselect) is run when the
first of them is, all scenarios together, or one after the other with -x.
"""

import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.ask.catalog import Catalog
from harness.build.emulator import provide_for
from harness.checks import ALWAYS
from harness.cli.guests import choose, run, run_of
from harness.cli.results import remember, write_reports
from harness.errors import HarnessError
from harness.host.progress import Progress
from harness.host.store import Cache, new_run_folder
from harness.model import HEALTH, RunResult, Scenario, Status
from harness.report.blame import Case, cases
from harness.run.folder import RunFolder
from harness.run.pipeline import Settings
from harness.run.reproducers import scenario_name
from harness.run.request import Asked, prepare


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that names a plan."""
    parser.getgroup("pmu-harness").addoption(
        "--pmu-plan",
        metavar="OPTIONS",
        help='collect the checks of `pmu-harness run OPTIONS` as tests, such as "--patch my.patch"',
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Where no path is given the plan is all there is: nothing is collected from files."""
    invoked = config.args_source is not pytest.Config.ArgsSource.ARGS
    if config.getoption("--pmu-plan") and invoked:
        config.args = []


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add the plan's checks, before any are selected by name."""
    words = config.getoption("--pmu-plan")
    if words:
        try:
            suite = Suite(parsed(words), together=not config.getoption("maxfail"))
            planned = suite.scenarios()
        except HarnessError as error:
            raise pytest.UsageError("\n".join(error.lines())) from error
        suite.session = session
        items[:0] = list(_items(session, suite, planned))


def _items(
    session: pytest.Session, suite: "Suite", planned: Sequence[Scenario]
) -> Iterator["CheckItem"]:
    for scenario in planned:
        place = ScenarioNode.from_parent(
            session, name=scenario.name, nodeid=f"pmu::{scenario.name}"
        )
        asked = (*(ALWAYS if scenario.speaks_of_calls else ()), *scenario.checks)
        for check in dict.fromkeys((HEALTH, *asked)):
            yield CheckItem.from_parent(place, name=check, suite=suite)


@dataclass
class Options:
    """What `run` was asked, and how it is carried out."""

    asked: Asked
    settings: Settings
    output: Path | None
    yes: bool


def parsed(words: str) -> Options:
    """The options of `run` in a text; raises UsageError for what are none."""
    try:
        found = run.make_context("run", shlex.split(words)).params
    except Exception as error:
        raise pytest.UsageError(f"--pmu-plan: {error}") from error
    asked = Asked(**{name: found[name] for name in Asked.__dataclass_fields__})
    settings = Settings(found["rerun"], jobs=found["jobs"], timeout_scale=found["timeout_scale"])
    return Options(asked, settings, found["output"], found["yes"])


@dataclass
class Suite:
    """A plan whose checks are tests, and what it came to as far as it was carried out."""

    options: Options
    together: bool = True
    session: pytest.Session | None = None
    results: list[RunResult] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    found: dict[tuple[str, str], Case] = field(default_factory=dict)

    def scenarios(self) -> Sequence[Scenario]:
        """Those of the plan; nothing is built for that."""
        prepared = prepare(Catalog(), Cache(), self.options.asked, lambda _: None)
        return prepared.plan.scenarios

    def case(self, scenario: str, check: str) -> Case | None:
        """What became of a check; its scenario is run when it is first asked for."""
        if scenario not in self.done:
            wanted = self._selected() if self.together else [scenario]
            self.done.update(wanted)
            result = self.carry_out(self._asked(wanted))
            self.results.append(result)
            for case in cases(result):
                self.found[case.row.scenario, case.row.check] = case
        return self.found.get((scenario, check))

    def _selected(self) -> list[str]:
        """The scenarios of the tests that are going to run."""
        items = self.session.items if self.session else []
        mine = [item for item in items if isinstance(item, CheckItem) and item.suite is self]
        return list(dict.fromkeys(item.scenario for item in mine))

    def _asked(self, scenarios: Sequence[str]) -> Asked:
        """The plan with only these scenarios."""
        asked = self.options.asked
        persons = {scenario_name(path): path for path in asked.reproducers}
        return replace(
            asked,
            checks=(),
            scenarios=tuple(name for name in scenarios if name not in persons),
            reproducers=tuple(path for name, path in persons.items() if name in scenarios),
        )

    def carry_out(self, asked: Asked) -> RunResult:
        """Build, boot and judge; the run is kept in a folder, with its reports."""
        catalog, cache, console = Catalog(), Cache(), Console(stderr=True)
        examined, choice = choose(catalog, cache, console, asked.machine, yes=self.options.yes)
        asked = replace(asked, machine=choice.machine)
        stamp = time.strftime("%Y%m%d-%H%M%S")
        output = self.options.output
        if output and self.results:
            output = output.with_name(f"{output.name}-{len(self.results) + 1}")
        folder = new_run_folder(output, stamp, "pytest")
        with Progress(console) as progress:
            prepared = prepare(catalog, cache, asked, progress.say)
            result = run_of(
                prepared,
                asked,
                RunFolder(folder),
                progress,
                self.options.settings,
                emulator=provide_for(prepared.plan.machine, catalog, cache, progress),
                noted=examined.noted(choice),
            ).execute()
        write_reports(result, folder)
        remember(result, folder)
        return result


class ScenarioNode(pytest.Collector):
    """A scenario, whose checks are its tests."""

    def collect(self) -> Iterator[pytest.Item]:
        """Nothing: the plan has made them already."""
        return iter(())


class FailedError(Exception):
    """A check that the candidate is blamed for, or that does not decide."""


class CheckItem(pytest.Item):
    """A check in a scenario."""

    def __init__(self, *, suite: Suite, **more: Any) -> None:
        super().__init__(**more)
        self.suite = suite

    @property
    def scenario(self) -> str:
        """The name of the check's scenario."""
        return str(self.parent.name) if self.parent else ""

    def runtest(self) -> None:
        """See what became of it."""
        case = self.suite.case(self.scenario, self.name)
        if case is None:
            pytest.skip("this kernel or machine is not asked")
        if case.counts_as is Status.SKIP:
            pytest.skip(case.said)
        if case.counts_as is not Status.PASS:
            raise FailedError(_told(case, self.suite.results[-1]))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What was seen, and how to see it again; no traceback of the harness's."""
        if isinstance(excinfo.value, FailedError):
            return str(excinfo.value)
        if isinstance(excinfo.value, HarnessError):
            return "\n".join(excinfo.value.lines())
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where it is, as a report has it."""
        return Path("pmu"), None, f"{self.scenario}: {self.name}"


def _told(case: Case, result: RunResult) -> str:
    """A failure's words."""
    row, verdict = case.row, case.row.candidate
    lines = [f"{verdict.status.value}: {verdict.measured}", f"expected: {verdict.expected}"]
    if row.reference:
        lines.append(f"reference: {row.reference.status.value}: {row.reference.measured}")
    lines += verdict.evidence
    lines += [text for text in result.failures if not row.measured or not row.started]
    return "\n".join([*lines, f"repeat: {row.repeat}"])
