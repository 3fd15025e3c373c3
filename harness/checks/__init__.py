# SPDX-License-Identifier: MIT
"""Checks: pure functions from observations to verdicts, and the table of them all."""

from harness.checks import (
    competition,
    conservation,
    control,
    cost,
    counting,
    overflow,
    programming,
    retention,
    sampling,
    throttling,
    tool,
    trace,
)
from harness.checks.base import Check, Observation

_FAMILIES = (
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
    cost,
    tool,
)

CHECKS: dict[str, Check] = {check.name: check for module in _FAMILIES for check in module.CHECKS}

__all__ = ["CHECKS", "Check", "Observation"]
