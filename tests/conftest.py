# SPDX-License-Identifier: MIT
"""What tests share: markers that fail in CI where they skip elsewhere, and real records."""

import os
from pathlib import Path

import pytest

from harness.catalog import Catalog
from harness.checks import Observation
from harness.guest.records import Records, parse
from harness.process import has

DATA = Path(__file__).parent / "data"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test that names commands needs them: without, it skips, and in CI it fails."""
    for marker in item.iter_markers("needs"):
        lacking = [command for command in marker.args if not has(command)]
        if lacking:
            text = "needs " + ", ".join(lacking)
            if os.environ.get("CI"):
                pytest.fail(text)
            pytest.skip(text)


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return Catalog()


@pytest.fixture(scope="session")
def load():
    """Records captured from our own guests, by name."""

    def load_records(name: str) -> Records:
        return parse((DATA / "records" / f"{name}.jsonl").read_bytes())

    return load_records


@pytest.fixture
def observe(load, catalog):
    """An observation from captured records, changed by a function of one record.

    The function returns the record, another one, or None to leave it out.
    """

    def make(name: str, change=lambda record: record, scenario: str = "cycles-task"):
        records = load(name) if isinstance(name, str) else name
        changed = [change(record) for record in records.all]
        return Observation(
            Records([record for record in changed if record is not None]),
            catalog.machines["aarch64-tcg"],
            catalog.scenarios[scenario],
        )

    return make
