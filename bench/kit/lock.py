"""One process at a time: a file lock that says so before it waits; and the alarm that waiting does not count towards.

The alarm is that of ``--case-timeout``, and it rings once. Left out on purpose: a call into C that never
returns. Python interrupts between two instructions, so such a case ends when the call does.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bench.kit import paths


@contextmanager
def locked(path: Path, say: Callable[[str], None] = lambda text: None, wait: bool = True) -> Iterator[bool]:
    """Hold the lock ``path``. Where another process holds it, ``say`` so and wait; a killed process lets go of it.

    Without ``wait`` the block runs at once; it is given whether the lock is held. Waiting does not count towards
    ``--case-timeout``. In a folder that this process may only read nothing is locked.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not wait:
            yield False
            return
        say(f"waiting for another process, which holds {paths.shown(path)}")
        with alarm_paused():
            lock.acquire()
    except OSError:
        if os.access(path.parent, os.W_OK):  # others may write there, too
            raise
    try:
        yield True
    finally:
        lock.release()


class AlarmError(BaseException):
    """The alarm rang. A BaseException, so that no ``except Exception`` on the way swallows it."""


@contextmanager
def alarm(seconds: float | None) -> Iterator[None]:
    """Raise :class:`AlarmError` in the block once it took so long; None: never. The main thread only, as for any signal."""
    if seconds is None:
        yield
        return
    before = signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        cancel_alarm()
        signal.signal(signal.SIGALRM, before)


def _ring(*_) -> None:
    raise AlarmError


@contextmanager
def alarm_paused() -> Iterator[None]:
    """Stop the alarm's clock while the block runs; what is left of the limit comes after.

    For waiting on other processes, and for what must not be interrupted.
    """
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield
    finally:
        if left:
            signal.setitimer(signal.ITIMER_REAL, left)


def alarm_is_set() -> bool:
    """Whether the alarm is still to ring."""
    return signal.getitimer(signal.ITIMER_REAL)[0] > 0


def cancel_alarm() -> None:
    """Let the alarm ring no more."""
    signal.setitimer(signal.ITIMER_REAL, 0)
