"""COCO from archives made in the test; the real ones where DISTILL_BENCH_ARCHIVES names the folder with them."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench import data
from bench.prepare import PrepareError
from tests.bench.prepare import made


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("DISTILL_BENCH_DATA", str(tmp_path / "data"))


def prepare(tmp_path, content):
    return made.prepared("coco", made.archives(tmp_path / "archives", content))


def told(content, part="train2017"):
    """The file of captions, to be changed, and its name."""
    name = f"annotations/captions_{part}.json"
    return json.loads(content[name]), name


def test_captions_belong_to_their_images_and_owners_ascend(tmp_path):
    content = made.coco(train=3)
    captions, name = told(content)
    captions["annotations"] += [{"image_id": 109, "caption": "a sixth"}, {"image_id": 109, "caption": " \n"}]
    prepare(tmp_path, content | {name: json.dumps(captions).encode()})
    split = data.load("coco", "train", None)
    assert [path.name for path in split.files] == [f"{number:012}.jpg" for number in (9, 109, 209)]
    assert split.owner.tolist() == [0] * 5 + [1] * 6 + [2] * 5
    assert split.captions[:2] == ("train2017 9 telling 0", "train2017 9 telling 1")  # white space is made single
    assert split.captions[10] == "a sixth"
    assert [text.split()[1] for text in split.captions if text != "a sixth"] == ["9"] * 5 + ["109"] * 5 + ["209"] * 5
    assert data.load("coco", "test", None).captions[0] == "val2017 9 telling 0"


def test_images_without_captions_are_left_out_and_counted(tmp_path):
    content = made.coco(train=4)
    captions, name = told(content)
    captions["annotations"] = [one for one in captions["annotations"] if one["image_id"] != 109]
    content |= {name: json.dumps(captions).encode(), "val2017/000000000777.jpg": made.picture(1)}
    assert "  2 images left out: no captions" in prepare(tmp_path, content)
    assert [path.name[-7:] for path in data.load("coco", "train", None).files] == ["009.jpg", "209.jpg", "309.jpg"]
    assert len(data.load("coco", "test", None)) == 2


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_gray_and_cmyk_pictures_become_rgb(tmp_path, mode):
    picture = made.picture(5, (300, 224), mode)
    prepare(tmp_path, made.coco(train=1) | {"train2017/000000000009.jpg": picture})
    pixels = data.load("coco", "train", None).pixels[0].numpy()
    assert np.array_equal(pixels, made.decoded(picture)[:, :, 38:262])  # nothing to shrink: the middle is cut out
    assert (mode == "L") == bool((pixels == pixels[:1]).all())


def test_teachers_see_the_files_not_the_smaller_pixels(tmp_path):
    picture = made.picture(6, (500, 400))
    prepare(tmp_path, made.coco(train=2) | {"train2017/000000000109.jpg": picture})
    split = data.load("coco", "train", None)
    with ThreadPoolExecutor() as threads:
        squashed, cut = (split.view([1], 384, crop, threads) for crop in (False, True))
    whole = Image.fromarray(made.decoded(picture).transpose(1, 2, 0))
    expected = np.asarray(whole.resize((384, 384), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    assert np.array_equal(squashed[0], expected)
    expected = np.asarray(whole.resize((480, 384), Image.Resampling.BICUBIC)).transpose(2, 0, 1)[:, :, 48:432]
    assert np.array_equal(cut[0], expected)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda all_: [], "TypeError"),
        (lambda all_: {"images": all_["images"]}, "KeyError: 'annotations'"),
        (lambda all_: all_ | {"images": [{"id": "x", "file_name": "a.jpg"}]}, "ValueError"),
        (lambda all_: all_ | {"images": ["a.jpg"]}, "TypeError"),
        (lambda all_: all_ | {"annotations": [{"caption": "a"}]}, "KeyError: 'image_id'"),
        (lambda all_: all_ | {"images": all_["images"] * 2}, "an image is listed twice"),
    ],
)
def test_captions_of_another_structure_are_refused(tmp_path, change, match):
    content = made.coco()
    captions, name = told(content, "val2017")
    with pytest.raises(PrepareError, match=rf"captions_val2017.json is not a file of COCO captions: .*{match}"):
        prepare(tmp_path, content | {name: json.dumps(change(captions)).encode()})


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 100_000], ids=["empty", "cut", "binary", "deep"])
def test_captions_that_are_not_json_are_refused(tmp_path, text):
    with pytest.raises(PrepareError, match=r"captions_train2017.json is not a file of COCO captions"):
        prepare(tmp_path, made.coco() | {"annotations/captions_train2017.json": text})


def test_an_archive_that_is_not_cocos_is_named(tmp_path):
    content = {name: text for name, text in made.coco().items() if "captions_val" not in name}
    with pytest.raises(PrepareError, match=r"captions_val2017.json is missing: the annotations archive is not COCO"):
        prepare(tmp_path, content)


real = pytest.mark.skipif(
    "DISTILL_BENCH_ARCHIVES" not in os.environ,
    reason="DISTILL_BENCH_ARCHIVES is unset: name the folder with coco/train2017.zip and others to prepare real ones",
)


@real
def test_the_real_archives_give_their_images_with_five_captions_each(tmp_path):
    said = made.prepared("coco", Path(os.environ["DISTILL_BENCH_ARCHIVES"]))
    assert "  train: 80 images" in said and "  test: 79 images" in said
    for name, count in (("train", 80), ("test", 79)):
        split = data.load("coco", name, None)
        assert split.pixels.shape == (count, 3, 224, 224)
        assert torch.bincount(split.owner).tolist() == [5] * count and len(split.captions) == 5 * count
    index = [path.name for path in split.files].index("000000000139.jpg")
    assert split.captions[5 * index] == "A woman stands in the dining area at the table."


@real
def test_the_real_archives_are_refused_as_the_whole_set(tmp_path):
    with pytest.raises(PrepareError) as failure:
        made.prepared("coco", Path(os.environ["DISTILL_BENCH_ARCHIVES"]), subset=False)
    assert "118,287 train images and 5,000 test images" in str(failure.value) and "--subset" in str(failure.value)
