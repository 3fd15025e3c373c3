# SPDX-License-Identifier: MIT
"""Checks: pure functions from observations to verdicts, and the table of them all."""

from harness.checks import (
    account,
    agreement,
    attributes,
    aux,
    belonging,
    buffer,
    calls,
    competition,
    conservation,
    contents,
    control,
    cost,
    counting,
    grouping,
    identity,
    neighbours,
    overflow,
    programming,
    reproducer,
    residue,
    retention,
    rotation,
    sampling,
    sideband,
    throttling,
    timekeeping,
    tool,
    trace,
)
from harness.checks.base import Check, Observation
from harness.model import CALLS

_FAMILIES = (
    calls,
    attributes,
    identity,
    agreement,
    residue,
    retention,
    competition,
    programming,
    trace,
    conservation,
    counting,
    neighbours,
    control,
    sampling,
    account,
    overflow,
    throttling,
    buffer,
    aux,
    contents,
    sideband,
    rotation,
    grouping,
    belonging,
    timekeeping,
    cost,
    tool,
    reproducer,
)

CHECKS: dict[str, Check] = {check.name: check for module in _FAMILIES for check in module.CHECKS}

# What every scenario with a probe is asked: none names it.
ALWAYS = (
    CALLS,
    identity.SOURCE,
    identity.MEMBERS,
    identity.TURNS,
    agreement.COUNTS,
    agreement.TIMES,
    conservation.GROWTH,
    neighbours.NEIGHBOURS,
    sampling.PERIODS,
    account.ACCOUNT,
    residue.RESIDUE,
)

__all__ = ["ALWAYS", "CHECKS", "Check", "Observation"]
