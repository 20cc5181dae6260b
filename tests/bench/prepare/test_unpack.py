"""Archives that are unpacked whole, again and after a kill; hostile and damaged ones; the real one where it is set."""

import random
import stat
import struct
import zipfile

import pytest

from bench.data.archives import PrepareError
from bench.prepare.unpack import check, unpack
from tests.bench.prepare.outcome import set_free_disk

NOISE = random.Random(0).randbytes(3000)
CONTENT = {
    "set/train/a.jpg": NOISE,
    "set/train/b.jpg": NOISE[::-1],
    "set/words.txt": b"word " * 500,
    "set/empty.txt": b"",
    "set/größe.txt": b"not ASCII",
}
TOTAL = sum(map(len, CONTENT.values()))
FLAGS, SIZE, OFFSET = 8, 24, 42  # places in an entry of the table of contents


def make(path, content, packing=zipfile.ZIP_DEFLATED):
    """Write an archive of names (or ZipInfos) and bytes, in that order."""
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, data in content:
            archive.writestr(name, data)
    return path


def files_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(archive, target, largest_bytes=10**9, progress=lambda done, total: None):
    return unpack(archive, target, progress, largest_bytes)


def assert_refused(path, target, match, arrived=None, **bounds):
    """It is refused with what to do; only the files that ``arrived`` before the fault are there."""
    with pytest.raises(PrepareError, match=match) as failure:
        run(path, target, **bounds)
    assert str(failure.value).startswith(f"{path}: ") and "--archives at a good one" in str(failure.value)
    assert files_in(target) == (arrived or {}) and (arrived or not target.exists())


@pytest.fixture
def good(tmp_path):
    return make(tmp_path / "good.zip", [("set/", b""), *CONTENT.items()])


@pytest.fixture
def target(tmp_path):
    return tmp_path / "deep" / "target"


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_files_arrive_byte_by_byte_with_their_top_folder(tmp_path, target, packing):
    content = CONTENT | {"large": random.Random(1).randbytes(1_500_000) + bytes(1_500_000)}  # more than one piece
    seen = []
    paths = run(make(tmp_path / "a.zip", content.items(), packing), target, progress=lambda *now: seen.append(now))
    assert files_in(target) == content and paths == [target / name for name in content]
    assert seen == [(done, 6) for done in range(1, 7)]


@pytest.mark.parametrize("harm", ["nothing", "missing", "altered", "cut"])
def test_only_a_file_that_is_not_right_any_more_is_written_again(good, target, harm):
    first, *others = run(good, target)
    before = [path.stat().st_mtime_ns for path in others]
    harmed = {"nothing": NOISE, "missing": b"", "altered": NOISE[:-1] + b"?", "cut": NOISE[:100]}
    first.unlink() if harm == "missing" else first.write_bytes(harmed[harm])
    changes = []
    unpack(good, target, lambda done, total: None, TOTAL, lambda: changes.append(first.read_bytes()))
    assert files_in(target) == CONTENT and [path.stat().st_mtime_ns for path in others] == before
    assert changes == [harmed[harm]] * (harm not in ("nothing", "missing"))  # asked before, and only for a change


def test_what_a_kill_left_is_overwritten_but_not_the_file_that_it_links_to(good, target, tmp_path):
    (target / "set/train").mkdir(parents=True)
    (tmp_path / "a.jpg").write_bytes(NOISE[:100])
    (target / "set/train/.a.jpg.unpacking").hardlink_to(tmp_path / "a.jpg")
    run(good, target)
    assert files_in(target) == CONTENT and (tmp_path / "a.jpg").read_bytes() == NOISE[:100]


def test_a_full_disk_is_seen_before_anything_is_written(good, target, monkeypatch):
    def with_free(free):
        set_free_disk(monkeypatch, free)
        check([(good, TOTAL)], target)

    needed = 4 * 4096  # a block each for the four files that are not empty
    with pytest.raises(PrepareError, match=r"good\.zip: .* needs 0\.02 MB more, and its disk lacks 0\.00 MB of it"):
        with_free(needed - 1)
    with_free(needed)
    run(good, target)
    with_free(0)  # all there: nothing more is needed


def test_a_folder_in_a_files_place_and_an_archive_that_is_gone_are_named(good, target, tmp_path):
    (target / "set/words.txt").mkdir(parents=True)
    with pytest.raises(PrepareError, match=r"cannot be unpacked: .*words\.txt.*; fix that and run again"):
        run(good, target)
    with pytest.raises(PrepareError, match=r"none\.zip: cannot be unpacked: .*No such file"):
        run(tmp_path / "none.zip", target)


def entry(name, kind=0, packing=zipfile.ZIP_STORED):
    """An entry that says of itself that it is a link, a folder or something else special."""
    info = zipfile.ZipInfo(name)
    info.external_attr, info.compress_type = (kind | 0o777) << 16, packing
    return info


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("hostile", "match"),
    [
        *[(name, "path that is absolute") for name in ("../evil", "set/../../evil", "set/..", "./evil", "set//evil")],
        ("__MACOSX/../evil", "path that is absolute"),
        *[(name, "path that is absolute") for name in ("/evil", "//host/evil", "/")],
        *[(name, "name that no file should have") for name in ("C:/evil", "c:evil", "..\\evil", "\\evil", "e\nvil")],
        *[(entry("link", kind), "'link' is a link or another") for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFDIR)],
        (entry("a", packing=zipfile.ZIP_LZMA), "'a' is packed in an unknown way"),
        ("good", "two entries have the same name"),
    ],
)
def test_a_hostile_entry_is_refused_before_anything_is_written(tmp_path, target, hostile, match):
    assert_refused(make(tmp_path / "a.zip", [("good", b"good"), (hostile, b"evil")]), target, match)


def test_a_name_with_a_nul_is_refused(tmp_path, target):
    path = make(tmp_path / "a.zip", [("good", b"good"), ("evil!.jpg", b"evil")])
    path.write_bytes(path.read_bytes().replace(b"evil!", b"evil\0"))
    assert_refused(path, target, "has a name that no file should")


def test_more_bytes_than_allowed_are_refused(good, target):
    refusal = f"holds {TOTAL} bytes unpacked, allowed are {TOTAL - 1}"
    assert_refused(good, target, refusal, largest_bytes=TOTAL - 1)
    with pytest.raises(PrepareError, match=refusal):
        check([(good, TOTAL - 1)], target)


@pytest.mark.parametrize(
    ("place", "value", "match"),
    [(FLAGS, 1, "'lies' is encrypted"), (SIZE, 2999, "Bad CRC-32"), (SIZE, 3001, "states 3001 bytes, holds 3000"),
     (OFFSET, 0, "damaged")],
)  # fmt: skip
def test_an_entry_that_is_not_what_the_table_of_contents_says_is_refused(tmp_path, target, place, value, match):
    path = make(tmp_path / "a.zip", [("good", b"good"), ("lies", NOISE)])
    data = bytearray(path.read_bytes())
    struct.pack_into("<I" if place != FLAGS else "<H", data, data.rindex(b"PK\1\2") + place, value)
    path.write_bytes(data)
    assert_refused(path, target, match, {} if place == FLAGS else {"good": b"good"})
