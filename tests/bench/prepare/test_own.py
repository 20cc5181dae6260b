"""A folder of one's own made ready: decoded once, bad files named, and made again only where something changed."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, Resize
from torchvision.transforms.functional import pil_to_tensor

from bench import data
from bench.data import images, own, prepared
from bench.data.own.folder import is_held_out
from bench.data.prepared import AlteredError
from bench.declared import Images
from bench.kit.errors import UserError
from bench.prepare.own import make_ready
from tests.bench.data.own import made

SIDE = 16
PETS = [f"{name}/{number}.png" for name in ("cat", "dog") for number in range(12)]


@pytest.fixture
def pets(tmp_path, monkeypatch):
    monkeypatch.setenv("DISTILL_BENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(prepared, "OWN_SHARD", 4)
    made.folder(tmp_path / "pets", *PETS)
    return tmp_path / "pets"


@pytest.fixture
def decoded(monkeypatch):
    """The files that are decoded."""
    files, decode = [], images.examine_and_decode
    monkeypatch.setattr(images, "examine_and_decode", lambda path, *how: files.append(path.name) or decode(path, *how))
    return files


def ready(folder, **options):
    """Make a folder ready; its declaration and what was logged."""
    lines = []

    @contextmanager
    def task(title):
        yield lambda done, total: None

    declared = Images(str(folder), size=SIDE, **options)
    make_ready("pets", declared, lines.append, task)
    return declared, "\n".join(lines)


def load(declared, split):
    return data.load("pets", split, None, images=declared)


def test_pixels_are_those_of_torchvision_and_nothing_in_the_folder_is_changed(pets):
    before = {path: path.stat().st_mtime_ns for path in pets.rglob("*")}
    declared, log = ready(pets)
    train, test = (load(declared, split) for split in ("train", "test"))
    assert f"{len(train)} train images and {len(test)} test images, 2 classes" in log
    assert sorted(path.relative_to(pets).as_posix() for path in train.files + test.files) == sorted(PETS)
    assert [train.classes[label] for label in train.labels] == [path.parent.name for path in train.files]
    fitted = CenterCrop(SIDE)(Resize(SIDE, InterpolationMode.BICUBIC)(pil_to_tensor(Image.open(train.files[0]))))
    assert (train.pixels[0].int() - fitted.int()).abs().max() <= 2  # PNGs of noise; Pillow adds up otherwise
    assert {path: path.stat().st_mtime_ns for path in pets.rglob("*")} == before


def test_a_class_that_is_held_out_whole_is_named(pets):
    held = next(name for name in (f"bee/{number}.png" for number in range(100)) if is_held_out(name, Images.test))
    made.folder(pets, held)
    _, log = ready(pets)
    assert "1 of the classes have no training image, so their held-out images count as wrong: bee" in log


def test_a_class_without_a_good_image_is_none(pets):
    (pets / "bee").mkdir()
    for number in range(20):
        (pets / "bee" / f"{number}.heic").write_bytes(b"\0\0\0\x18ftypheic")
    declared, log = ready(pets)
    assert ", 2 classes" in log and "20 bad images left out" in log
    for split in prepared.SPLITS:
        loaded = load(declared, split)
        assert loaded.classes == ("cat", "dog")
        assert [loaded.classes[label] for label in loaded.labels] == [file.parent.name for file in loaded.files]


def test_nothing_is_decoded_again_until_something_changes(pets, decoded):
    declared, _ = ready(pets)
    identity = own.identity("pets", declared)
    assert sorted(decoded) == sorted(name.split("/")[1] for name in PETS)
    decoded.clear()
    assert ready(pets)[1] == ""
    made.picture(pets / "cat" / "new.png", 99)
    own.forget()
    assert own.identity("pets", declared) == "missing"
    ready(pets)
    assert decoded == ["new.png"]
    assert own.identity("pets", declared) not in ("missing", identity)
    decoded.clear()
    (pets / "cat" / "new.png").unlink()
    ready(pets)
    assert decoded == [] and own.identity("pets", declared) == identity


def test_the_identity_follows_content_and_labels_and_not_the_time(pets):
    declared, _ = ready(pets)
    before = own.identity("pets", declared)
    os.utime(pets / "cat" / "3.png", (1, 1))
    ready(pets)
    assert own.identity("pets", declared) == before
    (pets / "cat" / "3.png").rename(pets / "dog" / "moved.png")
    ready(pets)
    moved = own.identity("pets", declared)
    made.picture(pets / "dog" / "moved.png", 77)
    ready(pets)
    assert len({before, moved, own.identity("pets", declared)}) == 3


def test_bad_images_are_named_counted_and_left_out(pets):
    whole = (pets / "cat" / "0.png").read_bytes()
    bad = {
        "truncated.png": (whole[: len(whole) // 2], "truncated"),
        "empty.jpg": (b"", "empty"),
        "text.jpg": (b"no picture", "not a picture"),
        "phone.heic": (b"\0\0\0\x18ftypheic", "not a picture"),
    }
    for name, (content, _) in bad.items():
        (pets / "dog" / name).write_bytes(content)
    (pets / "dog" / "link.png").symlink_to(pets / "gone.png")
    declared, log = ready(pets)
    assert "5 bad images left out" in log and "dog/link.png (missing)" in log
    listed = {}
    for split in prepared.SPLITS:
        path = own.source("pets", declared).folder / f"bad-{split}.txt"
        listed |= dict(line.split("\t") for line in path.read_text().splitlines()) if path.exists() else {}
    assert listed.keys() == {f"dog/{name}" for name in (*bad, "link.png")}
    assert all(reason in listed[f"dog/{name}"] for name, (_, reason) in bad.items())
    splits = [load(declared, split) for split in prepared.SPLITS]
    assert sorted(file.relative_to(pets).as_posix() for split in splits for file in split.files) == sorted(PETS)
    for split in splits:  # rows and files still belong together
        assert np.array_equal(split.pixels[-1].numpy(), images.examine_and_decode(split.files[-1], SIDE, SIDE)[1])


def test_a_folder_of_bad_images_is_refused(pets):
    for name in PETS:
        (pets / name).write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"all \d+ images of train are bad, cat/\d+.png \(not a picture\)"):
        ready(pets)


def test_an_interrupted_pass_goes_on(pets, decoded, monkeypatch):
    decode = images.examine_and_decode

    def interrupted(path, *how):
        if path == pets / "dog" / "9.png":
            raise KeyboardInterrupt
        return decode(path, *how)

    monkeypatch.setattr(images, "examine_and_decode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ready(pets)
    monkeypatch.setattr(images, "examine_and_decode", decode)
    done = len(decoded)
    declared, _ = ready(pets)
    assert len(decoded) < done + len(PETS)
    assert np.array_equal(
        load(declared, "train").pixels[-1].numpy(),
        images.examine_and_decode(load(declared, "train").files[-1], SIDE, SIDE)[1],
    )


def test_two_matrices_may_call_two_folders_alike(pets, tmp_path):
    shutil.copytree(pets, tmp_path / "others")
    one, _ = ready(pets)
    other, _ = ready(tmp_path / "others")
    assert own.source("pets", one).folder != own.source("pets", other).folder
    assert own.identity("pets", one) == own.identity("pets", other)


def test_what_was_altered_since_is_refused(pets):
    declared, _ = ready(pets)
    split = load(declared, "train")
    made.picture(split.files[0], 5)
    with ThreadPoolExecutor(1) as threads, pytest.raises(AlteredError, match=r"was altered .*; run again"):
        split.view([0], {"size": 8, "short_side": 8, "interpolation": "bicubic"}, threads)
