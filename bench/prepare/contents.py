"""What a ZIP file says that it holds, from its table of contents, which is refused if anything in it is suspicious.

Nothing is unpacked here. What only the entries themselves show (other lengths, other contents) is for the reader of
their data: :mod:`bench.prepare.unpack`.
"""

import os
import re
import stat
import struct
import unicodedata
import zipfile
from dataclasses import dataclass
from pathlib import Path

MOST_ENTRIES = 2_000_000  # the largest set, ImageNet-1k, has 1.4 million files
# No data set has a file of over 1 MB, or over 64 MB in all, that packs better than 200 : 1.
BOMB_RATIO, BOMB_BYTES, BOMB_TOTAL_BYTES = 200, 1 << 20, 1 << 26
HEADER_BYTES = 30  # of an entry's own header, before its name
TEMPORARY = ".unpacking"  # ends the name of a file that is being written
LONGEST_NAME_BYTES = 255 - 1 - len(TEMPORARY)


class ArchiveError(RuntimeError):
    """The archive was not unpacked; the message says which and why, and what to do."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder in the archive."""

    info: zipfile.ZipInfo
    end: int  # where its data must have ended, because something else begins

    @property
    def name(self) -> str:
        return self.info.filename


def damaged(archive: Path, what: str) -> ArchiveError:
    """The error that says what is wrong with an archive."""
    return ArchiveError(f"{archive}: {what}; delete it and fetch it again, or point --archives at a good one")


def checked_entries(archive: Path, largest_bytes: int | None, most_entries: int) -> list[Entry]:
    """The archive's entries, in its order, if nothing in the table of contents speaks against unpacking them."""
    try:
        with zipfile.ZipFile(archive) as opened:
            infos, table = opened.infolist(), opened.start_dir
    except (zipfile.BadZipFile, struct.error, NotImplementedError, ValueError, OverflowError, EOFError) as error:
        with archive.open("rb") as file:
            is_zip = file.read(4) == b"PK\3\4"
        raise damaged(archive, "cut short or damaged" if is_zip else "not a ZIP file") from error
    if not infos:
        raise damaged(archive, "is empty")
    stated = _stated_entries(archive)
    if stated not in (len(infos), len(infos) % 2**16):  # the latter by writers that know nothing of ZIP64
        raise damaged(archive, f"lists {len(infos)} entries, expected {stated}")
    if len(infos) > most_entries:
        raise damaged(archive, f"holds {len(infos)} entries, allowed are {most_entries}")
    for info in infos:
        if fault := _fault(info):
            raise damaged(archive, f"entry {info.orig_filename!r} {fault}")
    total, packed = sum(info.file_size for info in infos), sum(info.compress_size for info in infos)
    if total > max(BOMB_TOTAL_BYTES, BOMB_RATIO * packed):
        raise damaged(archive, f"would grow from {packed} to {total} bytes, as only a bomb does")
    if largest_bytes is not None and total > largest_bytes:
        raise damaged(archive, f"holds {total} bytes unpacked, allowed are {largest_bytes}")
    if clash := _clash_of_names(infos):
        raise damaged(archive, clash)
    in_place = sorted(infos, key=lambda info: info.header_offset)
    if in_place[0].header_offset != 0:
        raise damaged(archive, f"its first entry begins at byte {in_place[0].header_offset}, expected 0")
    ends = [info.header_offset for info in in_place[1:]] + [table]
    for info, end in zip(in_place, ends, strict=True):
        if info.header_offset + HEADER_BYTES + len(info.orig_filename) + info.compress_size > end:
            raise damaged(archive, f"entry {info.filename!r} overlaps what follows it at byte {end}")
    end_of = {info.header_offset: end for info, end in zip(in_place, ends, strict=True)}
    return [Entry(info, end_of[info.header_offset]) for info in infos]


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
