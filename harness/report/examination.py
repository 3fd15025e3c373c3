# SPDX-License-Identifier: MIT
"""What `doctor` found, for a terminal or a log."""

from itertools import groupby

from rich.console import Console
from rich.text import Text

from harness.model import Diagnosis, Finding
from harness.report import terminal
from harness.report.terminal import line

_MARKS = {True: ("yes", "green"), False: ("no ", "bold red")}


def _when(finding: Finding) -> str:
    """How long a trial took, and whether that was now."""
    if finding.seconds is None:
        return ""
    return f" ({finding.seconds:.1f} s{', remembered' if finding.remembered else ''})"


def _lines(finding: Finding, width: int) -> list[Text]:
    """What is said; if it is not good, also why, where the evidence lies, what to do."""
    stage = f"at stage {finding.stage.value}: " if finding.stage else ""
    said = f"{stage}{finding.said}{_when(finding)}"
    lines = [line("  ", _MARKS[finding.good], f"  {finding.name:<{width}}  {said}")]
    if finding.good:
        return lines
    margin = " " * (width + 9)
    lines += [line(margin, (detail, "dim")) for detail in finding.details]
    labelled = {"evidence": finding.evidence, "next": finding.advice}
    return lines + [
        line(margin, (f"{label + ':':<9}", "dim"), f" {text}")
        for label, text in labelled.items()
        if text
    ]


def render(diagnosis: Diagnosis) -> list[Text]:
    """Findings by topic, and the sum of them."""
    width = max((len(finding.name) for finding in diagnosis.findings), default=0)
    lines = []
    for topic, found in groupby(diagnosis.findings, lambda finding: finding.topic):
        lines.append(line((topic, "bold")))
        lines += [row for finding in found for row in _lines(finding, width)]
    return [*lines, line((diagnosis.headline, "green" if diagnosis.able else "bold red"))]


def show(console: Console, diagnosis: Diagnosis) -> None:
    """Print it; a path or a command stays on its line, to be copied."""
    terminal.show(console, *render(diagnosis), fold=False)
