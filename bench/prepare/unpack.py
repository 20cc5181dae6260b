"""Unpacks ZIP files that nobody vouches for, or takes folders that somebody unpacked; a second call goes on.

``zipfile`` reads the archive and checks every entry's header and CRC-32. Checked here, before anything is written: names
that leave the folder, links and what the entries hold unpacked. Of a folder the files are linked where the disk can do
that, so they are never written to.
Left out on purpose: times, permissions, empty folders, passwords, and what macOS adds.
"""

import filecmp
import os
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench.data.archives import PrepareError
from bench.kit.paths import lacking, nearest_existing

PIECE_BYTES = 1 << 20
BLOCK_BYTES = 4096  # a file fills whole blocks of the disk, which small images notice
ODD_NAME, SPECIAL = "has a name that no file should have", "is a link or another special file"
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, ValueError, OverflowError, EOFError)


def check(archives: Sequence[tuple[Path, int]], target: Path) -> None:
    """Raise PrepareError where an archive cannot be unpacked, or where ``target`` has no space for all of them.

    Each archive or folder comes with the bytes that it may hold unpacked. Reads the tables of contents only; writes nothing.
    """
    needed = 0
    for archive, largest_bytes in archives:
        linked = archive.is_dir() and archive.stat().st_dev == nearest_existing(target).stat().st_dev
        if archive.is_dir():
            sizes = _contents(archive)
        else:
            with _opened(archive) as opened:
                sizes = {info.filename: info.file_size for info in _files(opened, largest_bytes)}
        for name, size in sizes.items():
            path = target / name
            if not linked and not (path.exists() and path.stat().st_size == size):
                needed += -(-size // BLOCK_BYTES) * BLOCK_BYTES
    if lack := lacking(target, needed):
        raise PrepareError(f"{' and '.join(str(archive) for archive, _ in archives)}: {lack}")


def unpack(
    archive: Path,
    target: Path,
    progress: Callable[[int, int], None],
    largest_bytes: int,
    before_change: Callable[[], object] = lambda: None,
) -> list[Path]:
    """Unpack ``archive``, or link a folder's files, into the folder ``target``; returns the files, in the archive's order.

    Files that are there with the right size and CRC-32 stay as they are; ``before_change`` is called before another is
    replaced. ``largest_bytes`` bounds what the archive may hold unpacked. ``progress`` gets files done and files in all.
    Raises PrepareError: before anything is written where the table of contents is to blame, else at the damaged entry.
    """
    if archive.is_dir():
        return _link_all(archive, target, progress, before_change)
    with _opened(archive) as opened:
        infos = _files(opened, largest_bytes)
        for done, info in enumerate(infos, start=1):
            path = target / info.filename
            if not _is_whole(path, info):
                _unpack_one(opened, info, path, before_change)
            progress(done, len(infos))
    return [target / info.filename for info in infos]


def bytes_of(archive: Path) -> int:
    """Size of an archive, or of all files in a folder. Raises PrepareError where the folder cannot be used."""
    return sum(_contents(archive).values()) if archive.is_dir() else archive.stat().st_size


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    """The archive, opened; what goes wrong with it becomes a PrepareError."""
    try:
        with zipfile.ZipFile(archive) as opened:
            yield opened
    except DAMAGE as error:
        what = str(error) or "it ends too early"
        raise PrepareError(
            f"{archive}: damaged, or not a ZIP file that can be used ({what}); delete it and fetch it again, or point "
            "--archives at a good one"
        ) from error
    except OSError as error:
        raise PrepareError(f"{archive}: cannot be unpacked: {error}; fix that and run again") from error


def _files(opened: zipfile.ZipFile, largest_bytes: int) -> list[zipfile.ZipInfo]:
    """The archive's files, without its folders. Raises ``BadZipFile`` where the table of contents is suspicious."""
    infos = opened.infolist()
    if (total := sum(info.file_size for info in infos)) > largest_bytes:
        raise zipfile.BadZipFile(f"it holds {total} bytes unpacked, allowed are {largest_bytes}")
    if len({info.filename for info in infos}) < len(infos):
        raise zipfile.BadZipFile("two entries have the same name")
    for info in infos:
        name, kind = info.filename, stat.S_IFMT(info.external_attr >> 16)
        faults = {
            ODD_NAME: name != info.orig_filename,  # zipfile cuts a name at a NUL
            SPECIAL: kind not in (0, stat.S_IFDIR if info.is_dir() else stat.S_IFREG),
            "is encrypted": info.flag_bits & 1,
            "is packed in an unknown way": info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED),
        }
        if fault := _name_fault(name) or next((what for what, is_so in faults.items() if is_so), None):
            raise zipfile.BadZipFile(f"entry {info.orig_filename!r} {fault}")
    return [info for info in infos if not (info.is_dir() or _is_of_macos(info.filename))]


