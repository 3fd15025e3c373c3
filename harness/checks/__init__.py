# SPDX-License-Identifier: MIT
"""Checks: pure functions from observations to verdicts, and the table of them all."""

from harness.checks import (
    belonging,
    calls,
    competition,
    conservation,
    control,
    cost,
    counting,
    grouping,
    overflow,
    programming,
    reproducer,
    retention,
    rotation,
    sampling,
    throttling,
    timekeeping,
    tool,
    trace,
)
from harness.checks.base import Check, Observation

_FAMILIES = (
    calls,
    retention,
    competition,
    programming,
    trace,
    conservation,
    counting,
    control,
    sampling,
    overflow,
    throttling,
    rotation,
    grouping,
    belonging,
    timekeeping,
    cost,
    tool,
    reproducer,
)

CHECKS: dict[str, Check] = {check.name: check for module in _FAMILIES for check in module.CHECKS}

# What every scenario with a probe is asked, whether it names it or not.
ALWAYS = (calls.CALLS,)

__all__ = ["ALWAYS", "CHECKS", "Check", "Observation"]
