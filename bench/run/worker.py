"""A worker process: runs the cases that it is sent, one after another, and says how far it is.

It knows nothing of pytest. What it leaves are records, checkpoints and stored features, as any session does; over its
connection go only messages: ``(what, ...)`` with ``what`` one of "say", "task" and "ended".
"""

import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from threading import Thread

from bench.kit.errors import UserError
from bench.kit.progress import Progress
from bench.plan.case import Case
from bench.run.job import CaseError, Job
from bench.run.session import Session

EVERY_SECONDS = 0.1  # as often a bar moves


class Messages:
    """A :class:`~bench.kit.progress.Progress` that is shown by another process."""

    def __init__(self, connection: Connection):
        self.send = connection.send

    def say(self, text: str) -> None:
        self.send(("say", text))

    @contextmanager
    def task(self, text: str) -> Iterator[Callable[[int, int], None]]:
        last = time.monotonic()
        self.send(("task", text, 0, None))

        def advance(done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last >= EVERY_SECONDS:
                last = time.monotonic()
                self.send(("task", text, done, total))

        yield advance


def serve(connection: Connection, job: Job) -> None:
    """Run what comes over the connection, lists of cases, until one is empty."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches a terminal's processes all: who gave the work decides
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    Thread(target=_end_with_parent, daemon=True).start()
    messages = Messages(connection)
    open_session = cache(partial(Session, job, messages))
    try:
        while cases := connection.recv():
            for case in cases:
                connection.send(("ended", case.id, *outcome(open_session, case, messages)))
    except (KeyboardInterrupt, EOFError, BrokenPipeError):
        pass  # the record says so


def outcome(open_session: Callable[[], Session], case: Case, messages: Progress) -> tuple[str | None, bool]:
    """Run a case, unless another process has finished it in the meantime; returns what the user reads of a failure, and
    whether another had."""
    try:
        return None, open_session().run_or_reuse(case, partial(_rounds, case, messages)) is not None
    except (CaseError, UserError) as error:
        return str(error), False
    except Exception:
        return traceback.format_exc(), False


def _rounds(case: Case, messages: Progress, epoch: Callable[[], None], count: int) -> None:
    with messages.task(case.id) as advance:
        for done in range(1, count + 1):
            epoch()
            advance(done, count)


def _end_with_parent() -> None:
    """A killed parent cannot say that it is over."""
    wait([parent_process().sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
