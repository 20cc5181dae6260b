"""Progress on long work: live bars on a terminal, and notes. Elsewhere only the notes; in CI neither.

pytest redirects the standard streams while a test runs, so both go to a copy of standard error that is made before.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

WINDOW_SECONDS = 10**7  # the time that is left is estimated from all cases of a session, not from the last few


class Progress:
    """Shows what is being done. ``stream`` is the copy of standard error, or None for silence."""

    def __init__(self, stream: TextIO | None):
        self.stream = stream
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        self._bars = Bars(
            *columns,
            console=Console(file=stream, quiet=stream is None),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            speed_estimate_period=WINDOW_SECONDS,
            disable=stream is None or not stream.isatty(),
        )
        self._cases = self._bars.add_task("cases", total=None, visible=False)

    @classmethod
    def on_stderr(cls) -> "Progress":
        """On a copy of the present standard error; silent where the variable CI is set."""
        if os.environ.get("CI"):
            return cls(None)
        try:
            return cls(os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8"))
        except OSError:
            return cls(None)

    def close(self) -> None:
        """Close the copied stream."""
        if self.stream:
            self.stream.close()
            self.stream = None

    def say(self, text: str) -> None:
        """Print a note, now."""
        if self.stream:
            self._bars.console.print(f"\n{text}", markup=False, highlight=False, soft_wrap=True)

    def expect_cases(self, total: int) -> None:
        """Show a bar of cases, ``total`` of them, above those of tasks."""
        self._bars.update(self._cases, total=total, visible=True)

    def case_ended(self) -> None:
        """Count a finished case."""
        self._bars.advance(self._cases)

    @contextmanager
    def task(self, text: str) -> Iterator[Callable]:
        """Show a bar with ``text`` while the block runs; the block calls ``advance(done, total)``, or with another text."""
        if self._bars.disable:
            yield lambda done, total, text="": None
            return
        is_outermost = not self._bars.live.is_started
        bar = self._bars.add_task(text, total=None)
        if is_outermost:
            self.stream.write("\n")  # pytest's own line of dots stays as it is
            self._bars.start()
        try:

            def advance(done: int, total: int | None, text: str = text) -> None:
                self._bars.update(bar, completed=done, total=total, description=text)

            yield advance
        finally:
            if is_outermost:
                self._bars.stop()
            self._bars.remove_task(bar)
