"""``python -m bench prepare`` as a user runs it, with archives made in the test: fetched, cut off, killed, altered."""

import hashlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import threading
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from bench import catalog, data
from bench.__main__ import main
from bench.data import tiny_imagenet
from bench.prepare import PrepareError, download, images, origin, pictures
from tests.bench.prepare import made
from tests.bench.prepare.made import ROOT, WNIDS
from tests.bench.prepare.serving import Server

TINY = "tiny-imagenet"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """The folder of the prepared dataset; the command may choose another one."""
    monkeypatch.setenv("DISTILL_BENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("CI", "true")
    return tmp_path / "data" / TINY


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A folder with a good archive of Tiny ImageNet's layout."""
    return made.archives(tmp_path_factory.mktemp("archives"), made.tiny_imagenet())


@pytest.fixture
def official(given, monkeypatch):
    """Let the archive in ``given`` be the official one; returns its bytes."""
    content = (given / f"{ROOT}.zip").read_bytes()
    entry = tiny_imagenet.ARCHIVES[0]
    checksum = f"md5:{hashlib.md5(content).hexdigest()}"
    monkeypatch.setattr(tiny_imagenet, "ARCHIVES", (replace(entry, bytes=len(content), checksum=checksum),))
    monkeypatch.setattr(tiny_imagenet, "EXPECTED", {"train": 200, "test": 10})
    monkeypatch.setattr(tiny_imagenet, "DISK_GB", 0.01)
    return content


@pytest.fixture
def server(official, monkeypatch):
    """Serves the official archive."""
    monkeypatch.setattr(download, "WAITS_SECONDS", ())
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server({f"{ROOT}.zip": official}) as running:
        running.cut = len(official) // 3
        entry = replace(tiny_imagenet.ARCHIVES[0], url=f"{running.address}/{ROOT}.zip")
        monkeypatch.setattr(tiny_imagenet, "ARCHIVES", (entry,))
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


def quiet(title):
    """No progress."""
    return nullcontext(lambda done, total: None)


def content_of(place):
    """Everything that is read later, as bytes by name."""
    names = ("manifest.json", "train.json", "test.json", "pixels-train/pixels.bin", "pixels-test/pixels.bin")
    return {name: (place / name).read_bytes() for name in names}


def refused(capsys, *arguments):
    """What a command that must fail says: one line, and nothing of Python's."""
    assert main(["prepare", *map(str, arguments)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


def test_a_download_that_is_cut_is_continued_by_the_next_call(server, place, capsys, official):
    server.cuts = 1
    assert "run again to continue where" in refused(capsys, TINY)
    assert main(["prepare", TINY]) == 0
    assert [asked["Range"] for asked in server.requests] == [None, f"bytes={server.cut}-"]
    assert (place / f"archives/{ROOT}.zip").read_bytes() == official
    manifest = json.loads((place / "manifest.json").read_text())
    assert manifest["archives"] == [{"name": f"{ROOT}.zip", "bytes": len(official)}]
    assert {name: part["images"] for name, part in manifest["splits"].items()} == {"train": 200, "test": 10}
    assert (manifest["subset"], manifest["skipped"], manifest["left_out"]) == (False, [], {})
    capsys.readouterr()
    assert main(["prepare", TINY]) == 0
    assert "is prepared already in" in capsys.readouterr().out and len(server.requests) == 2


def test_licence_and_disk_are_told_before_anything_is_asked_for(server, place):
    server.state = 404
    said = []
    with pytest.raises(download.DownloadError):
        made.prepare(TINY, None, False, lambda line: said.append((line, len(server.requests))), quiet)
    assert not any(requests for _, requests in said)
    text = "\n".join(line for line, _ in said)
    assert "non-commercial research" in text and server.address in text and "disk needed in" in text and "free:" in text


def test_a_prepared_set_needs_its_archives_no_more(server, place, capsys):
    assert main(["prepare", TINY]) == 0
    shutil.rmtree(place / "archives")
    assert main(["prepare", TINY]) == 0
    assert len(server.requests) == 1


def test_the_official_archive_from_a_folder_is_verified(official, given, place, tmp_path, capsys):
    for words, subset in (["--subset"], True), ([], False), (["--subset"], False):  # the whole set will do for a subset
        assert main(["prepare", TINY, "--archives", str(given), *words]) == 0
        assert json.loads((place / "manifest.json").read_text())["subset"] is subset
    shutil.rmtree(place)
    other = tmp_path / "other"
    other.mkdir()
    (other / f"{ROOT}.zip").write_bytes(official[:-1] + b"?")
    assert "expected md5" in refused(capsys, TINY, "--archives", other)
    (other / f"{ROOT}.zip").write_bytes(official[:-1])
    error = refused(capsys, TINY, "--archives", other)
    assert "200 train images and 10 test images" in error and "--subset" in error


def test_fewer_images_than_expected_are_refused_without_subset(official, given, monkeypatch, capsys):
    monkeypatch.setattr(tiny_imagenet, "EXPECTED", {"train": 100_000, "test": 10})
    error = refused(capsys, TINY, "--archives", given)
    assert "has 200 train images and 10 test images, expected 100,000 train images and 10 test images" in error


def test_a_disk_that_is_too_small_is_seen_before_the_download(server, place, capsys, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 10**6))
    assert "about 0.01 GB more in" in refused(capsys, TINY)
    assert server.requests == []


def test_a_disk_that_fills_up_is_told_and_the_same_command_goes_on(given, place, capsys):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))  # no file may be longer
        error = refused(capsys, TINY, "--archives", given, "--subset")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "File too large" in error and "goes on" in error and "tiny-imagenet" in error
    assert not (place / "manifest.json").exists()
    assert main(["prepare", TINY, "--archives", str(given), "--subset"]) == 0


