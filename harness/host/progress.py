# SPDX-License-Identifier: MIT
"""What a person sees while it works: stages with their elapsed time and log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text


class Progress:
    """Live lines on a terminal, a plain line for each begin and end elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.began = time.monotonic()
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
        return self

    def __exit__(self, *_: object) -> None:
        if self.bars:
            self.bars.stop()

    def say(self, text: str) -> None:
        """One line that stays, with the time since the start."""
        elapsed = time.monotonic() - self.began
        words = Text.assemble((f"{elapsed:7.1f} s", "dim"), f"  {text}")
        self.console.print(words, soft_wrap=True, highlight=False)

    @contextmanager
    def stage(self, title: str, log: Path | None = None) -> Iterator[Callable[[str], None]]:
        """Something long: shown while it lasts, and its duration when it is over.

        Yields what to call with how far it is, which a terminal shows.
        """
        began = time.monotonic()
        place = f"log: {log}" if log else ""
        task = None
        if self.bars:
            task = self.bars.add_task(title, total=None, log=place)
        elif log:
            self.say(f"{title} ... {place}")

        def note(text: str) -> None:
            if self.bars and task is not None:
                self.bars.update(task, description=f"{title} {text}")

        try:
            yield note
        except BaseException:
            self.say(f"{title}: did not end well after {time.monotonic() - began:.1f} s")
            raise
        finally:
            if self.bars and task is not None:
                self.bars.remove_task(task)
        self.say(f"{title}: {time.monotonic() - began:.1f} s")
