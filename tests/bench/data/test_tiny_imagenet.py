"""Tiny ImageNet from archives made in the test; the real one where DISTILL_BENCH_ARCHIVES names the folder with it."""

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import data
from bench.data.archives import PrepareError
from tests.bench.prepare import made
from tests.bench.prepare.made import ROOT, WNIDS
from tests.breadth import some


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("DISTILL_BENCH_DATA", str(tmp_path / "data"))
    return tmp_path / "data/tiny-imagenet"


def prepare(folder, content):
    return made.prepared("tiny-imagenet", made.archives(folder / "archives", content))


def test_images_come_class_by_class_in_the_order_of_wnids_and_by_number(tmp_path):
    content = made.tiny_imagenet()
    for wnid in WNIDS[:5]:
        more = {f"{ROOT}/train/{wnid}/images/{wnid}_{number}.JPEG": made.picture(number) for number in range(10, 0, -1)}
        content |= more
    prepare(tmp_path, content)
    split = data.load("tiny-imagenet", "train", None)
    counts = [11] * 5 + [1] * 195
    names = [
        f"{wnid}_{n}.JPEG" for wnid, count in zip(WNIDS, counts, strict=True) for n in range(count)
    ]  # _2 before _10
    assert [path.name for path in split.files] == names
    assert split.labels.tolist() == [label for label, count in enumerate(counts) for _ in range(count)]
    assert split.classes == tuple(f"thing {wnid}, item" for wnid in WNIDS)
    for row in (0, 34, 249):
        name = f"{ROOT}/train/{names[row].partition('_')[0]}/images/{names[row]}"
        assert np.array_equal(split.pixels[row], made.decoded(content[name]))


def test_validation_labels_are_the_annotations_and_images_without_one_are_left_out_and_counted(tmp_path, place):
    content = made.tiny_imagenet(validation=12) | {f"{ROOT}/test/images/test_{number}.JPEG": b"" for number in range(3)}
    log = prepare(tmp_path, content | {f"{ROOT}/val/images/val_99.JPEG": made.picture(99)})
    assert "  4 images left out: no public label" in log
    assert json.loads((place / "manifest.json").read_text())["left_out"] == {"no public label": 4}
    split = data.load("tiny-imagenet", "test", None)
    assert [path.name for path in split.files] == [f"val_{number}.JPEG" for number in range(12)]
    assert split.labels.tolist() == [7 * number for number in range(12)]  # the folder would give one class
    for row, image in enumerate(split.pixels):
        assert np.array_equal(image, made.decoded(content[f"{ROOT}/val/images/val_{row}.JPEG"]))


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("wnids.txt", lambda all_: all_[1:], "names 199 different classes, expected 200"),
        ("wnids.txt", lambda all_: [*all_, all_[0]], "200 different classes, expected 200, each once"),
        ("val/val_annotations.txt", lambda all_: [*all_[:2], "", "nonsense"], r"annotations.txt:4: .*'nonsense'"),
        ("val/val_annotations.txt", lambda all_: [*all_, "val_9.JPEG\tn123"], r"annotations.txt:11: .* class of wnids"),
        ("val/val_annotations.txt", lambda all_: [f"../val_0.JPEG\t{WNIDS[0]}"], r"annotations.txt:1: expected 'FILE"),
        ("val/val_annotations.txt", lambda all_: [*all_, all_[3]], r":11: val_3.JPEG has a line already"),
        ("val/val_annotations.txt", lambda all_: [], "hold no images of test"),
    ],
)
def test_lists_that_are_not_tiny_imagenets_are_refused(tmp_path, place, name, change, match):
    content, name = made.tiny_imagenet(), f"{ROOT}/{name}"
    lines = change(content[name].decode().splitlines())
    with pytest.raises(PrepareError, match=match):
        prepare(tmp_path, content | {name: "\n".join(lines).encode()})
    assert not (place / "manifest.json").exists()


