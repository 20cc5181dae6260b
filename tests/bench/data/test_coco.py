"""COCO from archives made in the test; the real ones where DISTILL_BENCH_ARCHIVES names the folder with them."""

import json
import os
from functools import reduce
from pathlib import Path

import numpy as np
import open_clip
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


def changed(content, change, kind="captions", part="train2017"):
    """The content with what ``change`` makes of a file of captions or instances."""
    name = f"annotations/{kind}_{part}.json"
    new = change(json.loads(content[name]))
    return content | {name: new if isinstance(new, bytes) else json.dumps(new).encode()}


def without_captions(all_, image):
    return all_ | {"annotations": [entry for entry in all_["annotations"] if entry["image_id"] != image]}


def of_instances(shown):
    """Instances (image, category, whether a crowd) instead of those that are there."""
    instances = [
        {"image_id": image, "category_id": category, "iscrowd": crowd, "segmentation": {"counts": [1], "size": [2, 3]}}
        for image, category, crowd in shown
    ]
    return lambda all_: all_ | {"annotations": instances}


def test_captions_belong_to_their_images_and_owners_ascend(tmp_path):
    more = [{"image_id": 109, "caption": "a sixth"}, {"image_id": 109, "caption": " \n"}]
    prepare(tmp_path, changed(made.coco(train=3), lambda all_: all_ | {"annotations": all_["annotations"] + more}))
    split = data.load("coco", "train", None)
    assert [path.name for path in split.files] == [f"{number:012}.jpg" for number in (9, 109, 209)]
    assert split.owner.tolist() == [0] * 5 + [1] * 6 + [2] * 5
    assert split.captions[:2] == ("train2017 9 telling 0", "train2017 9 telling 1")  # white space is made single
    assert split.captions[10] == "a sixth"
    assert [text.split()[1] for text in split.captions if text != "a sixth"] == ["9"] * 5 + ["109"] * 5 + ["209"] * 5
    assert data.load("coco", "test", None).captions[0] == "val2017 9 telling 0"


def test_an_image_is_of_the_only_category_of_its_instances(tmp_path):
    shown = [
        (9, 28, 0), (109, 18, 0), (9, 28, 0),  # one category, twice
        (109, 5, 0),  # two categories
        (309, 5, 1),  # a crowd only
        (409, 18, 0), (409, 18, 1),  # a crowd of what is there besides
        (509, 18, 0), (509, 28, 1),  # a crowd of something else
        (7, 18, 0),  # of an image that is not in the list
    ]  # fmt: skip
    log = prepare(tmp_path, changed(made.coco(train=6), of_instances(shown), "instances"))
    assert "  train: 3 images show a single one of 3 concepts" in log
    split = data.load("coco", "train", None)
    assert split.concepts.labels.tolist() == [2, -1, -1, 1, 0, -1] and split.concepts.labels.dtype == torch.int64
    assert split.concepts.names == ("dog", "airplane", "umbrella")
    prepare(tmp_path, changed(made.coco(train=2), of_instances([(9, 18, 0), (9, 5, 0)]), "instances"))
    assert data.load("coco", "train", None).concepts is None and data.load("coco", "test", None).concepts is not None


