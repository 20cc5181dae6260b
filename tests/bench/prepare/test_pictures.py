"""Pictures that cannot be used: what is wrong with each is told, and so many are skipped and no more."""

import hashlib
import json
import threading
import time
from io import BytesIO

import pytest
from PIL import Image

from bench import data
from bench.data import images
from bench.prepare import pictures
from tests.bench.prepare import made
from tests.bench.prepare.made import ROOT, WNIDS
from tests.bench.prepare.outcome import TINY, refused, with_bad


def sixteen_bits() -> bytes:
    file = BytesIO()
    Image.new("I;16", (9, 9), 40_000).save(file, "PNG")
    return file.getvalue()


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
        (made.picture(1, (2, 66)), "a strip of 2 x 66 pixels"),
        (sixteen_bits(), "more than eight bits a channel"),
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
    assert f"  train: 1 skipped in all, listed in {place / 'bad-train.txt'}" in said
    assert (place / "bad-train.txt").read_text() == f"{name}\t{skipped['reason']}\n"
    assert not (place / "bad-test.txt").exists()
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
    assert f"2 of 1,000 images of train are bad, more than 0.1 %: {names[0]} (empty), {names[1]} (empty); all" in error
    assert not (place / "manifest.json").exists()


def test_all_bad_images_are_listed_where_the_message_has_no_room_for_them(place, tmp_path, capsys):
    content = made.tiny_imagenet(size=(8, 8))
    names = [f"{ROOT}/train/{wnid}/images/{wnid}_0.JPEG" for wnid in WNIDS[:25]]
    given = made.archives(tmp_path / "bad", with_bad(content, b"", names))
    error = refused(capsys, TINY, "--archives", given, "--subset")
    assert (
        "25 of 200 images of train are bad" in error and f"{names[19]} (empty) and 5 more; all are listed in " in error
    )
    assert names[20] not in error and f"{place / 'bad-train.txt'};" in error
    assert (place / "bad-train.txt").read_text() == "".join(f"{name}\tempty\n" for name in names)


def test_a_list_of_bad_images_is_gone_once_there_are_none(place, tmp_path, capsys):
    content = made.tiny_imagenet(size=(8, 8))
    given = made.archives(tmp_path / "bad", with_bad(content, b"<html>", [f"{ROOT}/val/images/val_1.JPEG"]))
    refused(capsys, TINY, "--archives", given, "--subset")
    assert (place / "bad-test.txt").read_text() == f"{ROOT}/val/images/val_1.JPEG\tnot a picture\n"
    worse = made.archives(
        tmp_path / "worse", with_bad(content, b"", [f"{ROOT}/train/{WNIDS[0]}/images/{WNIDS[0]}_0.JPEG"])
    )
    refused(capsys, TINY, "--archives", worse, "--subset")  # stops before it looks at the test split
    assert [path.name for path in place.glob("bad-*")] == ["bad-train.txt"]
    made.prepared(TINY, made.archives(tmp_path / "good", content))
    assert not list(place.glob("bad-*"))


def test_a_reason_of_several_lines_fills_one_line_of_the_list(tmp_path):
    listed = pictures._list_bad(tmp_path, "train", {"a b.jpg": "one\ntwo\u2028three", "c.jpg": "missing"})
    assert listed.read_text(encoding="utf-8").splitlines() == ["a b.jpg\tone two three", "c.jpg\tmissing"]


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
