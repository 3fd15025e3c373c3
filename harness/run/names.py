# SPDX-License-Identifier: MIT
"""What stored observations are called, as far as that was found out before.

A name follows from what a guest is made of, by way of all that would be booted; what it was
made of is here already, under digests of its own.
"""

import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.build.emulator import Built
from harness.build.kernel import Kernel
from harness.host.memory import Memory, code
from harness.host.store import Cache, digest
from harness.model import Cell, Plan, Scenario

if TYPE_CHECKING:
    from harness.run.guests import Parts

_KIND = "names"


@dataclass
class Names:
    """The names of a plan's observations, on a machine that is played by this QEMU."""

    cache: Cache
    plan: Plan
    qemu: str
    emulator: Built | None
    _keys: dict[tuple[object, ...], str] = field(default_factory=dict)
    _groups: dict[str, dict[str, str]] = field(default_factory=dict)
    _learned: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, cell: Cell, scenario: Scenario, kernel: Kernel, parts: "Parts") -> str | None:
        """The name of a cell's observation; None where nobody knows it yet."""
        return self._group(self._key(scenario, kernel, parts)).get(_label(cell, scenario))

    def learn(
        self, name: str, cell: Cell, scenario: Scenario, kernel: Kernel, parts: "Parts"
    ) -> None:
        """Know it from now on."""
        key = self._key(scenario, kernel, parts)
        self._group(key)[_label(cell, scenario)] = name
        self._learned.add(key)

    def keep(self) -> None:
        """Have later runs know what was learned."""
        for key in self._learned:
            self._memory.keep(_KIND, key, json.dumps(self._groups[key]).encode())
        self._learned.clear()

    @property
    def _memory(self) -> Memory:
        return Memory(self.cache)

    def _group(self, key: str) -> dict[str, str]:
        """Those of guests that have all but the scenario in common."""
        with self._lock:
            if key not in self._groups:
                known = self._memory.recall(_KIND, key, self.plan.machine.name)
                self._groups[key] = json.loads(known) if known else {}
            return self._groups[key]

    def _key(self, scenario: Scenario, kernel: Kernel, parts: "Parts") -> str:
        """Digest of all else that a name follows from, made once of what is alike."""
        made = parts.reproducers.get(scenario.plain_name)
        alike = (
            *(kernel.digest, scenario.variant, bool(scenario.trace), bool(scenario.tool)),
            *(scenario.takes_disk, made.sha256 if made else ""),
        )
        if alike not in self._keys:
            self._keys[alike] = self._key_of(scenario, kernel, parts)
        return self._keys[alike]

    def _key_of(self, scenario: Scenario, kernel: Kernel, parts: "Parts") -> str:
        made = parts.reproducers.get(scenario.plain_name)
        return digest(
            code(),
            kernel.digest,
            repr(kernel.facts),
            parts.image.result().sha256,
            self.plan.machine_for(scenario).model_dump_json(),
            self.qemu,
            self.emulator.digest if self.emulator else "",
            repr(parts.watched(scenario)),
            str(parts.disk.result() if scenario.takes_disk and parts.disk else ""),
            str(parts.selftests if scenario.tool else ""),
            made.sha256 if made else "",
            parts.outer.result().sha256 if parts.outer else "",
        )


def _label(cell: Cell, scenario: Scenario) -> str:
    """Which of a group: the scenario, and the repetition."""
    return digest(scenario.model_dump_json(), str(cell.repetition))
