"""Unpacks a ZIP file that nobody vouches for: refused as a whole if anything in it is suspicious, continued if it ended.

The table of contents is checked before the first byte is written. The entries are then read without ``zipfile``, which
stops at the length that an entry states and so does not notice one that holds more.
Left out on purpose: times, permissions and links of the entries, passwords, packings other than stored and deflated;
threads (most of the time goes into creating small files, and two threads were no faster than one).
"""

import os
import re
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

PIECE_BYTES = 1 << 20
BLOCK_BYTES = 4096  # a file fills whole blocks of the disk, which small images notice
MOST_ENTRIES = 2_000_000  # the largest set, ImageNet-1k, has 1.4 million files
BOMB_RATIO, BOMB_BYTES = 200, 1 << 20  # no data set has a file of over 1 MB that packs better than 200 : 1
HEADER_BYTES = 30  # of an entry's own header, before its name
TEMPORARY = ".unpacking"  # ends the name of a file that is being written
LONGEST_NAME_BYTES = 255 - 1 - len(TEMPORARY)


class ArchiveError(RuntimeError):
    """The archive was not unpacked; the message says which and why, and what to do."""


@dataclass(frozen=True, slots=True)
class _Entry:
    info: zipfile.ZipInfo
    end: int  # where its data must have ended, because something else begins

    @property
    def name(self) -> str:
        return self.info.filename


def unpack(
    archive: Path,
    target: Path,
    progress: Callable[[int, int], None],
    largest_bytes: int | None = None,
    most_entries: int = MOST_ENTRIES,
) -> list[Path]:
    """Unpack ``archive`` into the folder ``target``; returns the files, in the archive's order.

    Files that are there with the right size and CRC-32 stay untouched, so a second call repairs or continues a first.
    ``largest_bytes`` bounds what all files hold unpacked. ``progress`` gets files done and files in all. Processes that
    unpack into the same folder wait for one another. Raises ArchiveError: before anything is written for what the table
    of contents shows (names that leave the folder or clash, links, encryption, bombs, overlaps), at the entry for
    damaged data; the other files that are complete by then stay.
    """
    try:
        entries = _checked_entries(archive, largest_bytes, most_entries)
        files = [entry for entry in entries if not entry.name.endswith("/")]
        paths = [target / entry.name for entry in files]
        folders = {path.parent for path in paths}.union(target / e.name for e in entries if e.name.endswith("/"))
        target.mkdir(parents=True, exist_ok=True)
        with FileLock(target / ".unpack.lock"):
            _require_space(archive, target, files, paths)
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
            _unpack_files(archive, files, paths, progress)
    except OSError as error:
        raise ArchiveError(
            f"{archive}: cannot unpack it into {target}: {error}; run again when that is mended"
        ) from error
    return paths


def _damaged(archive: Path, what: str) -> ArchiveError:
    return ArchiveError(f"{archive}: {what}; delete it and fetch it again, or point --archives at a good one")


def _checked_entries(archive: Path, largest_bytes: int | None, most_entries: int) -> list[_Entry]:
    """The archive's entries, in its order, if nothing in the table of contents speaks against unpacking them."""
    try:
        with zipfile.ZipFile(archive) as opened:
            infos, table = opened.infolist(), opened.start_dir
    except (zipfile.BadZipFile, struct.error, NotImplementedError, ValueError, OverflowError, EOFError) as error:
        with archive.open("rb") as file:
            is_zip = file.read(4) == b"PK\3\4"
        raise _damaged(archive, "cut short or damaged" if is_zip else "not a ZIP file") from error
    stated = _stated_entries(archive)
    if stated not in (len(infos), len(infos) % 2**16):  # the latter by writers that know nothing of ZIP64
        raise _damaged(archive, f"lists {len(infos)} entries, expected {stated}")
    if len(infos) > most_entries:
        raise _damaged(archive, f"holds {len(infos)} entries, allowed are {most_entries}")
    for info in infos:
        if fault := _fault(info):
            raise _damaged(archive, f"entry {info.orig_filename!r} {fault}")
    total = sum(info.file_size for info in infos)
    if largest_bytes is not None and total > largest_bytes:
        raise _damaged(archive, f"holds {total} bytes unpacked, allowed are {largest_bytes}")
    if clash := _clash_of_names(infos):
        raise _damaged(archive, clash)
    in_place = sorted(infos, key=lambda info: info.header_offset)
    if in_place and in_place[0].header_offset != 0:
        raise _damaged(archive, f"its first entry begins at byte {in_place[0].header_offset}, expected 0")
    ends = [info.header_offset for info in in_place[1:]] + [table]
    for info, end in zip(in_place, ends, strict=True):
        if info.header_offset + HEADER_BYTES + len(info.orig_filename) + info.compress_size > end:
            raise _damaged(archive, f"entry {info.filename!r} overlaps what follows it at byte {end}")
    end_of = {info.header_offset: end for info, end in zip(in_place, ends, strict=True)}
    return [_Entry(info, end_of[info.header_offset]) for info in infos]


def _stated_entries(archive: Path) -> int:
    """How many entries the end of the archive states; ``zipfile`` ignores it, and so does not notice a lost one."""
    with archive.open("rb") as file:
        file.seek(-min(archive.stat().st_size, 2**16 + 100), os.SEEK_END)
        tail = file.read()
    end = tail.rfind(b"PK\5\6")
    record = tail[max(0, end - 76) : end]  # ZIP64's, and 20 bytes that say where it is
    if record.startswith(b"PK\6\6"):
        return struct.unpack_from("<Q", record, 32)[0]
    return struct.unpack_from("<H", tail, end + 10)[0]


