"""Archives that are hostile, damaged or broken off; each is made in the test. The real one is read where it is set."""

import os
import random
import shutil
import stat
import struct
import subprocess
import sys
import zipfile
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest

import bench.prepare.archive
from bench.prepare.archive import unpack
from bench.prepare.contents import MOST_ENTRIES, ArchiveError, checked_entries

NOISE = random.Random(0).randbytes(3000)
CONTENT = {
    "set/train/a.jpg": NOISE,
    "set/train/b.jpg": NOISE[::-1],
    "set/words.txt": b"word " * 500,
    "set/empty.txt": b"",
    "set/größe.txt": b"not ASCII",
}
ATTRIBUTES, FLAGS, METHOD, PACKED, SIZE, OFFSET = 38, 8, 10, 20, 24, 42  # places in an entry of the table of contents


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


@pytest.fixture
def good(tmp_path):
    """An archive with nothing wrong in it, with folder entries."""
    return make(tmp_path / "good.zip", [("set/", b""), ("set/void/", b""), *CONTENT.items()])


@pytest.fixture
def target(tmp_path):
    return tmp_path / "deep" / "target"


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_files_arrive_byte_by_byte_with_their_top_folder(tmp_path, target, packing):
    seen = []
    archive = make(tmp_path / "a.zip", CONTENT.items(), packing)
    paths = unpack(archive, target, lambda done, total: seen.append((done, total)))
    assert files_in(target) == CONTENT
    assert paths == [target / name for name in CONTENT]
    assert seen == [(done, 5) for done in range(1, 6)]


def test_large_files_and_empty_folders_arrive_too(tmp_path, target):
    large = random.Random(1).randbytes(3_000_000) + b"0" * 3_000_000  # more than one piece, packed and unpacked
    unpack(make(tmp_path / "a.zip", [("large", large), ("folder/", b"")]), target, silent)
    assert files_in(target) == {"large": large}
    assert (target / "folder").is_dir()


@pytest.mark.parametrize("piece_bytes", [1, 100, 132, 392])
def test_nothing_is_lost_where_a_piece_ends(tmp_path, target, monkeypatch, piece_bytes):
    """At 132, all packed bytes are read while unpacked ones are still to come."""
    monkeypatch.setattr(bench.prepare.archive, "PIECE_BYTES", piece_bytes)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("a", b"ab" * 196)
    for _ in range(2):
        unpack(tmp_path / "a.zip", target, silent)
        assert files_in(target) == {"a": b"ab" * 196}


def test_an_archive_written_to_a_pipe_is_read(tmp_path, target):
    """Its sizes and checksums follow the data instead of preceding them."""
    written = []
    pipe = SimpleNamespace(write=lambda data: written.append(bytes(data)) or len(data), flush=lambda: None)
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", NOISE)
        archive.writestr("b", NOISE * 2)
    (tmp_path / "a.zip").write_bytes(b"".join(written))
    unpack(tmp_path / "a.zip", target, silent)
    assert files_in(target) == {"a": NOISE, "b": NOISE * 2}


def test_an_archive_with_more_entries_than_plain_zip_counts_is_read(tmp_path, target):
    names = [f"{number:05}/" for number in range(2**16 + 3)]
    path = make(tmp_path / "a.zip", [(name, b"") for name in names])
    assert b"PK\6\6" in path.read_bytes()  # it is a ZIP64
    assert len(checked_entries(path, None, MOST_ENTRIES)) == len(names)


def test_a_second_call_writes_nothing(good, target):
    times = [[path.stat().st_mtime_ns for path in unpack(good, target, silent)] for _ in range(2)]
    assert times[0] == times[1]


@pytest.mark.parametrize("harm", ["missing", "altered", "cut", "longer"])
def test_a_file_that_is_not_right_any_more_is_restored_alone(good, target, harm):
    first, *others = unpack(good, target, silent)
    before = [path.stat().st_mtime_ns for path in others]
    harmed = {"altered": NOISE[:-1] + b"?", "cut": NOISE[:100], "longer": NOISE + b"more"}
    first.unlink() if harm == "missing" else first.write_bytes(harmed[harm])
    unpack(good, target, silent)
    assert files_in(target) == CONTENT
    assert [path.stat().st_mtime_ns for path in others] == before


def test_after_a_kill_the_next_call_continues(good, target):
    script = f"""
import os
from pathlib import Path
from types import SimpleNamespace
from bench.prepare import archive
pieces = archive._pieces
def dying(path, file, entry):
    yield from pieces(path, file, entry)
    if entry.name == "set/train/b.jpg":
        os._exit(9)
archive._pieces = dying
archive.unpack(Path({str(good)!r}), Path({str(target)!r}), lambda done, total: None)
"""
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", script], cwd=root, check=False).returncode == 9
    assert sorted(files_in(target)) == ["set/train/.b.jpg.unpacking", "set/train/a.jpg"]
    before = (target / "set/train/a.jpg").stat().st_mtime_ns
    unpack(good, target, silent)
    assert files_in(target) == CONTENT
    assert (target / "set/train/a.jpg").stat().st_mtime_ns == before


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


def test_an_entry_that_the_table_of_contents_lost_is_missed(good, target):
    patch(good, "set/train/b.jpg", 32, "<H", 46 + len("set/words.txt"))  # the next entry is its comment now
    assert_refused(good, target, "lists 6 entries, expected 7")


def test_bytes_before_the_first_entry_are_refused(good, target):
    good.write_bytes(b"#!/bin/sh\n" + good.read_bytes())
    assert_refused(good, target, "first entry begins at byte 10")


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


def test_a_folder_in_a_files_place_is_named(good, target):
    (target / "set/words.txt").mkdir(parents=True)
    with pytest.raises(ArchiveError, match=r"cannot unpack it into .*words\.txt"):
        unpack(good, target, silent)
    assert (target / "set/words.txt").is_dir()


def test_a_full_disk_is_seen_before_anything_is_written(good, target, monkeypatch):
    usage = namedtuple("usage", "total used free")
    needed = 4 * 4096  # a block each for the four files that are not empty
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, needed - 1))
    with pytest.raises(ArchiveError, match=r"16384 more bytes do not fit into .*: 0\.0 MB are missing"):
        unpack(good, target, silent)
    assert files_in(target) == {}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, needed))
    unpack(good, target, silent)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 0))
    unpack(good, target, silent)  # all there: nothing more is needed


@pytest.mark.skipif(
    "DISTILL_BENCH_ARCHIVES" not in os.environ,
    reason="DISTILL_BENCH_ARCHIVES is unset: name the folder with coco/val2017.zip to try a real archive",
)
def test_the_real_images_of_coco_arrive(target):
    archive = Path(os.environ["DISTILL_BENCH_ARCHIVES"]) / "coco" / "val2017.zip"
    paths = unpack(archive, target, silent)
    assert len(paths) == len(list((target / "val2017").glob("*.jpg"))) == 79
    assert all(path.read_bytes()[:2] == b"\xff\xd8" for path in paths)  # as a JPEG begins
