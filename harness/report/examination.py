# SPDX-License-Identifier: MIT
"""What `doctor` found, for a terminal or a log."""

from itertools import groupby

from rich.console import Console

from harness.model import Diagnosis, Finding
from harness.report.text import plain, safe

_MARKS = {True: "[green]yes[/]", False: "[bold red]no[/] "}


def _when(finding: Finding) -> str:
    """How long a trial took, and whether that was now."""
    if finding.seconds is None:
        return ""
    return f" ({finding.seconds:.1f} s{', remembered' if finding.remembered else ''})"


def _lines(finding: Finding, width: int) -> list[str]:
    """What is said; if it is not good, also why, where the evidence lies, what to do."""
    stage = f"at stage {finding.stage.value}: " if finding.stage else ""
    name = f"{finding.name:<{width}}"
    said = f"{stage}{finding.said}{_when(finding)}"
    lines = [f"  {_MARKS[finding.good]}  {safe(name)}  {safe(said)}"]
    if finding.good:
        return lines
    margin = " " * (width + 9)
    lines += [f"{margin}[dim]{safe(line)}[/]" for line in finding.details]
    labelled = {"evidence": finding.evidence, "next": finding.advice}
    texts = [f"[dim]{label + ':':<9}[/] {safe(text)}" for label, text in labelled.items() if text]
    return lines + [margin + text for text in texts]


def render(diagnosis: Diagnosis) -> list[str]:
    """Lines of markup: findings by topic, and the sum of them."""
    width = max((len(finding.name) for finding in diagnosis.findings), default=0)
    lines = []
    for topic, found in groupby(diagnosis.findings, lambda finding: finding.topic):
        lines.append(f"[bold]{topic}[/]")
        lines += [line for finding in found for line in _lines(finding, width)]
    style = "green" if diagnosis.able else "bold red"
    return [*lines, f"[{style}]{safe(diagnosis.headline)}[/]"]


def show(console: Console, diagnosis: Diagnosis) -> None:
    """Print it; a path or a command stays on its line, to be copied."""
    for line in render(diagnosis):
        plain(console).print(line, highlight=False, soft_wrap=True)