def moved(content, place, kept=None):
    """The files with validation images where ``place(WNID, NAME)`` says; with ``kept`` those of even number stay."""
    sorted_ = {}
    for name, part in content.items():
        if "/val/images/" in name and not (kept and int(name[-6]) % 2 == 0):
            image = name.rpartition("/")[2]
            name = f"{ROOT}/val/{place(WNIDS[7 * int(image[4:-5]) % 200], image)}"
        sorted_[name] = part
    return sorted_


LAYOUTS = {"in folders": "{}/{}", "in folders as training's": "{}/images/{}"}


EACH = [(layout, kept) for layout in LAYOUTS for kept in ("annotations", "nothing", "half")]
FEW = [("in folders", "annotations"), ("in folders", "half"), ("in folders as training's", "nothing")]


@pytest.mark.parametrize(("layout", "kept"), some(EACH, FEW))
def test_validation_images_may_lie_in_folders_of_their_classes(tmp_path, layout, kept):
    content = made.tiny_imagenet(validation=12)
    sorted_ = moved(content, LAYOUTS[layout].format, kept == "half")
    if kept == "nothing":
        del sorted_[f"{ROOT}/val/val_annotations.txt"]
    log = prepare(tmp_path, sorted_)
    assert not any("left out" in line for line in log)
    split = data.load("tiny-imagenet", "test", None)
    assert [path.name for path in split.files] == [f"val_{number}.JPEG" for number in range(12)]
    assert split.labels.tolist() == [7 * number for number in range(12)]
    for row, image in enumerate(split.pixels):
        assert np.array_equal(image, made.decoded(content[f"{ROOT}/val/images/val_{row}.JPEG"]))


def test_a_folder_that_contradicts_the_annotations_is_named(tmp_path, place):
    content = made.tiny_imagenet()
    wrong = moved(content, lambda wnid, name: f"{WNIDS[5] if name == 'val_3.JPEG' else wnid}/{name}")
    match = rf"val_annotations.txt:4: val_3.JPEG is of {WNIDS[21]}, but it lies in {ROOT}/val/{WNIDS[5]}/val_3.JPEG"
    with pytest.raises(PrepareError, match=match):
        prepare(tmp_path, wrong)
    assert not (place / "manifest.json").exists()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"val/{WNIDS[7]}/val_1.JPEG", f"val/{WNIDS[7]}/images/val_1.png"),
        ("val/images/val_1.JPEG", f"val/{WNIDS[7]}/val_1.JPEG"),
        (f"val/{WNIDS[7]}/val_1.JPEG", f"val/{WNIDS[8]}/val_1.JPEG"),
        (f"train/{WNIDS[7]}/images/{WNIDS[7]}_0.JPEG", f"train/{WNIDS[7]}/images/{WNIDS[7]}_0.jpeg"),
    ],
)
def test_two_pictures_of_one_name_are_named(tmp_path, one, other):
    content = made.tiny_imagenet()
    content.pop(f"{ROOT}/val/images/val_1.JPEG")
    content |= {f"{ROOT}/{one}": made.picture(1), f"{ROOT}/{other}": made.picture(2)}
    with pytest.raises(PrepareError, match="are one image by their names; keep the right one") as refusal:
        prepare(tmp_path, content)
    assert one in str(refusal.value) and other in str(refusal.value)


ENDINGS = [("jpeg", "JPEG"), ("jpg", "JPEG"), ("JPG", "JPEG"), ("png", "PNG")]


@pytest.mark.parametrize(("ending", "form"), some(ENDINGS, [("jpg", "JPEG"), ("png", "PNG")]))
def test_pictures_may_end_otherwise_than_the_lists_name_them(tmp_path, place, ending, form):
    content = made.tiny_imagenet(train=2)
    images = {name: name.removesuffix("JPEG") + ending for name in content if name.endswith(".JPEG")}
    drawn = {name: made.picture(place, form=form) for place, name in enumerate(images.values())}
    lists = {name: part for name, part in content.items() if name not in images}
    log = prepare(tmp_path, lists | drawn)
    assert not any("left out" in line for line in log)
    split = data.load("tiny-imagenet", "train", None)
    names = [f"{wnid}_{number}.{ending}" for wnid in WNIDS for number in range(2)]
    assert [path.name for path in split.files] == names and len(data.load("tiny-imagenet", "test", None)) == 10
    assert np.array_equal(split.pixels[7], made.decoded(drawn[f"{ROOT}/train/{WNIDS[3]}/images/{names[7]}"]))