def _name_fault(name: str) -> str | None:
    if {"\\", ":"} & set(name) or not name.isprintable():
        return ODD_NAME
    if {"", ".", ".."} & set(name.removesuffix("/").split("/")):
        return "has a path that is absolute, or has '.', '..' or '//' in it"
    return None


def _is_of_macos(name: str) -> bool:
    """Whether it is what macOS keeps of a file or folder beside it."""
    return any(part in ("__MACOSX", ".DS_Store") or part.startswith("._") for part in name.split("/"))


def _is_whole(path: Path, info: zipfile.ZipInfo) -> bool:
    """Whether the file is there with the entry's size and CRC-32."""
    if not path.exists() or path.stat().st_size != info.file_size:
        return False
    crc = 0
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            crc = zlib.crc32(piece, crc)
    return crc == info.CRC


def _unpack_one(
    opened: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, before_change: Callable[[], object]
) -> None:
    def write(temporary: Path) -> None:
        with opened.open(info) as packed, temporary.open("wb") as file:
            shutil.copyfileobj(packed, file, PIECE_BYTES)
        if (size := temporary.stat().st_size) != info.file_size:
            raise zipfile.BadZipFile(f"entry {info.filename!r} states {info.file_size} bytes, holds {size}")

    _put(path, write, before_change)


def _put(path: Path, write: Callable[[Path], object], before_change: Callable[[], object]) -> None:
    """Write one file under a temporary name and rename it. No fsync: the next call compares it anyway."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.unpacking")
    temporary.unlink(missing_ok=True)  # a kill may have left a link to somebody's file there
    try:
        write(temporary)
        if path.exists():
            before_change()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _contents(folder: Path) -> dict[str, int]:
    """Bytes of each file in a folder by its path, which begins with the folder's name.

    Raises PrepareError where one would be refused in an archive, too.
    """
    sizes, waiting = {}, [folder]
    while waiting:
        for entry in waiting.pop().iterdir():
            name, mode = entry.relative_to(folder.parent).as_posix(), (facts := entry.lstat()).st_mode
            if _is_of_macos(name):
                continue
            if fault := _name_fault(name) or (None if stat.S_ISDIR(mode) or stat.S_ISREG(mode) else SPECIAL):
                raise PrepareError(f"{folder}: {name!r} {fault}; take it out, or put the file itself in its place")
            if stat.S_ISDIR(mode):
                waiting.append(entry)
            else:
                sizes[name] = facts.st_size
    return sizes


def _link_all(
    folder: Path, target: Path, progress: Callable[[int, int], None], before_change: Callable[[], object]
) -> list[Path]:
    """Link a folder's files into ``target``; returns them. Those that are there with the same bytes stay as they are."""
    names = sorted(_contents(folder))
    for done, name in enumerate(names, start=1):
        source, path = folder.parent / name, target / name
        if not (path.exists() and (path.samefile(source) or filecmp.cmp(source, path, shallow=False))):
            _put(path, partial(_link_or_copy, source), before_change)
        progress(done, len(names))
    return [target / name for name in names]


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, one without links, or a file of another user
        shutil.copyfile(source, target)
