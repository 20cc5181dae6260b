"""Which cases run at this moment, in whatever process, on whatever machine that shares the results folder.

A case that runs holds the lock of its training run; what it says of itself lies in a file that a killed process leaves.
Needs no torch.
"""

import json
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from bench.plan.case import Case


@dataclass(frozen=True)
class Running:
    """Where and since when a case runs, how many of its ``epochs`` are done, and how many processes were killed in it before."""

    run: str
    host: str
    process: int
    since: str
    epoch: int
    epochs: int
    retries: int = 0


def lock_of(folder: Path, run: str) -> Path:
    """What the process holds in which a case of the training run runs."""
    return folder / "checkpoints" / f"{run}.lock"


@contextmanager
def announced(folder: Path, case: Case) -> Iterator[tuple[Callable[[int], None], int]]:
    """Say that the case runs while the block does, which calls ``at(epoch)`` after each; the caller holds the lock.

    Gives ``at`` and how many processes, of whatever session and machine, were killed in the case before: each left this file.
    Where it cannot be written, the case's record and checkpoints say so.
    """
    path = _path(folder, case.id)
    left = last(folder, case.id)
    retries = left.retries + 1 if left else 0
    since = datetime.now(UTC).isoformat(timespec="seconds")

    def at(epoch: int) -> None:
        entry = Running(case.run, platform.node(), os.getpid(), since, epoch, case.epochs, retries)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            # For people, and once an epoch: neither atomic nor flushed to the disk.
            path.write_text(json.dumps(asdict(entry)))

    at(0)
    try:
        yield at, retries
    finally:
        with suppress(OSError):
            path.unlink()


def now(folder: Path) -> dict[str, Running]:
    """The cases that run now, by id; what a killed process left does not count."""
    entries = {path.stem: last(folder, path.stem) for path in sorted(folder.glob("running/*.json"))}
    return {name: entry for name, entry in entries.items() if entry and _is_held(lock_of(folder, entry.run))}


def last(folder: Path, case_id: str) -> Running | None:
    """What the case said of itself last; None where it has ended, or says it at this moment."""
    try:
        return Running(**json.loads(_path(folder, case_id).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _path(folder: Path, case_id: str) -> Path:
    return folder / "running" / f"{case_id}.json"


def _is_held(path: Path) -> bool:
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # a folder that this process may only read
        return path.exists()