def _fault(info: zipfile.ZipInfo) -> str | None:
    """What makes one entry unacceptable, going by the table of contents; None if nothing does."""
    name, written = info.filename, info.orig_filename  # zipfile cuts at a NUL and may follow a second name
    is_folder = name.endswith("/")
    parts = name.removesuffix("/").split("/")
    kind = stat.S_IFMT(info.external_attr >> 16)
    faults = (
        ("\0" in written, "has a NUL in its name"),
        ("\\" in written + name, "has a backslash in its name"),
        (name.startswith("/"), "has an absolute path"),
        (any(re.match("[A-Za-z]:", part) for part in parts), "names a drive"),
        (not {"", ".", ".."}.isdisjoint(parts), "has a path with '..', '.' or nothing between two slashes"),
        (any(len(part.encode()) > LONGEST_NAME_BYTES for part in parts), "has too long a name"),
        (name.endswith(TEMPORARY), f"ends in {TEMPORARY}, which marks unfinished files here"),
        (kind not in (0, stat.S_IFDIR if is_folder else stat.S_IFREG), "is a link or another special file"),
        (info.flag_bits & 0x2041, "is encrypted"),
        (info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED), "is packed in an unknown way"),
        (is_folder and info.file_size, "is a folder that holds bytes"),
        (
            info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size,
            f"states {info.file_size} bytes but stores {info.compress_size}",
        ),
        (
            info.file_size > max(BOMB_BYTES, BOMB_RATIO * info.compress_size),
            f"would grow from {info.compress_size} to {info.file_size} bytes, as only a bomb does",
        ),
    )
    return next((why for wrong, why in faults if wrong), None)


def _clash_of_names(infos: list[zipfile.ZipInfo]) -> str | None:
    """Two paths of which one would replace the other, on some system at least; None if there are none."""
    names = [info.filename for info in infos]
    files = [name for name in names if not name.endswith("/")]
    folders = [name[:-1] for name in names if name.endswith("/")]
    parents: set[str] = set()
    for name in files + folders:
        while (name := name.rpartition("/")[0]) and name not in parents:
            parents.add(name)
    seen: dict[str, str] = {}
    for path in [*files, *folders, *parents.difference(folders)]:
        key = unicodedata.normalize("NFC", path).casefold()  # as a Mac or Windows compares them
        if key in seen:
            return f"has {seen[key]!r} twice" if seen[key] == path else f"has both {seen[key]!r} and {path!r}"
        seen[key] = path
    return None


def _require_space(archive: Path, target: Path, files: list[_Entry], paths: list[Path]) -> None:
    needed = 0
    for entry, path in zip(files, paths, strict=True):
        try:
            there = path.stat().st_size == entry.info.file_size
        except FileNotFoundError:
            there = False
        needed += 0 if there else -(-entry.info.file_size // BLOCK_BYTES) * BLOCK_BYTES
    missing = needed - shutil.disk_usage(target).free
    if missing > 0:
        raise ArchiveError(
            f"{archive}: {needed} more bytes do not fit into {target}: {missing / 2**20:.1f} MB are missing; "
            "free them or choose another folder"
        )


def _unpack_files(archive: Path, files: list[_Entry], paths: list[Path], progress: Callable[[int, int], None]) -> None:
    with archive.open("rb") as file:
        for done, (entry, path) in enumerate(zip(files, paths, strict=True), start=1):
            if not _is_there(entry.info, path):
                _unpack_one(archive, file, entry, path)
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


def _unpack_one(archive: Path, file: BinaryIO, entry: _Entry, path: Path) -> None:
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
            raise _damaged(archive, f"entry {entry.name!r} states {entry.info.file_size} bytes, holds {more}{size}")
        if crc != entry.info.CRC:
            raise _damaged(archive, f"entry {entry.name!r} has CRC-32 {crc:08x}, expected {entry.info.CRC:08x}")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _pieces(archive: Path, file: BinaryIO, entry: _Entry) -> Iterator[bytes]:
    """What the entry holds, unpacked, in pieces of at most 1 MB."""
    info = entry.info
    file.seek(info.header_offset)
    header = file.read(HEADER_BYTES)
    lengths = struct.unpack("<HH", header[-4:]) if len(header) == HEADER_BYTES and header[:4] == b"PK\3\4" else (0, 0)
    if file.read(lengths[0]) != info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437"):
        raise _damaged(archive, f"entry {entry.name!r} is not where the table of contents says")
    start, left = file.seek(lengths[1], os.SEEK_CUR), info.compress_size
    if start + left > entry.end:
        raise _damaged(archive, f"entry {entry.name!r} overlaps what follows it at byte {entry.end}")
    inflate = zlib.decompressobj(-zlib.MAX_WBITS) if info.compress_type == zipfile.ZIP_DEFLATED else None
    while left:
        packed = file.read(min(left, PIECE_BYTES))
        if not packed:
            raise _damaged(archive, f"ends within entry {entry.name!r}")
        left -= len(packed)
        if inflate is None:
            yield packed
            continue
        try:
            while packed:
                yield inflate.decompress(packed, PIECE_BYTES)
                packed = inflate.unconsumed_tail
        except zlib.error as error:
            raise _damaged(archive, f"entry {entry.name!r} is damaged: {error}") from error
    if inflate is not None:
        yield inflate.flush()  # a few bytes at most
