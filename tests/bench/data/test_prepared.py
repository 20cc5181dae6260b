"""A prepared dataset as it is read: drawn subsets, and whatever may have happened to its files since."""

import json
import os
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from bench import data
from bench.data import images, prepared
from bench.data.prepared import AlteredError, draw
from bench.kit.errors import UserError
from tests.bench.prepare import made

TINY = "tiny-imagenet"


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    """Folders with archives of both datasets, and with what was prepared of them."""
    folder = tmp_path_factory.mktemp("prepared")
    made.archives(folder / "archives", made.tiny_imagenet(train=3))
    made.archives(folder / "archives", made.coco(train=5, size=(300, 260)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepared, "SHARD", 2)
        patch.setenv("DISTILL_BENCH_DATA", str(folder / "data"))
        for name in (TINY, "coco"):
            made.prepared(name, folder / "archives")
    return folder


@pytest.fixture
def place(made_once, tmp_path, monkeypatch):
    """A data folder of one's own with COCO prepared."""
    monkeypatch.setattr(prepared, "SHARD", 2)
    monkeypatch.setenv("DISTILL_BENCH_DATA", str(tmp_path))
    shutil.copytree(made_once / "data" / "coco", tmp_path / "coco")
    return tmp_path


@pytest.fixture
def tiny(place, made_once):
    """The same with Tiny ImageNet, too."""
    shutil.copytree(made_once / "data" / TINY, place / TINY)
    return place


def same(one, other):
    """Whether two splits hold the same."""
    fields = ("identity", "classes", "captions", "files", "checksums")
    tensors = ("pixels", "labels") if one.labels is not None else ("pixels", "owner")
    shown = [split.concepts and split.concepts.labels.tolist() for split in (one, other)]
    return (
        all(getattr(one, name) == getattr(other, name) for name in fields)
        and all(torch.equal(getattr(one, name), getattr(other, name)) for name in tensors)
        and shown[0] == shown[1]
    )


def flip(path, place=1000):
    """Alter one byte."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def edit(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


ALTERATIONS = {
    "manifest.json is cut": lambda coco: (coco / "manifest.json").write_text('{"format": 4,'),
    "manifest.json has another digit": lambda coco: edit(coco / "manifest.json", '"images": 5', '"images": 6'),
    "manifest.json is another version's": lambda coco: edit(coco / "manifest.json", '"format": 4', '"format": 3'),
    "train.json has another byte": lambda coco: flip(coco / "train.json"),
    "concepts-train.json has another byte": lambda coco: flip(coco / "concepts-train.json", 20),
    "pixels have another byte": lambda coco: flip(coco / "pixels-train/pixels.bin"),
    "pixels are cut short": lambda coco: os.truncate(coco / "pixels-train/pixels.bin", 1000),
    "pixels were cut by another rule": lambda coco: edit(coco / "pixels-train/plan.json", f'"{images.CROP}"', "true"),
    "the store's plan has another byte": lambda coco: flip(coco / "pixels-train/plan.json", 50),
}


@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_what_was_altered_is_refused_with_the_command_that_repairs_it(place, made_once, alteration):
    good = data.load("coco", "train", None)
    ALTERATIONS[alteration](place / "coco")
    prepared._verified.cache_clear()  # another process reads it
    with pytest.raises(AlteredError) as failure:
        data.load("coco", "train", None)
    assert f"{place}/coco" in str(failure.value) and "python -m bench prepare coco" in str(failure.value)
    assert f"--data {place}" in str(failure.value)
    assert "another version" not in alteration or "its format is 3, and this version reads 4" in str(failure.value)
    if "manifest" not in alteration:
        assert f"--archives {made_once}/archives --subset" in str(failure.value)
    log = made.prepared("coco", made_once / "archives")
    assert any("repairing: " in line for line in log)
    assert same(data.load("coco", "train", None), good)
    assert "prepared already" in made.prepared("coco", made_once / "archives")[-1]


@pytest.mark.parametrize("gone", [False, True])
def test_a_picture_that_was_altered_is_refused_where_it_is_read_again(place, made_once, gone):
    split = data.load("coco", "train", None)
    with ThreadPoolExecutor() as threads:
        good = split.view([0, 3], {"size": 256, "short_side": None, "interpolation": "bicubic"}, threads)
        split.files[3].unlink() if gone else flip(split.files[3], 400)
        with pytest.raises(AlteredError) as failure:
            split.view([0, 3], {"size": 256, "short_side": None, "interpolation": "bicubic"}, threads)
        assert str(split.files[3]) in str(failure.value)
        assert "python -m bench prepare coco --archives" in str(failure.value)
        assert any("repairing: " in line for line in made.prepared("coco", made_once / "archives"))
        assert torch.equal(
            split.view([0, 3], {"size": 256, "short_side": None, "interpolation": "bicubic"}, threads), good
        )


def test_a_deleted_manifest_is_written_again_as_it_was(tiny, made_once):
    path = tiny / TINY / "manifest.json"
    before = path.read_bytes()
    path.unlink()
    with pytest.raises(UserError, match=r"tiny-imagenet is not prepared in .*python -m bench prepare tiny-imagenet"):
        data.load(TINY, "train", 8)
    made.prepared(TINY, made_once / "archives")
    assert path.read_bytes() == before


def test_the_identity_of_a_dataset_covers_every_byte_of_its_pictures(tiny, made_once, tmp_path):
    before = prepared.identity(prepared.shipped(TINY))
    content = made.tiny_imagenet(train=3)
    name = next(name for name in content if name.endswith("_0.JPEG"))
    picture = bytearray(content[name])
    picture[300] ^= 1
    made.prepared(TINY, made.archives(tmp_path / "other", content | {name: bytes(picture)}))
    assert prepared.identity(prepared.shipped(TINY)).split()[0] == before.split()[0]  # test
    assert prepared.identity(prepared.shipped(TINY)).split()[1] != before.split()[1]  # train
    (tiny / TINY / "manifest.json").unlink()
    assert prepared.identity(prepared.shipped(TINY)) == "missing"


def test_a_drawn_part_is_the_same_rows_in_the_sets_order(tiny):
    whole, part = data.load(TINY, "train", None), data.load(TINY, "train", 250)
    assert whole.exact and whole.concepts is None
    rows = [whole.files.index(path) for path in part.files]
    assert rows == sorted(rows) and len(set(rows)) == len(part) == 250
    assert torch.equal(part.pixels, whole.pixels[rows]) and torch.equal(part.labels, whole.labels[rows])
    assert same(data.load(TINY, "train", 250), part)
    assert len({whole.identity, part.identity, data.load(TINY, "train", 250, seed=1).identity}) == 3
    assert sorted(Counter(part.labels.tolist()).values()) == [1] * 150 + [2] * 50
    assert same(data.load(TINY, "train", 10**6), whole)


def test_a_drawn_part_keeps_all_captions_and_what_each_of_its_images_shows(place):
    whole, labels_seen = data.load("coco", "train", None), set()
    of_file = dict(zip(whole.files, whole.concepts.labels.tolist(), strict=True))
    assert list(of_file.values()) == [0, -1, -1, 1, 0]  # what the archive's maker put into 9, 109, 209, 309 and 409
    for seed in range(6):
        part = data.load("coco", "train", 4, seed)
        assert part.concepts.labels.tolist() == [of_file[path] for path in part.files]
        assert part.concepts.names == whole.concepts.names and part.concepts.prompts == whole.concepts.prompts
        assert part.owner.tolist() == [row for row in range(4) for _ in range(5)]
        rows = [whole.files.index(path) for path in part.files]
        assert part.captions == tuple(text for row in rows for text in whole.captions[5 * row : 5 * row + 5])
        labels_seen.add(tuple(part.concepts.labels.tolist()))
    assert len(labels_seen) > 1
    parts = [data.load("coco", "train", 1, seed) for seed in range(20)]
    unclear = [part.files[0].name[-7:] in ("109.jpg", "209.jpg") for part in parts]
    assert [part.concepts is None for part in parts] == unclear and set(unclear) == {True, False}


def test_concepts_are_in_the_identity_of_the_dataset_but_not_in_that_of_its_images(place, tmp_path):
    """Records depend on what the images show, stored features and pixels on the images alone."""
    before, split = prepared.identity(prepared.shipped("coco")), data.load("coco", "train", 3)
    content = made.coco(train=5, size=(300, 260))
    name = "annotations/instances_train2017.json"
    instances = json.loads(content[name])
    instances["annotations"] = [one for one in instances["annotations"] if one["image_id"] != 9]
    changed = content | {name: json.dumps(instances).encode()}
    stored = (place / "coco/pixels-train/pixels.bin").stat()
    made.prepared("coco", made.archives(tmp_path / "other", changed))
    assert data.load("coco", "train", None).concepts.labels.tolist() == [-1, -1, -1, 1, 0]
    assert data.load("coco", "train", 3).identity == split.identity
    again = (place / "coco/pixels-train/pixels.bin").stat()
    assert (again.st_mtime_ns, again.st_ino) == (stored.st_mtime_ns, stored.st_ino)
    after = prepared.identity(prepared.shipped("coco"))
    assert after.split()[0] == before.split()[0] and after.split()[1] != before.split()[1]  # test, train


@settings(max_examples=60, deadline=None)
@examples(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.integers(1, 60), st.integers(0, 9))
def test_a_draw_takes_from_all_classes_as_evenly_as_they_allow(labels, count, seed):
    rows = draw(labels, count, seed).tolist()
    assert rows == sorted(set(rows)) and len(rows) == min(count, len(labels))
    assert rows == draw(labels, count, seed).tolist()
    assert set(draw(labels, max(1, count // 2), seed).tolist()) <= set(rows)
    there, drawn = Counter(labels), Counter(labels[row] for row in rows)
    most = max(drawn.values())
    # A class that has images left is at most one behind the class that gave most.
    assert all(drawn[label] >= min(there[label], most - 1) for label in there)


def test_draws_differ_by_seed_and_are_uniform_within_a_class():
    counts = np.zeros(40, int)
    for seed in range(2000):
        counts[draw([0, 1] * 20, 10, seed)] += 1
    assert abs(counts - 500).max() < 6 * np.sqrt(2000 * 0.25 * 0.75)  # six standard deviations of a fair draw