def test_images_that_are_left_out_or_skipped_are_counted_and_take_no_place_among_the_concepts(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.prepare.pictures.TOLERATED", 0.5)
    shown = of_instances([(9, 18, 0), (109, 5, 0), (209, 18, 0), (309, 28, 0), (409, 5, 0)])
    content = changed(made.coco(train=5), shown, "instances") | {"train2017/000000000209.jpg": b"bad"}
    content["val2017/000000000777.jpg"] = made.picture(1)
    log = prepare(tmp_path, changed(content, lambda all_: without_captions(all_, 109)))
    assert "  2 images left out: no captions" in log and "    skipped train2017/000000000209.jpg: not a picture" in log
    split = data.load("coco", "train", None)
    assert [path.name[-7:-4] for path in split.files] == ["009", "309", "409"]
    assert split.concepts.labels.tolist() == [0, 2, 1]
    assert split.captions[5].startswith("train2017 309 ") and int(split.owner[5]) == 1


BOTH = [
    *[(lambda all_, text=text: text, "Error") for text in (b"", b"{", b"\xff", b"[" * 100_000)],
    (lambda all_: all_ | {"images": all_["images"] * 2}, "an image is listed twice"),
    (lambda all_: all_ | {"images": [{"id": "x", "file_name": "a.jpg"}]}, "ValueError"),
]
FAULTS = {
    "captions": [
        *BOTH,
        (lambda all_: all_ | {"annotations": [{"caption": "a"}]}, "KeyError: 'image_id'"),
        *[
            (lambda all_, name=name: all_ | {"images": [{"id": 1, "file_name": name}]}, "is not the name of a file")
            for name in ("../a.jpg", "a\0.jpg", "", "a" * 256, None)
        ],
        (lambda all_: all_ | {"annotations": [{"image_id": 9, "caption": None}]}, "AttributeError: 'NoneType'"),
    ],
    "instances": [
        *BOTH,
        (lambda all_: all_ | {"annotations": [{"image_id": 9}]}, "KeyError: 'category_id'"),
        (of_instances([(9, 3, 0)]), "KeyError: 3"),
        (
            lambda all_: all_ | {"categories": [*made.CATEGORIES, {"id": 9, "name": " dog"}]},
            "a category is listed twice",
        ),
    ],
}


@pytest.mark.parametrize(("kind", "change", "match"), [(kind, *fault) for kind in FAULTS for fault in FAULTS[kind]])
def test_annotations_of_another_structure_are_refused(tmp_path, kind, change, match):
    with pytest.raises(PrepareError, match=rf"{kind}_val2017.json is not a file of COCO {kind}: .*{match}"):
        prepare(tmp_path, changed(made.coco(), change, kind, "val2017"))


@pytest.mark.parametrize("kind", FAULTS)
def test_annotations_that_are_missing_or_of_other_images_are_named(tmp_path, kind):
    without = {name: text for name, text in made.coco().items() if f"{kind}_val" not in name}
    with pytest.raises(PrepareError, match=rf"{kind}_val2017.json is missing: the annotations archive is not COCO"):
        prepare(tmp_path, without)
    other = changed(made.coco(), lambda all_: all_ | {"images": all_["images"][1:]}, "instances", "val2017")
    with pytest.raises(PrepareError, match=r"instances_val2017.json does not list 000000000109.jpg"):
        prepare(tmp_path, other)


def test_lists_of_the_whole_set_do_for_a_subset_of_the_images(tmp_path, monkeypatch):
    content = made.coco(train=6, validation=4)
    missing = ["train2017/000000000109.jpg", "train2017/000000000309.jpg", "val2017/000000000009.jpg"]
    few = {name: part for name, part in content.items() if name not in missing}
    assert "  3 images left out: not in the archives" in prepare(tmp_path, few)
    train, test = (data.load("coco", split, None) for split in ("train", "test"))
    assert [path.name[-7:-4] for path in train.files] == ["009", "209", "409", "509"] and len(test) == 3
    assert [text.split()[1] for text in train.captions] == [
        name for name in ("9", "209", "409", "509") for _ in "12345"
    ]
    assert train.concepts.labels.tolist() == [0, -1, 0, -1]  # what the archive's maker put into them
    cut = changed(few, lambda all_: all_ | {"images": [one for one in all_["images"] if one["id"] != 109]}, "instances")
    assert "  3 images left out: not in the archives" in prepare(tmp_path, cut)
    monkeypatch.setattr("bench.data.coco.EXPECTED", {"train": 6, "test": 4})
    made.unpacked(tmp_path / "folder", few)
    with pytest.raises(PrepareError, match=r"2 of 6 images of train are bad.*\(missing\).*--subset leaves out those"):
        made.prepared("coco", tmp_path / "folder", subset=False)


@pytest.mark.slow
@pytest.mark.skipif(
    "DISTILL_BENCH_ARCHIVES" not in os.environ,
    reason="DISTILL_BENCH_ARCHIVES is unset: name the folder with coco/train2017.zip and others to prepare real ones",
)
def test_the_real_archives_give_their_images_with_five_captions_each_and_are_no_whole_set(tmp_path):
    given = Path(os.environ["DISTILL_BENCH_ARCHIVES"])
    with pytest.raises(PrepareError, match=r"118,287 train images and 5,000 test images.*--subset"):
        made.prepared("coco", given, subset=False)
    made.prepared("coco", given)
    for name, count in (("train", 80), ("test", 79)):
        split = data.load("coco", name, None)
        assert split.pixels.shape == (count, 3, 224, 224)
        whole, steps = map(Image.open, split.files), open_clip.image_transform(224, is_train=False).transforms[:3]
        theirs = [np.asarray(reduce(lambda picture, step: step(picture), steps, picture)) for picture in whole]
        assert np.array_equal(split.pixels.permute(0, 2, 3, 1), theirs)
        assert torch.bincount(split.owner).tolist() == [5] * count and len(split.captions) == 5 * count
        assert len(split.concepts.names) == 80 and split.concepts.names[:2] == ("person", "bicycle")
        # Counted with jq: '[.annotations | group_by(.image_id)[] | select((map(.category_id) | unique | length) == 1)] | length'
        assert int((split.concepts.labels >= 0).sum()) == {"train": 15, "test": 8}[name]
    labels = dict(zip((int(path.stem) for path in split.files), split.concepts.labels.tolist(), strict=True))
    assert {image: split.concepts.names[label] for image, label in labels.items() if label >= 0} == {
        101787: "airplane", 244592: "zebra", 261712: "giraffe", 269196: "sheep",
        357501: "scissors", 407574: "banana", 475678: "suitcase", 519611: "bear",
    }  # fmt: skip  # as the captions of these images say, too
    index = [path.name for path in split.files].index("000000000139.jpg")
    assert split.captions[5 * index] == "A woman stands in the dining area at the table."
