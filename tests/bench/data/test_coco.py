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
from bench.data.archives import PrepareError
from tests.bench.prepare import made


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("DISTILL_BENCH_DATA", str(tmp_path / "data"))


def prepare(tmp_path, content):
    return made.prepared("coco", made.archives(tmp_path / "archives", content))


def told(content, part="train2017", kind="captions"):
    """The file of captions or instances, to be changed, and its name."""
    name = f"annotations/{kind}_{part}.json"
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
        (lambda all_: all_ | {"images": [{"id": 1, "file_name": "../a.jpg"}]}, "is not the name of a file"),
        (lambda all_: all_ | {"images": [{"id": 1, "file_name": "a\0.jpg"}]}, "is not the name of a file"),
        (lambda all_: all_ | {"images": [{"id": 1, "file_name": ""}]}, "is not the name of a file"),
        (lambda all_: all_ | {"images": [{"id": 1, "file_name": "a" * 256}]}, "is not the name of a file"),
        (lambda all_: all_ | {"annotations": [{"image_id": 9, "caption": None}]}, "is None, which is no text"),
        (lambda all_: all_ | {"annotations": [{"image_id": 9, "caption": "a \ud800"}]}, "UnicodeEncodeError"),
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


def instances_of(content, shown, part="train2017"):
    """The content with these instances: (image, category, whether a crowd)."""
    listed, name = told(content, part, "instances")
    listed["annotations"] = [
        {"image_id": image, "category_id": category, "iscrowd": crowd, "segmentation": {"counts": [1], "size": [2, 3]}}
        for image, category, crowd in shown
    ]
    return content | {name: json.dumps(listed).encode()}


def test_an_image_is_of_the_only_category_of_its_instances(tmp_path):
    shown = [
        (9, 28, 0), (109, 18, 0), (9, 28, 0),  # one category, twice
        (109, 5, 0),  # two categories
        (309, 5, 1),  # a crowd only
        (409, 18, 0), (409, 18, 1),  # a crowd of what is there besides
        (509, 18, 0), (509, 28, 1),  # a crowd of something else
        (7, 18, 0),  # of an image that is not in the list
    ]  # fmt: skip
    said = prepare(tmp_path, instances_of(made.coco(train=6), shown))
    assert "  train: 3 images show a single one of 3 concepts" in said
    split = data.load("coco", "train", None)
    assert [path.name[-7:-4] for path in split.files] == ["009", "109", "209", "309", "409", "509"]
    assert split.concepts.labels.tolist() == [2, -1, -1, 1, 0, -1] and split.concepts.labels.dtype == torch.int64
    assert split.concepts.names == ("dog", "airplane", "umbrella")
    assert split.labels is None and split.classes == ()


def test_every_category_is_asked_for_in_the_same_ways(tmp_path):
    prepare(tmp_path, made.coco())
    concepts = data.load("coco", "test", None).concepts
    assert concepts.prompt_classes.tolist() == [0] * 7 + [1] * 7 + [2] * 7
    asked = [concepts.prompts[start : start + 7] for start in (0, 7, 14)]
    assert asked[0][0] == "a photo of a dog." and asked[1][0] == "a photo of an airplane."
    assert asked[2][0] == "a photo of an umbrella."
    phrases = ("a dog", "an airplane", "an umbrella")
    told_apart = [[text.replace(phrase, "...") for text in texts] for texts, phrase in zip(asked, phrases, strict=True)]
    assert told_apart[0] == told_apart[1] == told_apart[2] and len(set(concepts.prompts)) == 21


def test_images_that_all_show_several_things_have_no_concepts(tmp_path):
    prepare(tmp_path, instances_of(made.coco(train=2), [(9, 18, 0), (9, 5, 0)]))
    assert data.load("coco", "train", None).concepts is None
    assert data.load("coco", "test", None).concepts is not None


