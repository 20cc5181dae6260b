"""Archives that are damaged, broken off or none at all: each is refused, or the damage is harmless."""

import shutil
import zipfile

import pytest

from bench.prepare.contents import ArchiveError
from bench.prepare.unpack import unpack
from tests.bench.prepare.unpack.zips import NOISE, assert_refused, files_in, make, patch, silent


def test_an_entry_that_the_table_of_contents_lost_is_missed(good, target):
    patch(good, "set/train/b.jpg", 32, "<H", 46 + len("set/words.txt"))  # the next entry is its comment now
    assert_refused(good, target, "lists 6 entries, expected 7")


def test_bytes_before_the_first_entry_are_refused(good, target):
    good.write_bytes(b"#!/bin/sh\n" + good.read_bytes())
    assert_refused(good, target, "first entry begins at byte 10")


def test_a_flipped_byte_in_the_data_is_refused(tmp_path, target):
    path = make(tmp_path / "a.zip", [("good", b"good"), ("a.jpg", NOISE)], zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.index(NOISE) + 1500] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match=r"'a.jpg' has CRC-32 \w{8}, expected \w{8}; delete it and fetch it again"):
        unpack(path, target, silent)
    assert files_in(target) == {"good": b"good"}


def test_any_flipped_byte_is_refused_or_harmless(tmp_path):
    content = {"d/a.txt": b"aaaaaaaaaa", "d/b.txt": b"some words"}
    path = make(tmp_path / "a.zip", [("d/", b""), *content.items()])
    data = path.read_bytes()
    refused = 0
    target = tmp_path / "target"
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        try:
            unpack(path, target, silent)
            assert files_in(target) == content, place
        except ArchiveError:
            refused += 1
            assert not target.exists() or files_in(target).items() <= content.items()
        shutil.rmtree(target, ignore_errors=True)
    assert refused > len(data) / 2  # the rest are times, versions and the like
    assert list(tmp_path.iterdir()) == [path]


def test_a_truncated_archive_is_refused_wherever_it_ends(good, target):
    data = good.read_bytes()
    for end in [*range(0, len(data), 97), *range(len(data) - 25, len(data))]:
        good.write_bytes(data[:end])
        assert_refused(good, target, "cut short or damaged" if end >= 4 else "not a ZIP file")


def test_an_archive_of_archives_that_is_cut_after_an_inner_one_is_refused(good, tmp_path, target):
    """The inner one's table of contents ends it, as a whole archive's would."""
    path = make(tmp_path / "outer.zip", [("inner.zip", good.read_bytes()), ("b", NOISE)], zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes()[: 39 + good.stat().st_size])
    assert_refused(path, target, "first entry begins at byte 39")


@pytest.mark.parametrize("content", [b"", b"<html>sign in first</html>" * 50, bytes(5000)])
def test_what_is_not_a_zip_is_refused(tmp_path, target, content):
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    assert_refused(path, target, "not a ZIP file; delete it and fetch it again")


def test_a_missing_archive_is_named(tmp_path, target):
    with pytest.raises(ArchiveError, match=r"none\.zip: cannot unpack it .*No such file"):
        unpack(tmp_path / "none.zip", target, silent)
    assert not target.exists()
