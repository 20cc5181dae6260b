"""Where a dataset's archives come from: a folder that the user names, or a download; verified in either case.

In a named folder, what somebody unpacked stands for an archive that is not there; it has no checksum.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from bench.data.archives import Archive, PrepareError
from bench.kit import paths
from bench.prepare import download, unpack

Say = Callable[[str], None]  # tells the user a line
# ``task(title)`` gives a context that yields ``advance(done, total)``.
Task = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]


def sources(archives: tuple[Archive, ...], name: str, given: Path | None) -> list[dict]:
    """Name and size in bytes of the archives, or folders, that are asked for.

    Raises :class:`PrepareError` where one is missing or cannot be used.
    """
    if given is None:
        return [{"name": entry.name, "bytes": entry.bytes} for entry in archives]
    there = [find(entry, name, given) for entry in archives]
    return [{"name": path.name, "bytes": unpack.bytes_of(path)} for path in there]


def obtain(
    entry: Archive, name: str, given: Path | None, expected: str | None, folder: Path, say: Say, task: Task
) -> Path:
    """The archive's file or folder: from ``given`` where that is set, else downloaded into ``folder/archives``.

    It is verified unless ``expected``, which says what the whole set consists of, is None: then a part of it will do.
    Raises :class:`PrepareError`.
    """
    if given is None:
        path = folder / "archives" / entry.name
        with task(f"{entry.name}: download") as advance:
            download.fetch(entry.url, path, entry.bytes, entry.checksum, advance)
        return path
    path = find(entry, name, given)
    if expected is None:
        return path
    if path.is_dir():
        say(f"  {path} was unpacked by somebody: it is not verified against the official checksum of {entry.name}")
        return path
    with task(f"{entry.name}: verify"):
        fault = download.fault_of(path, entry.bytes, entry.checksum)
    if fault:
        raise PrepareError(
            f"{path} is not the official file: {fault} ({name} is {expected}); --subset accepts a repacked or a smaller "
            f"one, the official one is at {entry.url}"
        )
    return path


def find(entry: Archive, name: str, given: Path) -> Path:
    """The archive in ``given``, or the folder that it was unpacked to. Raises :class:`PrepareError` without either."""
    places = (given, given / name)
    for path in (place / entry.name for place in places):
        if path.is_file():
            return path
    folders = [place / entry.folder for place in places if (place / entry.folder).is_dir()][:1]
    if not folders and entry.marker:
        markers = {path for place in places for part in ("", "*/") for path in place.glob(part + entry.marker)}
        folders = sorted(path.parent for path in markers)
    if len(folders) > 1:
        raise PrepareError(f"{folders[0]} and {folders[1]} both look like {name}; name one of them with --archives")
    if folders and paths.data_folder().joinpath(name).is_relative_to(folders[0].resolve()):
        raise PrepareError(f"{folders[0]} cannot be prepared into itself; choose another place with --data DIR")
    if folders:
        return folders[0]
    if not given.is_dir():
        raise PrepareError(
            f"--archives {given}: there is no such folder; it must contain {entry.name}, published at {entry.url}"
        )
    raise PrepareError(
        f"{entry.name} is neither in {given} nor in {given / name}, nor is the folder {entry.folder} that it unpacks to; "
        f"it is published at {entry.url}"
    )


def require_disk(name: str, gigabytes: float, folder: Path) -> None:
    """Raise :class:`PrepareError` where the disk cannot hold what is missing in ``folder`` to ``gigabytes``."""
    there = sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
    if lack := paths.lacking(folder, int(gigabytes * 1e9) - there):
        raise PrepareError(f"{name}: {lack}")
