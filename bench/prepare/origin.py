"""Where a dataset's archives come from: a folder that the user names, or a download; verified in either case."""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from bench.data.archives import Archive, PrepareError
from bench.prepare import download

Say = Callable[[str], None]  # tells the user a line
# ``task(title)`` gives a context that yields ``advance(done, total)``.
Task = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]


def sources(archives: tuple[Archive, ...], name: str, given: Path | None) -> list[dict]:
    """Name and size in bytes of the archives that are asked for. Raises :class:`PrepareError` where one is missing."""
    sizes = [entry.bytes if given is None else _find(entry, name, given).stat().st_size for entry in archives]
    return [{"name": entry.name, "bytes": size} for entry, size in zip(archives, sizes, strict=True)]


def obtain(entry: Archive, name: str, given: Path | None, expected: str | None, folder: Path, task: Task) -> Path:
    """The archive's file: from ``given`` where that is set, else downloaded into ``folder/archives``.

    It is verified unless ``expected``, which says what the whole set consists of, is None: then a part of it will do.
    Raises :class:`PrepareError` or :class:`~bench.prepare.download.DownloadError`.
    """
    if given is None:
        path = folder / "archives" / entry.name
        with task(f"{entry.name}: download") as advance:
            download.fetch(entry.url, path, entry.bytes, entry.checksum, advance)
        return path
    path = _find(entry, name, given)
    if expected is None:
        return path
    with task(f"{entry.name}: verify"):
        fault = download.fault_of(path, entry.bytes, entry.checksum)
    if fault:
        raise PrepareError(
            f"{path} is not the official archive: {fault} ({name} is {expected}); fetch it again from {entry.url}, or "
            "accept a smaller set with --subset"
        )
    return path


def _find(entry: Archive, name: str, given: Path) -> Path:
    for path in (given / entry.name, given / name / entry.name):
        if path.is_file():
            return path
    if not given.is_dir():
        raise PrepareError(
            f"--archives {given}: there is no such folder; it must contain {entry.name}, published at {entry.url}"
        )
    raise PrepareError(f"{entry.name} is neither in {given} nor in {given / name}; it is published at {entry.url}")


def require_disk(name: str, gigabytes: float, folder: Path) -> None:
    """Raise :class:`PrepareError` where the disk cannot hold what is missing in ``folder`` to ``gigabytes``."""
    there = sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
    missing, free = gigabytes - there / 1e9, shutil.disk_usage(folder).free / 1e9
    if missing > free:
        raise PrepareError(
            f"{name} needs about {missing:.2f} GB more in {folder}, but the disk has {free:.2f} GB free; make room or "
            "choose another place with --data DIR"
        )
