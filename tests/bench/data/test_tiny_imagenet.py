"""Tiny ImageNet from archives made in the test; the real one where DISTILL_BENCH_ARCHIVES names the folder with it."""

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bench import data
from bench.data.archives import PrepareError
from tests.bench.prepare import made
from tests.bench.prepare.made import ROOT, WNIDS


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("DISTILL_BENCH_DATA", str(tmp_path / "data"))


def prepare(tmp_path, content):
    return made.prepared("tiny-imagenet", made.archives(tmp_path / "archives", content))


def test_images_come_class_by_class_in_the_order_of_wnids_and_by_number(tmp_path):
    content = made.tiny_imagenet(train=11)
    prepare(tmp_path, content)
    split = data.load("tiny-imagenet", "train", None)
    names = [f"{wnid}_{number}.JPEG" for wnid in WNIDS for number in range(11)]  # _2 before _10
    assert [path.name for path in split.files] == names
    assert split.labels.tolist() == [number for number in range(200) for _ in range(11)]
    assert split.classes == tuple(f"thing {wnid}, item" for wnid in WNIDS)
    for row in (0, 1234, 2199):
        name = f"{ROOT}/train/{WNIDS[row // 11]}/images/{names[row]}"
        assert np.array_equal(split.pixels[row], made.decoded(content[name]))


def test_validation_labels_are_the_annotations_and_gray_images_have_three_equal_channels(tmp_path):
    content = made.tiny_imagenet(validation=12)
    prepare(tmp_path, content)
    split = data.load("tiny-imagenet", "test", None)
    assert [path.name for path in split.files] == [f"val_{number}.JPEG" for number in range(12)]
    assert split.labels.tolist() == [7 * number for number in range(12)]  # the folder would give one class
    assert split.pixels.shape == (12, 3, 64, 64)
    for row, image in enumerate(split.pixels):
        assert np.array_equal(image, made.decoded(content[f"{ROOT}/val/images/val_{row}.JPEG"]))
        assert (image == image[:1]).all()


def test_images_without_a_public_label_are_left_out_and_counted(tmp_path):
    content = made.tiny_imagenet() | {f"{ROOT}/test/images/test_{number}.JPEG": b"unread" for number in range(3)}
    content[f"{ROOT}/val/images/val_99.JPEG"] = made.picture(99)
    said = prepare(tmp_path, content)
    assert "  4 images left out: no public label" in said
    assert json.loads((tmp_path / "data/tiny-imagenet/manifest.json").read_text())["left_out"] == {"no public label": 4}
    assert len(data.load("tiny-imagenet", "test", None)) == 10


def lines(content, name, change):
    """``content`` with the lines of one of its files changed."""
    name = f"{ROOT}/{name}"
    return content | {name: "\n".join(change(content[name].decode().splitlines())).encode()}


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("wnids.txt", lambda all_: all_[1:], "names 199 different classes, expected 200"),
        ("wnids.txt", lambda all_: [*all_, all_[0]], "200 different classes, expected 200, each once"),
        ("val/val_annotations.txt", lambda all_: [*all_[:2], "", "nonsense"], r"annotations.txt:4: .*'nonsense'"),
        ("val/val_annotations.txt", lambda all_: [*all_, "val_9.JPEG\tn123"], r"annotations.txt:11: .* class of wnids"),
        ("val/val_annotations.txt", lambda all_: [f"../val_0.JPEG\t{WNIDS[0]}"], r"annotations.txt:1: expected 'FILE"),
        (
            "val/val_annotations.txt",
            lambda all_: [*all_, all_[3]],
            r"annotations.txt:11: val_3.JPEG has a line already",
        ),
        ("val/val_annotations.txt", lambda all_: [], "hold no images of test"),
    ],
)
def test_lists_that_are_not_tiny_imagenets_are_refused(tmp_path, name, change, match):
    with pytest.raises(PrepareError, match=match):
        prepare(tmp_path, lines(made.tiny_imagenet(), name, change))
    assert not (tmp_path / "data/tiny-imagenet/manifest.json").exists()


@pytest.mark.parametrize("name", ["wnids.txt", "words.txt", "val/val_annotations.txt"])
def test_a_list_that_is_missing_or_no_text_is_named(tmp_path, name):
    content = made.tiny_imagenet()
    with pytest.raises(PrepareError, match=f"{name} is not UTF-8 text"):
        prepare(tmp_path / "one", content | {f"{ROOT}/{name}": b"\xff\xfe"})
    prepare(tmp_path / "good", content)  # its list stays there
    del content[f"{ROOT}/{name}"]
    with pytest.raises(PrepareError, match=f"{name} is missing: the archive is not Tiny ImageNet's"):
        prepare(tmp_path / "two", content)


real = pytest.mark.skipif(
    "DISTILL_BENCH_ARCHIVES" not in os.environ,
    reason="DISTILL_BENCH_ARCHIVES is unset: name the folder with tiny-imagenet-200.zip to prepare the real one",
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The data folder with the real archive prepared as a subset, and what was said."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("real")
        patch.setenv("DISTILL_BENCH_DATA", str(folder))
        said = made.prepared("tiny-imagenet", Path(os.environ["DISTILL_BENCH_ARCHIVES"]))
        return folder, said


@real
def test_the_real_archive_gives_its_images_labels_and_names(prepared, monkeypatch):
    folder, said = prepared
    monkeypatch.setenv("DISTILL_BENCH_DATA", str(folder))
    assert "  train: 16,000 images" in said and "  test: 4,000 images" in said
    train, test = (data.load("tiny-imagenet", split, None) for split in ("train", "test"))
    assert set(Counter(train.labels.tolist()).values()) == {80} and len(test) == 4000
    assert train.classes[0] == "Egyptian cat" and train.files[0].name == "n02124075_0.JPEG"
    annotations = (folder / "tiny-imagenet/files" / ROOT / "val/val_annotations.txt").read_text().splitlines()
    wnids = (folder / "tiny-imagenet/files" / ROOT / "wnids.txt").read_text().split()
    told = dict(line.split("\t")[:2] for line in annotations)
    assert [wnids[label] for label in test.labels.tolist()] == [told[path.name] for path in test.files]
    for row in range(0, 16_000, 1999):
        assert np.array_equal(train.pixels[row], made.decoded(train.files[row].read_bytes()))


@real
def test_gray_images_of_the_real_archive_have_three_equal_channels(prepared, monkeypatch):
    from PIL import Image

    monkeypatch.setenv("DISTILL_BENCH_DATA", str(prepared[0]))
    test = data.load("tiny-imagenet", "test", None)
    gray = [row for row, path in enumerate(test.files) if Image.open(path).mode == "L"]
    assert len(gray) > 10
    assert all((test.pixels[row] == test.pixels[row][:1]).all() for row in gray)


@real
def test_a_small_draw_of_the_real_archive_has_all_classes(prepared, monkeypatch):
    monkeypatch.setenv("DISTILL_BENCH_DATA", str(prepared[0]))
    labels = data.load("tiny-imagenet", "train", 512).labels.tolist()
    assert sorted(Counter(labels).values()) == [2] * 88 + [3] * 112


@real
def test_the_real_archive_is_refused_as_the_whole_set(tmp_path):
    with pytest.raises(PrepareError) as failure:
        made.prepared("tiny-imagenet", Path(os.environ["DISTILL_BENCH_ARCHIVES"]), subset=False)
    for part in ("248100043 bytes", "100,000 train images and 10,000 test images", "--subset", "cs231n.stanford.edu"):
        assert part in str(failure.value)
