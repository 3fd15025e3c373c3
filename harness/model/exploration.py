# SPDX-License-Identifier: MIT
"""An exploration: scenarios drawn by chance, and what they found."""

from harness.model.base import Frozen


class Discovery(Frozen):
    """A fault that a drawn scenario shows, and the smallest scenario that does.

    `example` counts from 1; `shifted` says in how many of as many guests that begin a little later
    it shows as well.  `file` has the scenario, for configs/scenarios/, `repeat` is the command.
    """

    check: str
    said: str
    evidence: tuple[str, ...]
    example: int
    shifted: tuple[int, int]
    file: str
    repeat: str
    scenario: str


class Exploration(Frozen):
    """What exploration.json holds.

    Of all `examples`, `invalid` came to no scenario, and of the `undecided` nobody can say
    anything, for which reasons.
    `corpus` is how many are worth being varied.  `reached` are the bytes of code that were
    executed, of `size` in the sources that are looked at; of the functions that a patch changes
    (`near`), `entered` are those that a guest executed.
    """

    kernel: str
    machine: str
    seed: int
    examples: int
    invalid: int
    undecided: dict[str, int]
    corpus: int
    reached: int
    size: int
    near: tuple[str, ...]
    entered: tuple[str, ...]
    discoveries: tuple[Discovery, ...]
    seconds: float

    @property
    def decides(self) -> bool:
        """True if a fault was found, or most examples were judged and show none."""
        judged = self.examples - self.invalid - sum(self.undecided.values())
        return bool(self.discoveries) or 2 * judged > self.examples
