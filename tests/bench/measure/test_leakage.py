"""What a teacher may have seen of the evaluation images: counted against lists and sets that the test makes."""

import json
import re
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench import data, registry
from bench.__main__ import main
from bench.data import twins
from bench.declared import Images
from bench.kit import paths
from bench.kit.errors import UserError
from bench.measure.leakage import KNOWN, note
from bench.plan import matrix
from bench.prepare.own import make_ready
from tests.bench.data.own.made import folder
from tests.bench.prepare import made
from tests.bench.prepare.made import ROOT, WNIDS
from tests.breadth import some

TINY = "tiny-imagenet"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("DISTILL_BENCH_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def case(dataset, teacher, weights):
    """Any case, with these in it."""
    one = matrix.cases(matrix.load(matrix.DEFAULT), "pocket", matrix.DEFAULT)[0]
    return replace(one, dataset=dataset, teacher=teacher, weights=weights)


def noted(dataset, teacher, weights, train=None, test=None):
    train = train or data.load(dataset, "train", None)
    return note(case(dataset, teacher, weights), train, test or data.load(dataset, "test", None))


def prepare(tmp_path, content):
    name = "coco" if "annotations/captions_train2017.json" in content else TINY
    made.prepared(name, made.archives(tmp_path / "archives", content))


def test_drawn_images_are_compared_by_pixels():
    train, test = (data.load("shapes", split, 40) for split in ("train", "test"))
    assert noted("shapes", "dino", "pocket", train, test)["seen"] == 0
    mixed = replace(test, pixels=torch.cat([test.pixels[:33], train.pixels[5:12]]), identity="")
    entry = noted("shapes", "dino", "pocket", train, mixed)
    assert (entry["seen"], entry["of"]) == (7, 40) and "pixel by pixel" in entry["basis"]


@pytest.mark.parametrize(
    ("weights", "control"), [("random", None), ("pocket", "random-teacher"), ("pretrained", "random-teacher")]
)
def test_a_random_teacher_has_seen_nothing(weights, control):
    split = data.load("shapes", "train", 4)
    random = replace(case("shapes", "dino", weights), control=control)
    assert note(random, split, split) == {"seen": 0, "of": 4, "basis": "random weights: nothing was seen"}


def test_real_files_of_a_pocket_teacher_are_compared_by_content_with_all_training_files(tmp_path):
    content = made.tiny_imagenet(validation=6)
    for number in (1, 4):
        again = f"{ROOT}/train/{WNIDS[150 + number]}/images/{WNIDS[150 + number]}_0.JPEG"
        content[f"{ROOT}/val/images/val_{number}.JPEG"] = content[again]
    prepare(tmp_path, content)
    few = data.load(TINY, "train", 3)  # the teacher saw all of them, whatever the case reads
    entry = noted(TINY, "dino", "pocket", few)
    assert (entry["seen"], entry["of"]) == (2, 6) and "whose content is also a training file's" in entry["basis"]
    part = data.load(TINY, "test", 5)
    assert noted(TINY, "dino", "pocket", few, part)["seen"] == sum(path.name[4] in "14" for path in part.files)


def test_evaluation_files_that_are_also_training_files_are_counted_with_their_labels(tmp_path, capsys):
    """As of the full set: 7 files, all under two labels, and 20 pairs within the training split."""
    content = made.tiny_imagenet(train=2, validation=6)

    def repeated(name, wnid):
        content[f"{ROOT}/{name}"] = content[f"{ROOT}/train/{wnid}/images/{wnid}_0.JPEG"]

    repeated("val/images/val_1.JPEG", WNIDS[7])  # its own class
    repeated("val/images/val_4.JPEG", WNIDS[7])
    repeated(f"train/{WNIDS[50]}/images/{WNIDS[50]}_1.JPEG", WNIDS[60])
    prepare(tmp_path, content)
    twice = "2 evaluation images are byte for byte also training images, 1 of them under another label"
    for weights in ("pretrained", "random"):
        assert noted(TINY, "dino", weights)["basis"].endswith(f"; {twice}")
    assert main(["prepare", TINY, "--archives", str(tmp_path / "archives"), "--subset"]) == 0
    (paths.data_folder() / TINY / "manifest.json").unlink()
    capsys.readouterr()
    assert main(["prepare", TINY, "--archives", str(tmp_path / "archives"), "--subset"]) == 0
    assert (
        f"  {twice}; 1 training images repeat an earlier one, 1 of them under another label; a profile with "
        "'dedupe: true' trains without them\n"
    ) in capsys.readouterr().out
    train, test = (data.load(TINY, split, None) for split in ("train", "test"))
    assert noted(TINY, "dino", "pretrained", twins.left_out(train, test), test)["basis"].endswith(
        "as this set names its own"
    )


@pytest.mark.parametrize(
    ("dataset", "teacher", "reason", "files"),
    [
        ("coco", "blip", "minival", ["coco/seen-by-blip.txt", "coco/dataset_coco.json"]),
        ("coco", "clip", "not public", ["coco/seen-by-clip.txt"]),
        (TINY, "beit", "ImageNet", ["tiny-imagenet/seen-by-beit.txt"]),
    ],
)
def test_where_it_is_unknown_the_files_that_would_make_it_known_are_named(
    tmp_path, place, dataset, teacher, reason, files
):
    prepare(tmp_path, made.coco(validation=4) if dataset == "coco" else made.tiny_imagenet(validation=4))
    unknown = noted(dataset, teacher, "pretrained")
    assert unknown["seen"] is None and unknown["basis"].startswith("unknown: ") and reason in unknown["basis"]
    assert re.findall(rf"{dataset}/\S+\.(?:txt|json)", unknown["basis"]) == files
    lists = {".txt": "val_3.JPEG\n309\n", ".json": '{"images": [{"filename": "309.jpg", "split": "train"}]}'}
    for name in files:
        (place / name).write_text(lists[(place / name).suffix])
        assert noted(dataset, teacher, "pretrained") == {"seen": 1, "of": 4, "basis": f"ids in {Path(name).name}"}
        (place / name).unlink()


def test_the_help_of_prepare_names_the_lists(capsys):
    with pytest.raises(SystemExit):
        main(["prepare", "--help"])
    helped = capsys.readouterr().out
    assert " DATASET/seen-by-TEACHER.txt " in helped and " coco/dataset_coco.json " in helped


def test_no_list_is_asked_for_where_images_have_no_names():
    split = data.load("shapes", "train", 4)
    basis = noted("shapes", "dino", "pretrained", split, split)["basis"]
    assert basis == "unknown: the teacher's training images are not listed here"


def test_ids_in_a_list_of_seen_images_are_counted(tmp_path, place):
    prepare(tmp_path, made.coco(validation=4))  # 9, 109, 209, 309
    content = "\ufeff109\r\n000000000309.jpg\n# made in 209\nCOCO_val2014_000000000009.jpg\n\n555\n"
    (place / "coco" / "seen-by-clip.txt").write_text(content, encoding="utf-8")
    entry = noted("coco", "clip", "pretrained")
    assert entry == {"seen": 3, "of": 4, "basis": "ids in seen-by-clip.txt"}
    assert noted("coco", "blip", "pretrained")["seen"] is None  # another teacher's list


def test_names_of_tiny_imagenet_are_not_taken_for_one_another_by_their_numbers(tmp_path, place):
    prepare(tmp_path, made.tiny_imagenet(validation=6))
    listed = place / TINY / "seen-by-dino.txt"
    listed.write_text(f"{WNIDS[0]}_1.JPEG\n{WNIDS[0]}_2.JPEG\nval_3.JPEG\nval_5\n")
    assert noted(TINY, "dino", "pretrained")["seen"] == 2


def test_images_of_ones_own_are_told_apart_by_their_folders(tmp_path, place):
    """Each class counts its files from 0, and so does each split."""
    names = [
        f"{split}/{name}/{number}.png" for split in ("train", "test") for name in ("a", "b c") for number in range(3)
    ]
    images = Images(str(folder(tmp_path / "mine", *names)), size=16)

    @contextmanager
    def task(title):
        yield lambda done, total: None

    make_ready("mine", images, lambda text: None, task)
    train, test = (data.load("mine", split, None, images=images) for split in ("train", "test"))
    listed = place / "mine" / "seen-by-dino.txt"
    listed.parent.mkdir()
    own = replace(case("mine", "dino", "pretrained"), images=images)
    for text, seen in (("train/a/0.png\n", 0), ("./test/a/0.png\ntest\\b c\\2.png\ntrain/a/1.png", 2), ("0.png", None)):
        listed.write_text(text)
        assert note(own, train, test)["seen"] == seen


def test_blips_training_parts_of_karpathys_splits_are_counted(tmp_path, place):
    prepare(tmp_path, made.coco(validation=5))
    parts = {9: "train", 109: "restval", 209: "val", 309: "test", 999: "restval"}
    images = [{"filename": f"COCO_val2014_{number:012}.jpg", "split": part} for number, part in parts.items()]
    (place / "coco" / "dataset_coco.json").write_text(json.dumps({"images": images, "dataset": "coco"}))
    entry = noted("coco", "blip", "pretrained")
    assert entry == {"seen": 2, "of": 5, "basis": "ids in dataset_coco.json"}
    assert noted("coco", "clip", "pretrained")["seen"] is None  # was not trained on them


@pytest.mark.parametrize(
    ("file", "content", "error"),
    [("dataset_coco.json", content, "") for content in (b"{", b"[]", b'{"images": [{"split": "train"}]}', b"\xff")]
    + [("seen-by-blip.txt", b"109 209\n", "ValueError: expected one name a line, got '109 209'")],
)
def test_a_list_that_cannot_be_read_is_named(tmp_path, place, file, content, error):
    prepare(tmp_path, made.coco())
    (place / "coco" / file).write_bytes(content)
    with pytest.raises(UserError, match=rf"{file} is no list of seen images \(.*{error}.*correct it, or remove it"):
        noted("coco", "blip", "pretrained")


def test_every_pair_of_a_prepared_set_has_its_reason():
    for dataset in ("tiny-imagenet", "coco"):
        assert all((dataset, teacher) in KNOWN for teacher in registry.teachers_for(dataset))


@pytest.mark.parametrize(
    "content",
    some(
        ["", "# none yet\n", "n01440764_10026.JPEG\n", "val_5.JPEG,val_3.JPEG\n", "val_300.JPEG\n"],
        ["", "val_300.JPEG\n"],
    ),
)
def test_a_list_without_any_image_of_the_set_makes_no_count(tmp_path, place, content):
    """ImageNet's own names, say: 0 of 6 would be a claim that nothing supports."""
    prepare(tmp_path, made.tiny_imagenet(validation=6))
    (place / TINY / "seen-by-dino.txt").write_text(content)
    entry = noted(TINY, "dino", "pretrained")
    assert entry["seen"] is None and entry["basis"].startswith("unknown: seen-by-dino.txt names none of the images")
