# SPDX-License-Identifier: MIT
"""Series of kernel-patches/, and what they claim."""

from pydantic import Field

from harness.model.base import ALL_VERSIONS, Frozen, VersionRange


class SeriesPatch(Frozen):
    """One patch file, the kernels that it is for, and the architecture where not all."""

    file: str
    versions: VersionRange = ALL_VERSIONS
    architecture: str | None = None


class Claim(Frozen):
    """What a series says of itself: checks that turn, and the scenarios that show it.

    Without `scenarios`, the whole suite is what shows it; with a `variant`, under that
    configuration and under no other.  `only` names, for checks that do not turn on all
    architectures, those on which they do.
    """

    fixes: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    variant: str | None = None
    only: dict[str, tuple[str, ...]] = {}

    def on(self, architecture: str) -> "Claim":
        """The claim without the checks that turn on another architecture only."""

        def turns(check: str) -> bool:
            return architecture in self.only.get(check, (architecture,))

        fixes, breaks = filter(turns, self.fixes), filter(turns, self.breaks)
        return self.model_copy(update={"fixes": tuple(fixes), "breaks": tuple(breaks)})


class Series(Frozen):
    """An ordered list of patches, on top of another series or of the bare source.

    Of a bug of history, put back: `fixed_by` is the upstream commit that ended
    it, `symptom` how a user saw it.  Errata that it `mends` excuse nothing where it is judged.
    """

    name: str
    title: str
    origin: str = ""
    fixed_by: str = ""
    symptom: str = ""
    stands_on: str | None = None
    mends: tuple[str, ...] = ()
    patches: tuple[SeriesPatch, ...] = Field(min_length=1)
    claim: Claim = Claim.model_construct()

    def patches_for(self, version: str, architecture: str) -> tuple[str, ...]:
        """Files, in order, for one kernel release; empty when the series has none for it."""
        return tuple(
            patch.file
            for patch in self.patches
            if version in patch.versions and patch.architecture in (None, architecture)
        )
