# SPDX-License-Identifier: MIT
"""What a person sees while it works: stages with their elapsed time and log."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

# Where nobody looks at a terminal, a line at least that often says that it lives.
ALIVE_S = 30.0


@dataclass
class _Stage:
    """Something that lasts, and how far it is."""

    title: str
    began: float
    far: str = ""

    def said(self, now: float) -> str:
        return " ".join(filter(None, [self.title, self.far, f"for {now - self.began:.0f} s"]))


class Progress:
    """Live lines on a terminal; elsewhere a plain line for each begin and end, and in between.

    `where` says how far the whole is.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.began = time.monotonic()
        self.where: Callable[[], str] = str
        self._said = self.began
        self._stages: dict[int, _Stage] = {}
        self._over = threading.Event()
        self.bars: Bars | None = None
        if console.is_terminal:
            self.bars = Bars(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                TimeElapsedColumn(),
                TextColumn("{task.fields[log]}", style="dim", markup=False),
                console=console,
                transient=True,
            )

    def __enter__(self) -> "Progress":
        if self.bars:
            self.bars.start()
        else:
            threading.Thread(target=self._live, daemon=True, name="progress").start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self.bars:
            self.bars.stop()

    def _live(self) -> None:
        """Say every so often, while something lasts and nothing else is said, that it does."""
        while not self._over.wait(max(0.01, self._said + ALIVE_S - time.monotonic())):
            if time.monotonic() - self._said >= ALIVE_S:
                self.say_where()

    def say_where(self) -> None:
        """What lasts now, and how far the whole is; nothing where nothing lasts."""
        now = time.monotonic()
        lasting = [stage.said(now) for stage in list(self._stages.values())]
        self._said = now
        if lasting:
            self.say("; ".join(filter(None, [f"still at {', '.join(lasting)}", self.where()])))

    def say(self, text: str) -> None:
        """One line that stays, with the time since the start."""
        self._said = time.monotonic()
        elapsed = self._said - self.began
        words = Text.assemble((f"{elapsed:7.1f} s", "dim"), f"  {text}")
        self.console.print(words, soft_wrap=True, highlight=False)

    @contextmanager
    def stage(self, title: str, log: Path | None = None) -> Iterator[Callable[[str], None]]:
        """Something long: shown while it lasts, and its duration when it is over.

        Yields what to call with how far it is, which a terminal shows.
        """
        began = time.monotonic()
        stage = _Stage(title, began)
        self._stages[id(stage)] = stage
        place = f"log: {log}" if log else ""
        task = None
        if self.bars:
            task = self.bars.add_task(title, total=None, log=place)
        elif log:
            self.say(f"{title} ... {place}")

        def note(text: str) -> None:
            stage.far = text
            if self.bars and task is not None:
                self.bars.update(task, description=f"{title} {text}")

        try:
            yield note
        except BaseException:
            self.say(f"{title}: did not end well after {time.monotonic() - began:.1f} s")
            raise
        finally:
            del self._stages[id(stage)]
            if self.bars and task is not None:
                self.bars.remove_task(task)
        self.say(f"{title}: {time.monotonic() - began:.1f} s")