def test_images_that_are_left_out_or_skipped_take_no_place_among_the_concepts(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.prepare.pictures.TOLERATED", 0.5)
    content = instances_of(made.coco(train=5), [(9, 18, 0), (109, 5, 0), (209, 18, 0), (309, 28, 0), (409, 5, 0)])
    captions, name = told(content)
    captions["annotations"] = [one for one in captions["annotations"] if one["image_id"] != 109]
    prepare(tmp_path, content | {name: json.dumps(captions).encode(), "train2017/000000000209.jpg": b"bad"})
    split = data.load("coco", "train", None)
    assert [path.name[-7:-4] for path in split.files] == ["009", "309", "409"]
    assert split.concepts.labels.tolist() == [0, 2, 1]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda all_: [], "TypeError"),
        (lambda all_: {key: all_[key] for key in ("images", "annotations")}, "KeyError: 'categories'"),
        (lambda all_: all_ | {"annotations": [{"image_id": 9}]}, "KeyError: 'category_id'"),
        (
            lambda all_: all_ | {"annotations": [{"image_id": 9, "category_id": 3}]},
            "of category 3, which is not listed",
        ),
        (lambda all_: all_ | {"annotations": [{"image_id": 9, "category_id": 1e999}]}, "OverflowError"),
        (lambda all_: all_ | {"annotations": 7}, "TypeError"),
        (lambda all_: all_ | {"images": all_["images"] * 2}, "an image is listed twice"),
        (lambda all_: all_ | {"categories": made.CATEGORIES * 2}, "a category is listed twice"),
        (
            lambda all_: all_ | {"categories": [*made.CATEGORIES, {"id": 9, "name": " dog"}]},
            "a category is listed twice",
        ),
        (lambda all_: all_ | {"categories": ["dog"]}, "TypeError"),
    ],
)
def test_instances_of_another_structure_are_refused(tmp_path, change, match):
    content = made.coco()
    instances, name = told(content, "val2017", "instances")
    with pytest.raises(PrepareError, match=rf"instances_val2017.json is not a file of COCO instances: .*{match}"):
        prepare(tmp_path, content | {name: json.dumps(change(instances)).encode()})


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 100_000], ids=["empty", "cut", "binary", "deep"])
def test_instances_that_are_not_json_are_refused(tmp_path, text):
    with pytest.raises(PrepareError, match=r"instances_train2017.json is not a file of COCO instances"):
        prepare(tmp_path, made.coco() | {"annotations/instances_train2017.json": text})


def test_instances_that_are_missing_or_of_other_images_are_named(tmp_path):
    content = made.coco()
    without = {name: text for name, text in content.items() if "instances_val" not in name}
    with pytest.raises(PrepareError, match=r"instances_val2017.json is missing: the annotations archive is not COCO"):
        prepare(tmp_path, without)
    instances, name = told(content, "val2017", "instances")
    instances["images"] = instances["images"][1:]  # the images of val2017 are 109 and 9
    with pytest.raises(PrepareError, match=r"instances_val2017.json does not list val2017/000000000109.jpg"):
        prepare(tmp_path, content | {name: json.dumps(instances).encode()})


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
        assert len(split.concepts.names) == 80 and split.concepts.names[:2] == ("person", "bicycle")
        # Counted with jq: '[.annotations | group_by(.image_id)[] | select((map(.category_id) | unique | length) == 1)] | length'
        assert int((split.concepts.labels >= 0).sum()) == {"train": 15, "test": 8}[name]
    shown = {
        int(path.stem): split.concepts.names[label]
        for path, label in zip(split.files, split.concepts.labels.tolist(), strict=True)
        if label >= 0
    }
    assert shown == {  # as the captions of these images say, too
        101787: "airplane", 244592: "zebra", 261712: "giraffe", 269196: "sheep",
        357501: "scissors", 407574: "banana", 475678: "suitcase", 519611: "bear",
    }  # fmt: skip
    index = [path.name for path in split.files].index("000000000139.jpg")
    assert split.captions[5 * index] == "A woman stands in the dining area at the table."


@real
def test_the_real_archives_are_refused_as_the_whole_set(tmp_path):
    with pytest.raises(PrepareError) as failure:
        made.prepared("coco", Path(os.environ["DISTILL_BENCH_ARCHIVES"]), subset=False)
    assert "118,287 train images and 5,000 test images" in str(failure.value) and "--subset" in str(failure.value)
