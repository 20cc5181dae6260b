"""What stops a case or a session before its end: the limit of ``--case-timeout``, and a person's Ctrl-C.

Left out on purpose: a call into C that never returns. Python interrupts between two instructions, so such a case ends
when the call does; where it does not, kill the process (with -n a worker): the next run goes on from the checkpoints.
"""

import math
import shlex
import signal
import sys
import threading
import time
from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.kit.errors import shown

LONGEST_SECONDS = 10**8  # three years; a system's alarm has a bound of its own
AGAIN_SECONDS = 1.0  # between rings, should a library swallow the first one, or the first one be held

_holding = 0  # blocks that hold the alarm now
_waited = 0.0  # seconds for other processes


class CaseError(RuntimeError):
    """A case ended badly; the message is all that is kept of the error, so that its memory can go."""


class CaseTimeoutError(BaseException):
    """A case took longer than its limit.

    Like ``KeyboardInterrupt`` no ``Exception``: it may come anywhere, and whoever catches those takes it for a fault of
    what he is at, such as damage to a file.
    """


def limit_seconds(text: str) -> float:
    """A limit from the command line. Raises ``ArgumentTypeError`` where it is none, or cannot be kept here."""
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not 0 < limit <= LONGEST_SECONDS:
        raise ArgumentTypeError(f"expected a number of seconds above 0 and up to {LONGEST_SECONDS}, not {shown(text)}")
    if not hasattr(signal, "setitimer"):
        raise ArgumentTypeError("this system has no alarm signal; leave the option out")
    if threading.current_thread() is not threading.main_thread():
        raise ArgumentTypeError("cases run outside the main thread, where no alarm arrives; leave the option out")
    return limit


@contextmanager
def limited(limit: float | None) -> Iterator[None]:
    """Raise :class:`CaseTimeoutError` inside the block once it has run for ``limit`` seconds; None: let it run.

    It may be raised between any two instructions but those that are :func:`held`, while a file is written for example:
    all files are written under a temporary name. What else leaves the block after the limit was the limit's doing: code
    in C may turn an exception into another. Only for the main thread.
    """
    if limit is None:
        yield
        return
    armed, rung = True, False
    message = f"took longer than {limit:g} s (--case-timeout)"

    def ring(number: int, frame: object) -> None:
        nonlocal rung
        # While the first ring is being cleaned up after, a second one would leave locks and files behind.
        if armed and not _holding and not _is_after_a_ring(sys.exception()):
            rung = True
            raise CaseTimeoutError(message)

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, limit, AGAIN_SECONDS)
        try:
            yield
        except Exception as error:
            if rung and not isinstance(error, CaseTimeoutError):
                raise CaseTimeoutError(message) from error
            raise
        finally:
            armed = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def held() -> Iterator[None]:
    """Keep the alarm of :func:`limited` waiting while the block runs. It rings again soon after.

    For what takes any error for damage to a file, and deletes it.
    """
    global _holding
    _holding += 1
    try:
        yield
    finally:
        _holding -= 1


@contextmanager
def paused() -> Iterator[None]:
    """Stop the clock of :func:`limited` while the block waits for another process; what is left of the limit comes after."""
    global _waited
    start, alarms = time.perf_counter(), hasattr(signal, "setitimer")
    left, again = signal.setitimer(signal.ITIMER_REAL, 0) if alarms else (0.0, 0.0)
    try:
        yield
    finally:
        _waited += time.perf_counter() - start
        if left:
            signal.setitimer(signal.ITIMER_REAL, left, again)


def waited() -> float:
    """Seconds that this process was :func:`paused` in all."""
    return _waited


def _is_after_a_ring(error: BaseException | None) -> bool:
    """Whether the error that is being handled is a ring, or came while one was handled."""
    while error is not None and not isinstance(error, CaseTimeoutError):
        error = error.__context__
    return error is not None


def how_to_go_on(done: int, total: int, arguments: Sequence[str]) -> str:
    """What an interrupted session tells: how far it came, and the command that goes on from there."""
    words = list(arguments)
    while "--rerun" in words[:-1]:
        place = words.index("--rerun")
        del words[place : place + 2]
    # Asked for again, it would begin anew.
    words = [word for word in words if not word.startswith("--rerun=")]
    return (
        f"interrupted: {done} of {total} cases are done, and what the others had trained is kept. "
        f"Go on with: {shlex.join(['pytest', *words])}"
    )