def test_data_and_the_variable_choose_the_place(given, place, tmp_path):
    words = ["prepare", TINY, "--archives", str(given), "--subset"]
    assert main(words) == 0
    assert (place / "manifest.json").exists()
    assert main([*words, "--data", str(tmp_path / "elsewhere")]) == 0
    assert content_of(tmp_path / "elsewhere" / TINY) == content_of(place)


def test_archives_may_lie_in_a_folder_of_the_datasets_name(given, place, tmp_path):
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / TINY).symlink_to(given)
    assert main(["prepare", TINY, "--archives", str(tmp_path / "all"), "--subset"]) == 0


def test_pictures_never_lie_where_git_would_take_them():
    assert "/data/" in (catalog.ROOT / ".gitignore").read_text().splitlines()
    tracked = subprocess.run(["git", "ls-files"], cwd=catalog.ROOT, capture_output=True, text=True).stdout.lower()
    assert not any(name.endswith((".jpeg", ".jpg", ".zip")) for name in tracked.splitlines())


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (made.picture(1)[:-200], "image file is truncated"),
        (made.picture(1)[:-1], "image file is truncated"),
        (made.picture(1)[:20], "not a picture"),
        (made.picture(1, form="PNG")[:-30], "truncated"),
        (b"", "empty"),
        (b"<html>", "not a picture"),
        (made.picture(1, form="GIF"), "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),  # no program is started for it
    ],
)
def test_what_is_wrong_with_a_picture_is_told(tmp_path, bad, reason):
    (tmp_path / "a.jpg").write_bytes(bad)
    assert reason in images.examine(tmp_path / "a.jpg").fault
    assert images.examine(tmp_path / "none.jpg").fault == "missing"


