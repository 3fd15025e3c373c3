# SPDX-License-Identifier: MIT
"""The frozen types that the stages hand to each other."""

from harness.model.base import Frozen, Version, VersionRange, parse_version
from harness.model.plan import Cell, PatchFile, Plan, Role, Subject
from harness.model.results import CellResult, Kill, KillMatrix, RunResult
from harness.model.rows import (
    Accelerator,
    Architecture,
    Counters,
    Emulator,
    EmulatorSource,
    Feature,
    Firmware,
    KconfigFragment,
    Machine,
    Package,
    Regime,
    Traced,
)
from harness.model.scenario import STEPS, EventSpec, KnownFailure, Scenario, Tool, copies
from harness.model.series import Claim, Series, SeriesPatch
from harness.model.verdict import Erratum, GuestEnd, Outcome, Status, Verdict

__all__ = [
    "STEPS",
    "Accelerator",
    "Architecture",
    "Cell",
    "CellResult",
    "Claim",
    "Counters",
    "Emulator",
    "EmulatorSource",
    "Erratum",
    "EventSpec",
    "Feature",
    "Firmware",
    "Frozen",
    "GuestEnd",
    "KconfigFragment",
    "Kill",
    "KillMatrix",
    "KnownFailure",
    "Machine",
    "Outcome",
    "Package",
    "PatchFile",
    "Plan",
    "Regime",
    "Role",
    "RunResult",
    "Scenario",
    "Series",
    "SeriesPatch",
    "Status",
    "Subject",
    "Tool",
    "Traced",
    "Verdict",
    "Version",
    "VersionRange",
    "copies",
    "parse_version",
]
