# SPDX-License-Identifier: MIT
"""What tests share: markers that fail in CI where they skip elsewhere, and real records."""

import gzip
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from harness.ask.catalog import Catalog
from harness.checks import Observation
from harness.guest.records import Records, parse
from harness.host.process import has

DATA = Path(__file__).parent / "data"
CAPTURES = DATA / "records"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run each saboteur's test in CI, too")
    parser.addoption(
        "--make-anew", action="store_true", help="put today's outputs into README.md and docs/"
    )


@pytest.fixture(scope="session", autouse=True)
def _own_history(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Runs of tests are none of the person's: their history is beside them."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test that names commands needs them: without, it skips, and in CI it fails."""
    for marker in item.iter_markers("needs"):
        lacking = [command for command in marker.args if not has(command)]
        if lacking:
            text = "needs " + ", ".join(lacking)
            if os.environ.get("CI"):
                pytest.fail(text)
            pytest.skip(text)


def place_of(name: str) -> tuple[str, str, str]:
    """(kernel, machine, scenario) of a capture: `6.12/idle`, `6.12@x86_64-tcg/register-trace`."""
    folder, _, scenario = name.rpartition("/")
    kernel, _, machine = folder.partition("@")
    return kernel, machine or "aarch64-tcg", scenario


def captured(name: str) -> bytes:
    """The records of one of our guests as it wrote them; `name` is KERNEL[@MACHINE]/SCENARIO."""
    return gzip.decompress((CAPTURES / f"{name}.jsonl.gz").read_bytes())


@cache
def _parsed(name: str) -> Records:
    return parse(captured(name))


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return Catalog()


@pytest.fixture(scope="session")
def load() -> Callable[[str], Records]:
    """Captured records, by KERNEL[@MACHINE]/SCENARIO."""
    return _parsed


@pytest.fixture
def observe(catalog):
    """An observation of captured records (KERNEL[@MACHINE]/SCENARIO), changed step by step.

    A change is a function from a list of records to another list: see tests/unit/changes.py.
    Instead of a capture's name it may be records, with the name of their `scenario`.
    """

    def make(
        source: str | Records, *changes, scenario: str = "", kernel: str = "6.12"
    ) -> Observation:
        machine = "aarch64-tcg"
        if isinstance(source, str):
            kernel, machine, named = place_of(source)
            scenario = scenario or named
            source = _parsed(source)
        records = list(source.all)
        for change in changes:
            records = change(records)
        return Observation(
            Records(records),
            catalog.machines[machine],
            catalog.scenarios[scenario],
            kernel.partition("+")[0],
        )

    return make