@pytest.mark.parametrize("root", some(["", "tiny/", "downloads/Tiny ImageNet/"], ["", "downloads/Tiny ImageNet/"]))
def test_the_top_folder_may_have_another_name_or_none(tmp_path, root, place):
    content = made.tiny_imagenet(train=2)
    renamed = {root + name.removeprefix(f"{ROOT}/"): part for name, part in content.items()}
    elsewhere = {"note.txt": b"", "more/wnids.txt.bak": b"", f"train/{WNIDS[0]}/x.JPEG": b""} if root else {}
    prepare(tmp_path, renamed | elsewhere)
    train, test = (data.load("tiny-imagenet", split, None) for split in ("train", "test"))
    assert (len(train), len(test)) == (400, 10) and test.labels.tolist() == [7 * number for number in range(10)]
    assert train.files[0] == place / "files" / f"{root}train/{WNIDS[0]}/images/{WNIDS[0]}_0.JPEG"
    with pytest.raises(PrepareError, match=rf"^{root}wnids.txt and z copy/wnids.txt: two copies of Tiny ImageNet"):
        prepare(tmp_path, renamed | {"z copy/wnids.txt": b""})


@pytest.mark.parametrize("name", ["wnids.txt", "words.txt", "val/val_annotations.txt"])
def test_a_list_that_is_missing_or_no_text_is_named(tmp_path, name):
    content = made.tiny_imagenet()
    with pytest.raises(PrepareError, match=f"{name} is not UTF-8 text"):
        prepare(tmp_path / "one", content | {f"{ROOT}/{name}": b"\xff\xfe"})
    prepare(tmp_path / "good", content)  # its list stays there
    del content[f"{ROOT}/{name}"]
    with pytest.raises(PrepareError, match=f"{name} is missing: the archive is not Tiny ImageNet's"):
        prepare(tmp_path / "two", content)


@pytest.mark.slow
@pytest.mark.skipif(
    "DISTILL_BENCH_ARCHIVES" not in os.environ,
    reason="DISTILL_BENCH_ARCHIVES is unset: name the folder with tiny-imagenet-200.zip to prepare the real one",
)
def test_the_real_archive_gives_its_images_labels_and_names_and_is_no_whole_set(place):
    given = Path(os.environ["DISTILL_BENCH_ARCHIVES"])
    with pytest.raises(PrepareError, match=r"248100043 bytes.*100,000 train images and 10,000 test images.*--subset"):
        made.prepared("tiny-imagenet", given, subset=False)
    log = made.prepared("tiny-imagenet", given)
    assert any(
        "1 evaluation images are byte for byte also training images, 1 of them under another" in line for line in log
    )
    train, test = (data.load("tiny-imagenet", split, None) for split in ("train", "test"))
    assert Counter(train.labels.tolist()) == dict.fromkeys(range(200), 80) and len(test) == 4000
    assert train.classes[0] == "Egyptian cat" and train.files[0].name == "n02124075_0.JPEG"
    wnids = (place / "files" / ROOT / "wnids.txt").read_text().split()
    annotations = (place / "files" / ROOT / "val/val_annotations.txt").read_text().splitlines()
    wnid_of = dict(line.split("\t")[:2] for line in annotations)
    assert [wnids[label] for label in test.labels.tolist()] == [wnid_of[path.name] for path in test.files]
    for row in range(0, 16_000, 1999):
        assert np.array_equal(train.pixels[row], made.decoded(train.files[row].read_bytes()))
    gray = [row for row, path in enumerate(test.files) if Image.open(path).mode == "L"]
    assert len(gray) > 10 and all((test.pixels[row] == test.pixels[row][:1]).all() for row in gray)
    labels = data.load("tiny-imagenet", "train", 512).labels.tolist()
    assert sorted(Counter(labels).values()) == [2] * 88 + [3] * 112
