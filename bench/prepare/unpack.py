"""Unpacks a ZIP file that nobody vouches for: refused as a whole if anything in it is suspicious, continued if it ended.

The table of contents is checked before the first byte is written (:mod:`bench.prepare.contents`). The entries are then read without ``zipfile``, which
stops at the length that an entry states and so does not notice one that holds more. Where several archives make one
set, ``check`` looks at all of them first.
Left out on purpose: times, permissions and links of the entries, passwords, packings other than stored and deflated;
threads (most of the time goes into creating small files, and two threads were no faster than one).
"""

import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

from bench.kit.paths import lacking
from bench.prepare.contents import HEADER_BYTES, MOST_ENTRIES, TEMPORARY, ArchiveError, Entry, checked_entries, damaged

PIECE_BYTES = 1 << 20
BLOCK_BYTES = 4096  # a file fills whole blocks of the disk, which small images notice


def check(archives: Sequence[tuple[Path, int]], target: Path) -> None:
    """Raise ArchiveError where one of the archives cannot be unpacked or ``target`` has not the space for all of them.

    Each comes with the bytes that it may hold unpacked. Goes by the tables of contents; nothing is written.
    """
    total = 0
    for archive, largest_bytes in archives:
        files, paths = _files_of(checked_entries(archive, largest_bytes, MOST_ENTRIES), target)
        total += _bytes_needed(files, paths)
    _require_space([archive for archive, _ in archives], target, total)


def unpack(
    archive: Path,
    target: Path,
    progress: Callable[[int, int], None],
    largest_bytes: int | None = None,
    most_entries: int = MOST_ENTRIES,
    before_change: Callable[[], object] = lambda: None,
) -> list[Path]:
    """Unpack ``archive`` into the folder ``target``; returns the files, in the archive's order.

    Files that are there with the right size and CRC-32 stay untouched, so a second call repairs or continues a first.
    ``largest_bytes`` bounds what all files hold unpacked. ``progress`` gets files done and files in all.
    ``before_change`` is called before a file that is there is replaced by another. Processes that unpack into the same
    folder wait for one another. Raises ArchiveError: before anything is written for what the table
    of contents shows (names that leave the folder or clash, links, encryption, bombs, overlaps), at the entry for
    damaged data; the other files that are complete by then stay.
    """
    try:
        entries = checked_entries(archive, largest_bytes, most_entries)
        files, paths = _files_of(entries, target)
        folders = {path.parent for path in paths}.union(target / e.name for e in entries if e.name.endswith("/"))
        target.mkdir(parents=True, exist_ok=True)
        with FileLock(target / ".unpack.lock"):
            _require_space([archive], target, _bytes_needed(files, paths))
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
            _unpack_files(archive, files, paths, progress, before_change)
    except OSError as error:
        raise ArchiveError(f"{archive}: cannot unpack it into {target}: {error}; fix that and run again") from error
    return paths


def _files_of(entries: list[Entry], target: Path) -> tuple[list[Entry], list[Path]]:
    """The entries that are files, and where they go."""
    files = [entry for entry in entries if not entry.name.endswith("/")]
    return files, [target / entry.name for entry in files]


def _bytes_needed(files: list[Entry], paths: list[Path]) -> int:
    """What the disk must give for the files that are not there with the right size."""
    needed = 0
    for entry, path in zip(files, paths, strict=True):
        try:
            there = path.stat().st_size == entry.info.file_size
        except FileNotFoundError:
            there = False
        needed += 0 if there else -(-entry.info.file_size // BLOCK_BYTES) * BLOCK_BYTES
    return needed


def _require_space(archives: Sequence[Path], target: Path, needed: int) -> None:
    """Raise ArchiveError where the disk of ``target`` does not give the bytes that the archives need together."""
    if lack := lacking(target, needed):
        raise ArchiveError(f"{' and '.join(map(str, archives))}: {lack}")


def _unpack_files(
    archive: Path,
    files: list[Entry],
    paths: list[Path],
    progress: Callable[[int, int], None],
    before_change: Callable[[], object],
) -> None:
    with archive.open("rb") as file:
        for done, (entry, path) in enumerate(zip(files, paths, strict=True), start=1):
            if not _is_there(entry.info, path):
                _unpack_one(archive, file, entry, path, before_change)
            progress(done, len(files))


def _is_there(info: zipfile.ZipInfo, path: Path) -> bool:
    try:
        with path.open("rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size != info.file_size:
                return False
            crc = 0
            while piece := file.read(min(PIECE_BYTES, info.file_size + 1)):
                crc = zlib.crc32(piece, crc)
            return crc == info.CRC
    except FileNotFoundError:
        return False


def _unpack_one(archive: Path, file: BinaryIO, entry: Entry, path: Path, before_change: Callable[[], object]) -> None:
    """Write one file under a temporary name and rename it. No fsync: the next call checks the CRC-32 anyway."""
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    size = crc = 0
    try:
        with temporary.open("wb") as written:
            for piece in _pieces(archive, file, entry):
                size += len(piece)
                if size > entry.info.file_size:
                    break  # the rest may be endless
                crc = zlib.crc32(piece, crc)
                written.write(piece)
        if size != entry.info.file_size:
            more = "at least " if size > entry.info.file_size else ""
            raise damaged(archive, f"entry {entry.name!r} states {entry.info.file_size} bytes, holds {more}{size}")
        if crc != entry.info.CRC:
            raise damaged(archive, f"entry {entry.name!r} has CRC-32 {crc:08x}, expected {entry.info.CRC:08x}")
        if path.exists():
            before_change()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _pieces(archive: Path, file: BinaryIO, entry: Entry) -> Iterator[bytes]:
    """What the entry holds, unpacked, in pieces of at most 1 MB."""
    info = entry.info
    file.seek(info.header_offset)
    header = file.read(HEADER_BYTES)
    lengths = struct.unpack("<HH", header[-4:]) if len(header) == HEADER_BYTES and header[:4] == b"PK\3\4" else (0, 0)
    if file.read(lengths[0]) != info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437"):
        raise damaged(archive, f"entry {entry.name!r} is not where the table of contents says")
    start, left = file.seek(lengths[1], os.SEEK_CUR), info.compress_size
    if start + left > entry.end:
        raise damaged(archive, f"entry {entry.name!r} overlaps what follows it at byte {entry.end}")
    inflate = zlib.decompressobj(-zlib.MAX_WBITS) if info.compress_type == zipfile.ZIP_DEFLATED else None
    while left:
        packed = file.read(min(left, PIECE_BYTES))
        if not packed:
            raise damaged(archive, f"ends within entry {entry.name!r}")
        left -= len(packed)
        if inflate is None:
            yield packed
            continue
        try:
            while packed:
                yield inflate.decompress(packed, PIECE_BYTES)
                packed = inflate.unconsumed_tail
        except zlib.error as error:
            raise damaged(archive, f"entry {entry.name!r} is damaged: {error}") from error
    if inflate is not None:
        yield inflate.flush()  # a few bytes at most
