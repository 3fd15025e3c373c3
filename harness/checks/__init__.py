# SPDX-License-Identifier: MIT
"""Checks: pure functions from observations to verdicts, and the table of them all."""

from harness.checks import (
    conservation,
    cost,
    counting,
    programming,
    retention,
    sampling,
    tool,
)
from harness.checks.base import Check, Observation

CHECKS: dict[str, Check] = {
    check.name: check
    for module in (retention, programming, conservation, counting, sampling, cost, tool)
    for check in module.CHECKS
}

__all__ = ["CHECKS", "Check", "Observation"]
