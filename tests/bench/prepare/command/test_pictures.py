"""Pictures that cannot be used: what is wrong with each is told, and so many are skipped and no more."""

import hashlib
import json
import threading
import time

import pytest

from bench import data
from bench.prepare import images, pictures
from tests.bench.prepare import made
from tests.bench.prepare.command.outcome import TINY, refused, with_bad
from tests.bench.prepare.made import ROOT, WNIDS


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


@pytest.mark.parametrize("step", ["examine", "decode", "is_intact"])
def test_as_many_pictures_are_worked_on_at_once_as_there_are_cores(given, monkeypatch, step):
    monkeypatch.setattr(pictures, "usable_cores", lambda: 3)
    work, turn, running, most = getattr(images, step), threading.Lock(), 0, 0

    def counted(*arguments):
        nonlocal running, most
        with turn:
            running += 1
            most = max(most, running)
        time.sleep(0.002)
        try:
            return work(*arguments)
        finally:
            with turn:
                running -= 1

    monkeypatch.setattr(images, step, counted)
    for _ in range(2):  # once to prepare, once to verify
        made.prepared(TINY, given)
    assert most == 3
