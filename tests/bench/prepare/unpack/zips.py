"""Archives made in the tests, changed in one place, and what arrived of them."""

import random
import struct
import zipfile

import pytest

from bench.prepare.contents import ArchiveError
from bench.prepare.unpack import unpack

NOISE = random.Random(0).randbytes(3000)
CONTENT = {
    "set/train/a.jpg": NOISE,
    "set/train/b.jpg": NOISE[::-1],
    "set/words.txt": b"word " * 500,
    "set/empty.txt": b"",
    "set/größe.txt": b"not ASCII",
}
FLAGS, SIZE, OFFSET = 8, 24, 42  # places in an entry of the table of contents


def silent(done, total):
    pass


def make(path, content, packing=zipfile.ZIP_DEFLATED):
    """Write an archive of names and bytes, or of ZipInfos and bytes, in that order."""
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content_of_one in content:
            archive.writestr(name, content_of_one)
    return path


def patch(path, name, place, form, value):
    """Change one number in the table of contents, in the entry of that name."""
    data = bytearray(path.read_bytes())
    entry = data.rindex(name.encode()) - 46
    assert data[entry : entry + 4] == b"PK\1\2"
    struct.pack_into(form, data, entry + place, value)
    path.write_bytes(data)


def files_in(folder):
    """Bytes of the files under a folder by name, without the lock."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if name != ".unpack.lock"}


def assert_refused(path, target, match, **bounds):
    """It is refused, nothing is in the target and nothing new beside it."""
    before = sorted(path.parent.iterdir())
    with pytest.raises(ArchiveError, match=match) as failure:
        unpack(path, target, silent, **bounds)
    assert str(path) in str(failure.value) and "--archives" in str(failure.value)
    assert sorted(path.parent.iterdir()) == before and not target.exists()
