"""One process at a time: a file lock that says so before it waits."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bench.kit import alarm, paths


@contextmanager
def locked(path: Path, say: Callable[[str], None] = lambda text: None) -> Iterator[None]:
    """Hold the lock ``path``. Where another process holds it, ``say`` so and wait; a killed process lets go of it.

    Waiting does not count towards ``--case-timeout``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"waiting for another process, which holds {paths.shown(path)}")
        with alarm.paused():
            lock.acquire()
    try:
        yield
    finally:
        lock.release()
