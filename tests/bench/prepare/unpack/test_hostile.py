"""Archives that are hostile: names that leave the folder, links, bombs, and entries that overlap or lie."""

import stat
import struct
import zipfile

import pytest

from bench.prepare.contents import ArchiveError
from bench.prepare.unpack import unpack
from tests.bench.prepare.unpack.zips import (
    CONTENT,
    FLAGS,
    NOISE,
    OFFSET,
    SIZE,
    assert_refused,
    files_in,
    make,
    patch,
    silent,
)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("../evil", r"'\.\.'"),
        ("set/../../evil", r"'\.\.'"),
        ("set/..", r"'\.\.'"),
        ("./evil", r"'\.'"),
        ("set//evil", "nothing between two slashes"),
        ("/evil", "absolute path"),
        ("//host/evil", "absolute path"),
        ("/", "absolute path"),
        ("C:/evil", "names a drive"),
        ("c:evil", "names a drive"),
        ("..\\evil", "backslash"),
        ("\\evil", "backslash"),
        ("n" * 255, "too long a name"),
        (".a.unpacking", "marks unfinished files"),
    ],
)
def test_a_name_that_could_leave_the_folder_is_refused(tmp_path, target, name, match):
    assert_refused(make(tmp_path / "a.zip", [("good", b"good"), (name, b"evil")]), target, match)


def test_a_name_with_a_nul_is_refused(tmp_path, target):
    path = make(tmp_path / "a.zip", [("good", b"good"), ("evil!.jpg", b"evil")])
    path.write_bytes(path.read_bytes().replace(b"evil!", b"evil\0"))
    assert_refused(path, target, "NUL")


@pytest.mark.parametrize(
    ("names", "match"),
    [
        (["a/x", "a/x"], "has 'a/x' twice"),
        (["a/", "a/"], "has 'a' twice"),
        (["a/x.jpg", "a/X.jpg"], "has both 'a/x.jpg' and 'a/X.jpg'"),
        (["a/x/1", "A/x/2"], "has both"),
        (["u\u0308", "\u00fc"], "has both"),  # u with two dots, written as two characters and as one
        (["a/x", "a/x/y"], "has 'a/x' twice"),
        (["a/x/y/z", "a/x"], "has 'a/x' twice"),
        (["a", "a/"], "has 'a' twice"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_of_which_one_would_replace_the_other_are_refused(tmp_path, target, names, match):
    assert_refused(make(tmp_path / "a.zip", [(name, b"") for name in names]), target, match)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK, stat.S_IFDIR])
def test_links_and_other_special_files_are_refused(tmp_path, target, kind):
    link = zipfile.ZipInfo("link")
    link.external_attr = (kind | 0o777) << 16
    assert_refused(
        make(tmp_path / "a.zip", [(link, b"/etc"), ("link2/passwd", b"evil")]), target, "is a link or another"
    )


@pytest.mark.parametrize("flag", [0x1, 0x41, 0x2001])
def test_encrypted_entries_are_refused(good, target, flag):
    patch(good, "set/train/a.jpg", FLAGS, "<H", flag)
    assert_refused(good, target, "'set/train/a.jpg' is encrypted")


def test_a_folder_that_holds_bytes_is_refused(tmp_path, target):
    assert_refused(make(tmp_path / "a.zip", [("folder/", b"evil")]), target, "'folder/' is a folder that holds bytes")


def test_an_unknown_packing_is_refused(tmp_path, target):
    assert_refused(make(tmp_path / "a.zip", [("a", NOISE)], zipfile.ZIP_LZMA), target, "packed in an unknown way")


def test_a_bomb_is_refused(tmp_path, target):
    path = make(tmp_path / "a.zip", [("zeros", bytes(10_000_000))])
    assert_refused(path, target, r"would grow from \d+ to 10000000 bytes")


def test_a_bomb_of_many_small_files_is_refused(tmp_path, target):
    path = make(tmp_path / "a.zip", [(f"zeros-{number}", bytes(1 << 20)) for number in range(65)])
    assert_refused(path, target, rf"would grow from \d+ to {65 << 20} bytes")


def test_an_archive_of_nothing_is_refused(tmp_path, target):
    assert_refused(make(tmp_path / "a.zip", []), target, "is empty")


def test_what_packs_well_but_is_small_is_no_bomb(tmp_path, target):
    unpack(make(tmp_path / "a.zip", [("mask", bytes(1_000_000))]), target, silent)
    assert files_in(target) == {"mask": bytes(1_000_000)}


def test_more_bytes_or_entries_than_allowed_are_refused(good, target):
    total = sum(map(len, CONTENT.values()))
    assert_refused(good, target, f"holds {total} bytes unpacked, allowed are {total - 1}", largest_bytes=total - 1)
    assert_refused(good, target, "holds 7 entries, allowed are 6", most_entries=6)
    unpack(good, target, silent, largest_bytes=total, most_entries=7)


def test_entries_that_share_their_data_are_refused(tmp_path, target):
    path = make(tmp_path / "a.zip", [("a", NOISE), ("b", NOISE)])
    patch(path, "b", OFFSET, "<I", 0)
    assert_refused(path, target, "overlaps")


def test_an_entry_whose_own_header_moves_its_data_into_the_next_is_refused(tmp_path, target):
    """The table of contents cannot show it: the length of the extra field is in the entry's own header."""
    path = make(tmp_path / "a.zip", [("a", b"aaaa"), ("b", b"aaaa")], zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, 28, 35)  # past the next entry's header
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match="'a' overlaps what follows it at byte 35"):
        unpack(path, target, silent)
    assert files_in(target) == {}


@pytest.mark.parametrize(("stated", "held"), [(100, "at least 3000"), (2999, "at least 3000"), (3001, "3000")])
def test_an_entry_that_holds_another_size_than_it_states_is_refused(tmp_path, target, stated, held):
    path = make(tmp_path / "a.zip", [("good", b"good"), ("lies", NOISE)])
    patch(path, "lies", SIZE, "<I", stated)
    with pytest.raises(ArchiveError, match=rf"'lies' states {stated} bytes, holds {held};"):
        unpack(path, target, silent)
    assert files_in(target) == {"good": b"good"}


def test_a_stored_entry_that_states_another_size_is_refused(tmp_path, target):
    path = make(tmp_path / "a.zip", [("lies", NOISE)], zipfile.ZIP_STORED)
    patch(path, "lies", SIZE, "<I", 1)
    assert_refused(path, target, "states 1 bytes but stores 3000")


def test_an_entry_that_goes_on_inflating_is_stopped(tmp_path, target):
    path = make(tmp_path / "a.zip", [("bomb", bytes(200_000_000))])
    patch(path, "bomb", SIZE, "<I", 1_000_000)
    with pytest.raises(ArchiveError, match="states 1000000 bytes, holds at least 1048576"):
        unpack(path, target, silent)
    assert files_in(target) == {}
