# SPDX-License-Identifier: MIT
"""What else went on on the host while a guest ran, and how much of it is too much."""

from typing import Literal

from pydantic import Field

from harness.model.base import Frozen


class Noise(Frozen):
    """What the host's kernel says of the time in which a guest ran; None where it does not say.

    `steal` is the share of the host's CPU time that its own hypervisor kept, `pressure` the
    share of time in which some task waited for a CPU, `load` the load average of the last
    minute for each CPU, at the end; `throttled` how often a CPU was slowed down for its heat.
    `counters` are those that others have of the host's: its NMI watchdog's and those of
    perf events that can be seen, which without root are this user's own.
    `governors` are the CPUs' frequency governors.
    """

    seconds: float
    steal: float | None = None
    pressure: float | None = None
    load: float | None = None
    throttled: int | None = None
    counters: int | None = None
    governors: tuple[str, ...] = ()


class NoiseLimit(Frozen):
    """From where on a measurement that fails is not believed, and why from there."""

    name: Literal["steal", "pressure", "load", "throttled", "counters"]
    most: float = Field(ge=0)
    why: str

    def exceeded(self, noise: Noise) -> str:
        """What is too much, as a person reads it; or nothing."""
        found: float | None = getattr(noise, self.name)
        if found is None or found <= self.most:
            return ""
        return f"{self.name} {found:.2g}, more than {self.most:.2g}"
