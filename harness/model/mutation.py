# SPDX-License-Identifier: MIT
"""Generated mutants: what became of each, and the score."""

from enum import Enum

from harness.model.base import Frozen


class Fate(Enum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    # A check was not decided, and none failed.
    UNDECIDED = "undecided"
    # The image is that of the kernel without it, byte for byte.
    SAME_IMAGE = "same image"
    # A person has shown that it behaves as the kernel without it: configs/mutation.yaml.
    EQUIVALENT = "equivalent"
    # It does not compile, or only with a warning that no kernel developer would overlook.
    STILLBORN = "stillborn"


class Triaged(Frozen):
    """What a person found of a survivor: a row of configs/mutation.yaml.

    The line as it is, and as the mutant has it, tell which one it is on any kernel.
    Either it is `equivalent`, with the reason, or `missed`: what it would take to see it.
    """

    path: str
    before: str
    after: str
    equivalent: str = ""
    missed: str = ""


class MutantResult(Frozen):
    """One mutant: where and what it is, and what became of it.

    `reached` has the scenarios whose guests execute its line, those that were run of them
    first; `by` says which check killed it, in which scenario.
    """

    path: str
    line: int
    function: str
    operator: str
    before: str
    after: str
    fate: Fate
    by: str = ""
    reached: tuple[str, ...] = ()
    ran: int = 0
    seconds: float = 0.0
    note: str = ""
    evidence: str = ""


class Mutation(Frozen):
    """A campaign: what mutation.json holds."""

    kernel: str
    machine: str
    seed: int
    mutants: tuple[MutantResult, ...]

    def of(self, fate: Fate) -> list[MutantResult]:
        """Those with one fate."""
        return [one for one in self.mutants if one.fate is fate]

    @property
    def score(self) -> float:
        """The share of killed mutants, in percent, of those that are not equivalent."""
        killed = len(self.of(Fate.KILLED))
        alive = len(self.of(Fate.SURVIVED)) + len(self.of(Fate.UNDECIDED))
        return 100.0 * killed / max(1, killed + alive)
