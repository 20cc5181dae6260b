"""Lists and prunes stored features of teachers.

python -m bench cache                       what there is, how large, when it was last used
python -m bench cache prune NAME ...        delete those (a name, or the beginning of one)
python -m bench cache prune --unused 30     delete what was not used for 30 days
python -m bench cache prune --all           delete all; they are computed again when they are needed
"""

import json
import os
import shutil
import stat
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from bench.kit import paths
from bench.kit.markdown import gigabytes

MARKS = ("about.json", "complete", "train-images")  # what a pass leaves first, last, and in between


@dataclass(frozen=True)
class Entry:
    """Features of one teacher on one dataset: their folder, bytes on disk, whether complete, days since their last use."""

    folder: Path
    bytes: int
    complete: bool
    unused_days: float

    @property
    def name(self) -> str:
        return self.folder.name


def entries() -> list[Entry]:
    """All stored features, the largest first; links, and folders without any part of a teacher's pass, are left out."""
    folder = paths.features_folder()
    stores = folder.iterdir() if folder.is_dir() else []
    folders = [path for path in stores if not path.is_symlink() and any((path / mark).exists() for mark in MARKS)]
    return sorted(map(_entry, folders), key=lambda entry: (-entry.bytes, entry.name))


def _entry(folder: Path) -> Entry:
    files = [status for path in folder.rglob("*") if (status := _status(path)) and stat.S_ISREG(status.st_mode)]
    complete = _status(folder / "complete")
    used = complete.st_mtime if complete else max((status.st_mtime for status in files), default=0.0)
    # Files that are being filled have holes: what counts is what the disk gave.
    size = sum(status.st_blocks * 512 for status in files)
    return Entry(folder, size, complete is not None, max(0.0, time.time() - used) / 86400)


def _status(path: Path) -> os.stat_result | None:
    """Facts of a file; None where another process has just deleted it."""
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def table() -> str:
    """The entries as text."""
    stored, folder = entries(), paths.shown(paths.features_folder())
    if not stored:
        return f"no stored features in {folder}"
    lines = [f"{folder}: {gigabytes(sum(entry.bytes for entry in stored))}"]
    width = max(len(entry.name) for entry in stored)
    for entry in stored:
        line = f"  {entry.name:{width}}  {gigabytes(entry.bytes):>10}  used {entry.unused_days:.0f} days ago"
        lines.append(f"{line}{_about(entry)}{'' if entry.complete else '  incomplete'}")
    return "\n".join(lines)


def _about(entry: Entry) -> str:
    try:
        about = json.loads((entry.folder / "about.json").read_text(encoding="utf-8"))
        tokens = "with tokens" if about["needs"]["tokens"] else "without tokens"
        return f"  {about['provenance']['source']}, {about['precision']}, {tokens}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def prune(names: list[str], unused: float | None) -> list[str]:
    """Delete all entries; with ``names`` only those that begin so, with ``unused`` days only what was not used for longer.

    Returns a line for each that says what became of it. Raises ``FileNotFoundError`` where a name fits nothing, before
    anything is deleted.
    """
    stored = entries()
    for name in names:
        if not name or not any(entry.name.startswith(name) for entry in stored):
            raise FileNotFoundError(f"no stored features are called {name!r}; python -m bench cache lists them")
    chosen = [entry for entry in stored if not names or entry.name.startswith(tuple(names))]
    chosen = [entry for entry in chosen if unused is None or entry.unused_days > unused]
    return [_delete(entry) for entry in chosen] or ["nothing to delete"]


def _delete(entry: Entry) -> str:
    own = entry.folder.with_name(f"{entry.name}.lock")
    try:
        with ExitStack() as held:
            # A pass holds that of the part which it fills.
            for path in (own, *entry.folder.glob("*/lock*")):
                held.enter_context(FileLock(path, timeout=0))
            (entry.folder / "complete").unlink(missing_ok=True)
            shutil.rmtree(entry.folder)
            own.unlink(missing_ok=True)
    except Timeout:
        return f"kept {entry.name}: a process is working on it"
    return f"deleted {entry.name}, {gigabytes(entry.bytes)}"
