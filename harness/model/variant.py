# SPDX-License-Identifier: MIT
"""Variants: other configurations of a kernel, and what its guests are like under them."""

from pydantic import Field

from harness.model.base import ALL_VERSIONS, Frozen, VersionRange
from harness.model.rows import Feature, KconfigFragment, Machine
from harness.model.scenario import Scenario

# The configuration that configs/architectures.yaml has: no row, and no suffix.
PLAIN = "plain"
# What packages.yaml calls the other compiler.
LLVM = "llvm"


class Fragment(Frozen):
    """Lines of Kconfig that a person adds, from a file of theirs."""

    path: str
    text: str


class Variant(Frozen):
    """A configuration that a kernel is built with instead of the plain one.

    `kconfig` goes on top of the architecture's; with `llvm`, clang and lld build it.  It is for
    kernels of `versions` and for `architectures`, all where that is empty: `only` says why.
    Its machines have `memory_mib` at the least, are given `kernel_arguments`, have not what it
    `lacks`, and so many times as long (`slower`) before they count as hung.  `leaves_out` says
    of checks, or whole families, why they are not asked under it.
    """

    name: str
    title: str
    kconfig: tuple[KconfigFragment, ...] = ()
    llvm: bool = False
    versions: VersionRange = ALL_VERSIONS
    architectures: tuple[str, ...] = ()
    only: str = ""
    memory_mib: int = Field(default=0, ge=0)
    slower: float = Field(default=1, ge=1)
    kernel_arguments: tuple[str, ...] = ()
    lacks: tuple[Feature, ...] = ()
    leaves_out: dict[str, str] = {}

    def is_for(self, version: str, architecture: str) -> bool:
        """True if a kernel release has it on an architecture."""
        return version in self.versions and architecture in (self.architectures or (architecture,))

    def on(self, machine: Machine) -> Machine:
        """A machine as its guests are under this configuration."""
        return machine.model_copy(
            update={
                "memory_mib": max(machine.memory_mib, self.memory_mib),
                "timeout_s": round(machine.timeout_s * self.slower),
                "kernel_arguments": machine.kernel_arguments + self.kernel_arguments,
                "offers": tuple(word for word in machine.offers if word not in self.lacks),
            }
        )

    def asks(self, check: str) -> bool:
        """True if a check means something under it."""
        return not {check, check.partition(".")[0]} & set(self.leaves_out)

    def of(self, scenario: Scenario) -> Scenario | None:
        """A scenario under it, named NAME@VARIANT; None where no check of it is left."""
        checks = tuple(filter(self.asks, scenario.checks))
        if not checks:
            return None
        name = f"{scenario.name}@{self.name}"
        return scenario.model_copy(update={"name": name, "variant": self.name, "checks": checks})
