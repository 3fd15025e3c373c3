# SPDX-License-Identifier: MIT
"""Guests by turns: first what is stored is taken, then what is left is booted, in an order."""

import heapq
import itertools
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

from harness.build.kernel import Kernel
from harness.model import Cell, Role, Scenario
from harness.run.guests import Guests, Parts, is_watched

Job = tuple[Cell, Scenario, Kernel, Parts]


@dataclass
class Turns:
    """What is to be observed, as long as nobody has `ended` it.

    `rank` has a scenario's place among those that are booted; `over` is told of each cell.
    """

    guests: Guests
    rank: Callable[[str], int]
    over: Callable[[Cell], None]
    ended: Callable[[], str]
    _looks: list[Job] = field(default_factory=list)
    _boots: list[tuple[int, int, int, Job]] = field(default_factory=list)
    _futures: list["Future[None]"] = field(default_factory=list)
    _count: "itertools.count[int]" = field(default_factory=itertools.count)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, jobs: Iterable[Job], pool: Executor) -> None:
        """Have these observed, each in a turn of a pool's."""
        listed = list(jobs)
        with self._lock:
            self._looks.extend(listed)
        self._futures += [pool.submit(self._turn) for _ in listed]

    def wait(self) -> None:
        """Until all are over; raises what one raised."""
        for future in self._futures:
            future.result()

    def _turn(self) -> None:
        """Look for all that can be looked for, and boot the next of what is not stored.

        There are as many turns as cells, and one boots one: so each has its turn.
        """
        while job := self._to_look_for():
            if self.guests.look(*job):
                self.over(job[0])
            else:
                self._put_off(job)
        job = self._to_boot()
        if job is None:
            return
        if self.ended():
            self.guests.leave(job[0], self.ended())
            return
        self.guests.boot(*job)
        self.over(job[0])

    def _to_look_for(self) -> Job | None:
        """One that need not wait for the line table, or, if there is nothing else to do, does."""
        with self._lock:
            ready = (place for place, job in enumerate(self._looks) if _is_ready(job))
            place = next(ready, None if self._boots else 0)
            if place is None or not self._looks:
                return None
            return self._looks.pop(place)

    def _put_off(self, job: Job) -> None:
        """A reference's guest comes before the candidate's that is judged by it."""
        rank = self.rank(job[1].name)
        with self._lock:
            first = job[0].role is Role.CANDIDATE
            heapq.heappush(self._boots, (rank, first, next(self._count), job))

    def _to_boot(self) -> Job | None:
        with self._lock:
            return heapq.heappop(self._boots)[-1] if self._boots else None


def _is_ready(job: Job) -> bool:
    _, scenario, _, parts = job
    return parts.lines is None or parts.lines.done() or not is_watched(scenario)
