# SPDX-License-Identifier: MIT
"""Of the saboteurs, in CI, those that changed and a sample that rotates; `--all` runs each."""

import os

import pytest

from harness.ask.catalog import Catalog
from tests.landing import PARTS, changed_files, commit, in_sample, touches


def _wanted(name: str, catalog: Catalog, sha: str, changed: frozenset[str]) -> bool:
    """True if a saboteur, a scenario that shows it or its check changed, or it is in the sample."""
    claim = catalog.series[name].claim
    scenarios = [f"configs/scenarios/{scenario}.yaml" for scenario in claim.scenarios]
    families = [f"harness/checks/{check.partition('.')[0]}" for check in claim.breaks]
    return in_sample(name, sha) or touches(
        changed, f"kernel-patches/{name}/", *scenarios, *families
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, in CI, what this landing need not run, and say how many."""
    if config.getoption("--all") or not os.environ.get("CI"):
        return
    catalog, sha, changed = Catalog(), commit(), changed_files()
    left = []
    for item in items:
        marker = item.get_closest_marker("saboteur")
        if marker and not _wanted(item.callspec.params["name"], catalog, sha, changed):
            left.append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]


def pytest_report_header(config: pytest.Config) -> str:
    """What is left out."""
    if config.getoption("--all") or not os.environ.get("CI"):
        return "saboteurs: all"
    return f"saboteurs: those that changed, and one of {PARTS} parts ({commit()[:12]}); --all: each"
