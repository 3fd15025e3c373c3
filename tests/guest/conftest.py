# SPDX-License-Identifier: MIT
"""Of the saboteurs, in CI, those that changed and some others by turns; `--all` runs each.

They come last, and none begins after PMU_HARNESS_SABOTEURS_UNTIL, in seconds since 1970.
"""

import os
import time

import pytest

from harness.ask.catalog import Catalog
from tests.landing import MOST, changed_files, chosen, commit, touches


def _has_changed(name: str, catalog: Catalog, changed: frozenset[str]) -> bool:
    """True if a saboteur changed, or a scenario that shows it."""
    scenarios = catalog.series[name].claim.scenarios
    return touches(
        changed,
        f"kernel-patches/{name}/",
        *(f"configs/scenarios/{scenario}.yaml" for scenario in scenarios),
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, in CI, what this landing has no time for, and say how many.

    A kernel of another configuration is built for minutes: its saboteurs are a campaign's.
    """
    if config.getoption("--all") or not os.environ.get("CI"):
        return
    catalog, changed = Catalog(), changed_files()
    names = {
        item: item.callspec.params["name"] for item in items if item.get_closest_marker("saboteur")
    }
    able = {item: name for item, name in names.items() if not catalog.series[name].claim.variant}
    tests = {item.nodeid: _has_changed(name, catalog, changed) for item, name in able.items()}
    wanted = chosen(tests, commit())
    left = [item for item in names if item.nodeid not in wanted]
    config.hook.pytest_deselected(items=left)
    kept = [item for item in items if item not in left]
    items[:] = sorted(kept, key=lambda item: item in names)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What a landing has no time left for is a campaign's."""
    until = os.environ.get("PMU_HARNESS_SABOTEURS_UNTIL")
    if until and item.get_closest_marker("saboteur") and time.time() > int(until):
        pytest.skip("no time left: ./pmu-harness mutants runs it")


def pytest_report_header(config: pytest.Config) -> str:
    """What is left out."""
    if config.getoption("--all") or not os.environ.get("CI"):
        return "saboteurs: all"
    return f"saboteurs: {MOST}, those that changed first ({commit()[:12]}); --all: each"