@pytest.mark.parametrize(
    ("mode", "form"), [("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "PNG"), ("L", "PNG")]
)
def test_good_pictures_have_no_fault(tmp_path, mode, form):
    content = made.picture(1, (70, 60), mode, form)
    (tmp_path / "a.jpg").write_bytes(content)
    assert images.examine(tmp_path / "a.jpg") == images.Examined(hashlib.sha256(content).hexdigest(), (70, 60))


BAD = {"cut": (made.picture(1)[:-200], "truncated"), "missing": (None, "missing")}


def with_bad(content, bad, names):
    """``content`` with some pictures replaced by a bad one, or taken out."""
    changed = content | dict.fromkeys(names, bad)
    return {name: part for name, part in changed.items() if part is not None}


@pytest.fixture(scope="module")
def thousand():
    """A set with 1,000 training images, of which one may be bad."""
    return made.tiny_imagenet(train=5, size=(8, 8))


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_image_in_a_thousand_is_named_and_skipped(thousand, place, tmp_path, kind):
    bad, reason = BAD[kind]
    name = f"{ROOT}/train/{WNIDS[3]}/images/{WNIDS[3]}_2.JPEG"
    said = made.prepared(TINY, made.archives(tmp_path / "archives", with_bad(thousand, bad, [name])))
    (skipped,) = json.loads((place / "manifest.json").read_text())["skipped"]
    assert skipped["file"] == name and reason in skipped["reason"]
    assert "  train: 999 images" in said and any(name in line and reason in line for line in said)
    split = data.load(TINY, "train", None)
    assert len(split) == 999 and split.labels.bincount().tolist() == [5, 5, 5, 4] + [5] * 196
    assert name not in map(str, split.files)


def test_a_renamed_image_of_coco_is_named_and_skipped(tmp_path, monkeypatch):
    content = made.coco(train=1000, size=(8, 8))
    content["train2017/oops.jpg"] = content.pop("train2017/000000000509.jpg")
    monkeypatch.setattr("bench.data.coco.SIDE", 8)
    said = made.prepared("coco", made.archives(tmp_path / "archives", content))
    assert "    skipped train2017/000000000509.jpg: missing" in said and "  1 images left out: no captions" in said
    split = data.load("coco", "train", None)
    assert len(split) == 999 and split.captions[25].startswith("train2017 609 ") and int(split.owner[25]) == 5


def test_more_bad_images_than_tolerated_are_refused_by_name(thousand, place, tmp_path, capsys):
    names = [f"{ROOT}/train/{wnid}/images/{wnid}_0.JPEG" for wnid in WNIDS[:2]]
    given = made.archives(tmp_path / "archives", with_bad(thousand, b"", names))
    error = refused(capsys, TINY, "--archives", given, "--subset")
    assert f"2 of 1,000 images of train are bad, more than 0.1 %: {names[0]} (empty), {names[1]} (empty);" in error
    assert not (place / "manifest.json").exists()


@pytest.mark.parametrize("make", ["nothing", "cut", "cocos", "text"])
def test_archives_that_cannot_be_used_end_in_one_line(given, tmp_path, capsys, make):
    folder = tmp_path / "archives"
    good = (given / f"{ROOT}.zip").read_bytes()
    contents = {"cut": good[: len(good) // 2], "text": b"<html>sign in</html>"}
    if make == "cocos":
        made.archives(folder, made.coco())
        (folder / "val2017.zip").rename(folder / f"{ROOT}.zip")
    elif make != "nothing":
        folder.mkdir()
        (folder / f"{ROOT}.zip").write_bytes(contents[make])
    error = refused(capsys, TINY, "--archives", folder, "--subset")
    expected = {
        "nothing": "there is no such folder", "cut": "cut short or damaged", "text": "not a ZIP file",
        "cocos": "wnids.txt is missing: the archive is not Tiny ImageNet's",
    }  # fmt: skip
    assert expected[make] in error and str(folder if make != "cocos" else "wnids.txt") in error


def test_an_archive_that_is_not_there_is_named_with_its_address(tmp_path, capsys):
    error = refused(capsys, TINY, "--archives", tmp_path)
    assert f"{ROOT}.zip is neither in {tmp_path} nor in" in error and "http://cs231n.stanford.edu/" in error


def test_a_place_that_cannot_be_written_is_named(given, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    error = refused(capsys, TINY, "--archives", given, "--subset", "--data", tmp_path / "file")
    assert f"tiny-imagenet cannot be prepared in {tmp_path}/file/tiny-imagenet: " in error


def test_what_was_prepared_counts_no_more_once_another_archive_is_unpacked(given, place, tmp_path):
    made.prepared(TINY, given)
    bad = with_bad(made.tiny_imagenet(), b"", [f"{ROOT}/val/images/val_1.JPEG"])
    with pytest.raises(PrepareError, match="1 of 10 images of test are bad"):
        made.prepared(TINY, made.archives(tmp_path / "bad", bad))
    assert not (place / "manifest.json").exists()


def test_another_archive_replaces_the_first_one_wholly(place, tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "TOLERATED", 0.1)
    content = made.tiny_imagenet(train=2)
    made.prepared(TINY, made.archives(tmp_path / "many", content))
    dropped = [name for name in content if name.endswith(("_1.JPEG", "_boxes.txt"))]
    made.prepared(TINY, made.archives(tmp_path / "few", with_bad(content, None, dropped)))
    manifest = json.loads((place / "manifest.json").read_text())
    assert manifest["splits"]["train"]["images"] == 200  # though the first archive's are still there
    assert manifest["skipped"] == [{"file": f"{ROOT}/val/images/val_1.JPEG", "reason": "missing"}]


KILLED = """
import os, signal, sys, threading
import PIL.JpegImagePlugin
from bench import prepared
from bench.__main__ import main
import bench.prepare, bench.data.tiny_imagenet
prepared.SHARD = 16
name, left = sys.argv[1], int(sys.argv[2])
def count(frame, event, argument):
    global left
    code = frame.f_code
    if event == "call" and f"{os.path.basename(code.co_filename)}:{code.co_name}" == name:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
threading.setprofile(count)
sys.setprofile(count)
sys.exit(main(sys.argv[3:]))
"""


def test_killed_at_any_step_the_same_command_goes_on_to_the_same_end(given, tmp_path):
    """A function of each step, and the call of it at which the process is killed, drawn at random."""
    draw = random.Random(0).randrange

    def run(folder, function="", call=0):
        words = ["prepare", TINY, "--archives", str(given), "--subset", "--data", str(tmp_path / folder)]
        script = [sys.executable, "-u", "-c", KILLED, function, str(call), *words]
        return subprocess.run(script, cwd=catalog.ROOT, capture_output=True, text=True)

    points = [("archive.py:_unpack_one", draw(1, 200)), ("images.py:examine", draw(1, 200)), ("images.py:decode", draw(120, 200)),
              ("journal.py:append", draw(1, 3)), ("files.py:<lambda>", 1)]  # fmt: skip
    said = ""
    with ThreadPoolExecutor(1) as pool:
        undisturbed = pool.submit(run, "undisturbed")
        for function, call in points:
            killed = run("disturbed", function, call)
            assert killed.returncode == -9, (function, call)
            assert not (tmp_path / "disturbed" / TINY / "manifest.json").exists()
            said += killed.stdout
        assert run("disturbed").returncode == undisturbed.result().returncode == 0
    assert "shards are complete" in said
    assert content_of(tmp_path / "disturbed" / TINY) == content_of(tmp_path / "undisturbed" / TINY)
    left = [path.name for path in (tmp_path / "disturbed").rglob(".*") if path.name != ".unpack.lock"]
    assert left == []  # no temporary files


def test_two_at_once_end_well(given, place):
    with ThreadPoolExecutor(2) as pool:
        said = [run.result() for run in [pool.submit(made.prepared, TINY, given) for _ in range(2)]]
    assert sorted(any("is prepared already" in line for line in lines) for lines in said) == [False, True]
    assert len(data.load(TINY, "train", None)) == 200


def test_a_drawn_dataset_cannot_be_prepared():
    with pytest.raises(PrepareError, match="shapes is drawn by the suite itself"):
        made.prepared("shapes", None)


def test_preparing_imports_no_torch():
    script = "import sys, bench.prepare, bench.data.coco; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=catalog.ROOT, check=False).returncode == 0


def test_what_is_there_counts_for_the_disk_that_is_needed(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 600_000))
    with pytest.raises(PrepareError, match="some needs about"):
        origin.require_disk("some", 0.001, tmp_path)
    Path(tmp_path / "part").write_bytes(os.urandom(500_000))
    origin.require_disk("some", 0.001, tmp_path)
