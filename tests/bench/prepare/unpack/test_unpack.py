"""Archives that are unpacked: whole, again, after a kill, onto a full disk. The real one is read where it is set."""

import os
import random
import shutil
import subprocess
import sys
import zipfile
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest

import bench.prepare.unpack
from bench.kit.errors import UserError
from bench.kit.paths import ROOT
from bench.prepare.contents import MOST_ENTRIES, ArchiveError, checked_entries
from bench.prepare.unpack import check, unpack
from tests.bench.prepare.unpack.zips import CONTENT, NOISE, files_in, make, silent


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
    monkeypatch.setattr(bench.prepare.unpack, "PIECE_BYTES", piece_bytes)
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
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 9
    assert sorted(files_in(target)) == ["set/train/.b.jpg.unpacking", "set/train/a.jpg"]
    before = (target / "set/train/a.jpg").stat().st_mtime_ns
    unpack(good, target, silent)
    assert files_in(target) == CONTENT
    assert (target / "set/train/a.jpg").stat().st_mtime_ns == before


def test_a_folder_in_a_files_place_is_named(good, target):
    (target / "set/words.txt").mkdir(parents=True)
    with pytest.raises(ArchiveError, match=r"cannot unpack it into .*words\.txt"):
        unpack(good, target, silent)
    assert (target / "set/words.txt").is_dir()


def test_a_full_disk_is_seen_before_anything_is_written(good, target, monkeypatch):
    usage = namedtuple("usage", "total used free")
    needed = 4 * 4096  # a block each for the four files that are not empty
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, needed - 1))
    with pytest.raises(ArchiveError, match=r"the disk of .* lacks 0\.0 MB of the 0\.0 MB"):
        unpack(good, target, silent)
    assert files_in(target) == {}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, needed))
    unpack(good, target, silent)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 0))
    unpack(good, target, silent)  # all there: nothing more is needed


def test_a_target_on_a_drive_that_is_not_there_is_named(good, target, monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda path: False)  # as under a drive that Windows does not have
    with pytest.raises(UserError, match=rf"neither {target} nor any folder above it is there"):
        check([(good, 10**9)], target)


@pytest.mark.skipif(
    "DISTILL_BENCH_ARCHIVES" not in os.environ,
    reason="DISTILL_BENCH_ARCHIVES is unset: name the folder with coco/val2017.zip to try a real archive",
)
def test_the_real_images_of_coco_arrive(target):
    archive = Path(os.environ["DISTILL_BENCH_ARCHIVES"]) / "coco" / "val2017.zip"
    paths = unpack(archive, target, silent)
    assert len(paths) == len(list((target / "val2017").glob("*.jpg"))) == 79
    assert all(path.read_bytes()[:2] == b"\xff\xd8" for path in paths)  # as a JPEG begins
