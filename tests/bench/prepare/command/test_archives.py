"""Archives from a folder: the official one, fewer images, what cannot be used, and another one after the first."""

import json
import shutil
import zipfile
from collections import namedtuple

import pytest

from bench import data
from bench.__main__ import main
from bench.data import coco, prepared, tiny_imagenet
from bench.data.archives import PrepareError
from bench.prepare import pictures
from tests.bench.prepare import made
from tests.bench.prepare.command.outcome import TINY, content_of, refused, with_bad
from tests.bench.prepare.made import ROOT


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


def test_archives_may_lie_in_a_folder_of_the_datasets_name(given, place, tmp_path):
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / TINY).symlink_to(given)
    assert main(["prepare", TINY, "--archives", str(tmp_path / "all"), "--subset"]) == 0


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


def test_what_was_prepared_counts_no_more_once_another_archive_changed_it(given, place, tmp_path):
    made.prepared(TINY, given)
    bad = made.archives(tmp_path / "bad", with_bad(made.tiny_imagenet(), b"", [f"{ROOT}/val/images/val_1.JPEG"]))
    with pytest.raises(PrepareError, match="1 of 10 images of test are bad"):
        made.prepared(TINY, bad)
    command = f"python -m bench prepare {TINY} --archives {bad} --subset --data {place.parent}"
    for split in prepared.SPLITS:  # also train, of which nothing was changed
        with pytest.raises(prepared.AlteredError, match=f"does not match its manifest; repair it with: {command}$"):
            data.load(TINY, split, None)
    made.prepared(TINY, given)
    assert len(data.load(TINY, "test", None)) == 10


def cut(archives):
    path = archives / "val2017.zip"
    path.write_bytes(path.read_bytes()[:-100])


def of_another_set(archives):
    """Its annotations are not COCO's, which shows only once they are unpacked."""
    with zipfile.ZipFile(archives / "annotations_trainval2017.zip", "w") as file:
        file.writestr("annotations/readme.txt", "nothing")


def damaged(archives):
    """A picture that was not there before has another CRC-32 than its archive says."""
    picture = made.picture(77)
    with zipfile.ZipFile(archives / "val2017.zip", "w") as file:
        file.writestr("val2017/new.jpg", picture)
    path = archives / "val2017.zip"
    path.write_bytes(path.read_bytes().replace(picture, bytes(len(picture))))


@pytest.mark.parametrize("harm", [cut, of_another_set, damaged])
def test_archives_that_cannot_be_used_leave_what_was_prepared(place, tmp_path, capsys, harm):
    folder = made.archives(tmp_path / "archives", made.coco())
    made.prepared("coco", folder)
    coco = place.with_name("coco")
    before = content_of(coco)
    harm(folder)
    refused(capsys, "coco", "--archives", folder, "--subset")
    assert content_of(coco) == before
    assert [len(data.load("coco", split, None)) for split in prepared.SPLITS] == [3, 2]


def test_a_disk_that_cannot_hold_all_archives_leaves_what_was_prepared(place, tmp_path, capsys, monkeypatch):
    """Each of them alone would fit."""
    made.prepared("coco", made.archives(tmp_path / "small", made.coco()))
    before = content_of(place.with_name("coco"))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 8 * 4096))
    larger = made.archives(tmp_path / "larger", made.coco(train=8, validation=6))
    error = refused(capsys, "coco", "--archives", larger, "--subset")
    names = [larger / entry.name for entry in coco.ARCHIVES]
    assert f"{' and '.join(map(str, names))}: " in error and "that are still needed; make room" in error
    assert content_of(place.with_name("coco")) == before


def test_another_archive_replaces_the_first_one_wholly(place, tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "TOLERATED", 0.1)
    content = made.tiny_imagenet(train=2)
    made.prepared(TINY, made.archives(tmp_path / "many", content))
    dropped = [name for name in content if name.endswith(("_1.JPEG", "_boxes.txt"))]
    made.prepared(TINY, made.archives(tmp_path / "few", with_bad(content, None, dropped)))
    manifest = json.loads((place / "manifest.json").read_text())
    assert manifest["splits"]["train"]["images"] == 200  # though the first archive's are still there
    assert manifest["skipped"] == [{"file": f"{ROOT}/val/images/val_1.JPEG", "reason": "missing"}]
