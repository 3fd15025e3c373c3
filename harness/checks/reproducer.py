# SPDX-License-Identifier: MIT
"""Reproducers: how a program that is to show a bug ends, and what it says meanwhile."""

from itertools import zip_longest

from harness.checks.base import (
    FEW,
    Check,
    Observation,
    Property,
    inconclusive,
    milliseconds,
    verdict,
)
from harness.guest.records import Reproduced, Said
from harness.model import Verdict

END = "reproducer.end"
_EXPECTED = "exit status 0, or time over as on the reference; nothing that cannot be killed"
_WORDS = 60


def _how(end: Reproduced) -> str:
    """`exit status 1`, `SIGSEGV`, or that its time was over."""
    if end.ended == "exit":
        return f"exit status {end.status}"
    return f"SIG{end.signal}" if end.ended == "signal" else "still running"


def _faults(mine: Reproduced, theirs: Reproduced | None) -> list[str]:
    """What is wrong with an end; where the reference's is known, beside that."""
    faults = []
    beside = f" instead of the reference's {_how(theirs)}" if theirs else ""
    alike = theirs is not None and _how(theirs) == _how(mine)
    if mine.ended == "time" and theirs and theirs.ended != "time":
        faults.append(f"still running where the reference's ended ({_how(theirs)})")
    if mine.ended == "signal" or (mine.ended == "exit" and mine.status):
        faults.append(_how(mine) + ("" if alike else beside))
    if mine.stuck:
        faults.append("what it left behind cannot be killed")
    return faults


def _differing(mine: list[Said], theirs: list[Said]) -> list[str]:
    """The lines of two outputs that differ, each with the other's; missing ones are empty."""
    nothing = Said(kind="said", text="")
    return [
        f"'{one.text[:_WORDS]}' instead of '{other.text[:_WORDS]}'"
        for one, other in zip_longest(mine, theirs, fillvalue=nothing)
        if one != other
    ]


def judge_end(observation: Observation, reference: Observation | None) -> Verdict:
    """A reproducer that sees its bug says so by its exit status, as for `git bisect run`.

    One that runs until its time is over, as syzbot's do in a loop, ends well, unless the
    reference's ended by itself.  Another output than the reference's is told of, and no fault:
    which of the two is right only a person knows.
    """
    ends = observation.records.of(Reproduced)
    if not ends:
        return inconclusive(END, "the reproducer was not run", _EXPECTED)
    mine = ends[0]
    theirs = reference.records.of(Reproduced) if reference else []
    said = observation.records.of(Said)
    measured = f"{_how(mine)} after {milliseconds(mine.ns)}"
    if said:
        measured += f", last words '{said[-1].text.strip()[:_WORDS]}'"
    metrics: dict[str, int | float] = {"runs": 1, "output": mine.output}
    if reference and theirs:
        differing = _differing(said, reference.records.of(Said))
        metrics["change"] = len(differing)
        if differing:
            measured += f"; {len(differing)} lines differ: {differing[0]}"
    return verdict(
        END,
        _faults(mine, theirs[0] if theirs else None),
        measured=measured,
        expected=_EXPECTED,
        metrics=metrics,
    )


CHECKS = (
    Check(
        END,
        "Does a reproducer end without having seen its bug?",
        judge_end,
        Property("runs", most=FEW),
    ),
)
