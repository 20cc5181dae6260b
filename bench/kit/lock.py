"""One process at a time: a file lock that tells those who must wait for whom."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from bench.kit import paths
from bench.kit.stopping import paused


@contextmanager
def alone(path: Path, say: Callable[[str], None] = lambda text: None) -> Iterator[None]:
    """Hold the lock ``path``. Where another process holds it, ``say`` whose it is, then wait.

    A process that is killed lets go of it. Who holds it stands in a file beside it, ``<path>.holder``; where a killed
    process left one, ``say`` that too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(path), path.with_name(f"{path.name}.holder")
    with suppress(Timeout):
        lock.acquire(timeout=0)
    try:
        if not lock.is_locked:
            say(f"waiting for {_told(holder)}, which has held {paths.shown(path)} for {_held_minutes(holder):.0f} min")
            with paused():
                lock.acquire()
        if holder.is_file():
            say(f"{_told(holder)} ended while it held {paths.shown(path)}; the lock is taken over")
        # Only for people: where the disk is full, say, the lock is good without.
        with suppress(OSError):
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()} (since {since})", encoding="utf-8")
        yield
    finally:
        if lock.is_locked:
            with suppress(OSError):
                holder.unlink()
            lock.release()


def _told(holder: Path) -> str:
    """Who holds or held the lock, and since when."""
    try:
        return holder.read_text(encoding="utf-8") or "another process"
    except (OSError, ValueError):
        return "another process"


def _held_minutes(holder: Path) -> float:
    try:
        return max(0.0, time.time() - holder.stat().st_mtime) / 60
    except OSError:
        return 0.0
