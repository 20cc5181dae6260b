"""Progress on long work: a live line on a terminal, plain lines otherwise, nothing in CI.

pytest redirects the standard streams while a test runs, so the display writes to a copy of standard error that is
taken before.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

QUIET_SECONDS = 10  # plain lines come at most this often


class Progress:
    """Shows what is being done. ``stream`` is the copy of standard error, or None for silence."""

    def __init__(self, stream: TextIO | None):
        self.stream = stream
        self.done, self.total = 0, 0
        self.started = time.perf_counter()
        self._bars = None  # the live display, while there is one

    @classmethod
    def on_stderr(cls) -> "Progress":
        """A display on a copy of the present standard error; silent where the variable CI is set."""
        if os.environ.get("CI"):
            return cls(None)
        try:
            return cls(os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8"))
        except OSError:
            return cls(None)

    def close(self) -> None:
        """Give the copied stream back."""
        if self.stream:
            self.stream.close()
            self.stream = None

    def say(self, text: str) -> None:
        """One plain line, now."""
        if self.stream:
            print(f"\n{text}", file=self.stream, flush=True)

    @contextmanager
    def task(self, text: str) -> Iterator[Callable[[int, int], None]]:
        """Show ``text`` while the block runs; the block calls ``advance(done, total)``."""
        title = f"[{self.done + 1}/{self.total}] {text}" if self.total else text
        if self.stream is None:
            yield lambda done, total: None
        elif self.stream.isatty():
            with self._live(title) as advance:
                yield advance
        else:
            yield self._lines(title)

    def case_ended(self) -> None:
        """Count a finished case."""
        self.done += 1

    def left(self) -> str:
        """A guess of the time that the remaining cases need, from those that have ended."""
        if not 0 < self.done < self.total:
            return ""
        seconds = (time.perf_counter() - self.started) / self.done * (self.total - self.done)
        return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"

    @contextmanager
    def _live(self, title: str) -> Iterator[Callable[[int, int], None]]:
        """A bar; a task inside another gets a bar of its own below it."""
        outermost = self._bars is None
        if outermost:
            self.stream.write("\n")  # pytest's own line of dots stays as it is
            self._bars = self._new_bars()
            self._bars.start()
        bars = self._bars
        task = bars.add_task(title, total=None)
        try:
            yield lambda done, total: bars.update(task, completed=done, total=total)
        finally:
            if outermost:
                bars.stop()
                self._bars = None
            else:
                bars.remove_task(task)

    def _new_bars(self):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        console = Console(file=self.stream, force_terminal=True)
        return Bars(*columns, TextColumn(self.left()), console=console, transient=True)

    def _lines(self, title: str) -> Callable[[int, int], None]:
        said = time.perf_counter()

        def advance(done: int, total: int) -> None:
            nonlocal said
            if time.perf_counter() - said >= QUIET_SECONDS and self.stream:
                said = time.perf_counter()
                print(f"{title}: {done}/{total}  {self.left()}".rstrip(), file=self.stream, flush=True)

        return advance
