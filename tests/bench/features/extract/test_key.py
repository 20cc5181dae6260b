"""The key of stored features: whatever decides them is in it, and a store that holds more serves a poorer need."""

import copy
from dataclasses import replace

import pytest
import torch

import teachers
from bench import data
from bench.features import key as feature_key
from bench.features.extract import distil
from bench.features.key import key, weights_digest
from bench.kit import paths
from bench.kit.device import machine
from bench.plan import fingerprint
from tests.bench.counting import Counting
from tests.bench.features.extract.passes import ALL, TEST, TRAIN, Changed, work


def one_weight(teacher):
    other = copy.deepcopy(teacher)
    with torch.no_grad():
        next(other.parameters()).view(-1)[-1] += 1e-6
    return other


def with_facts(**changes):
    return lambda teacher: Changed(teacher, transform=teacher.transform | changes)


OTHER_TEACHERS = [
    lambda teacher: teacher,
    one_weight,
    *(with_facts(**{name: value}) for name, value in
      {"size": 33, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "crop": True}.items()),
    lambda teacher: Changed(teacher, tokenizer=teacher.tokenizer | {"length": 31}),
    lambda teacher: Changed(teacher, scale=15.0),
    lambda teacher: Changed(teacher, reduce_to=32),
]  # fmt: skip


def with_pixel(split):
    pixels = split.pixels.clone()
    pixels[-1, -1, -1, -1] ^= 1
    return replace(split, pixels=pixels, identity="")


def with_caption(split):
    return replace(split, captions=(*split.captions[:-1], split.captions[-1] + " red"), identity="")


def in_other_order(split):
    return replace(split, pixels=split.pixels.flip(0), identity="")


def with_other_owners(split):
    return replace(split, owner=torch.cat([split.owner[:1], split.owner[:-1]]), identity="")


def in_other_shape(split):
    return replace(split, pixels=split.pixels.reshape(len(split), 3, 16, 64), identity="")


def test_whatever_decides_the_features_is_in_the_key(clip):
    digest = weights_digest(clip)
    base = work(clip)
    keys = [key(base, TRAIN, TEST, digest)]
    for change in OTHER_TEACHERS:
        other = Changed(change(clip))  # a class of the tests in any case: its code is in the key as well
        keys.append(key(work(other), TRAIN, TEST, weights_digest(other)))
    changes = ({"tokens": False}, {"text_tokens": False}, {"dtype": "float32"})
    keys += [key(work(clip, **change), TRAIN, TEST, digest) for change in changes]
    keys.append(key(replace(base, precision="bf16"), TRAIN, TEST, digest))
    for change in (with_pixel, with_caption, in_other_order, with_other_owners, in_other_shape):
        keys += [key(base, change(TRAIN), TEST, digest), key(base, TRAIN, change(TEST), digest)]
    keys.append(key(base, TEST, TRAIN, digest))
    assert len(set(keys)) == len(keys)


def test_the_key_is_that_of_the_content(clip):
    """Not of the object, the process or the user."""
    again = teachers.load("clip", "pocket")
    loaded = data.load("scenes", "train", 20), data.load("scenes", "test", 6)
    first = key(work(clip), TRAIN, TEST, weights_digest(clip))
    assert first == key(work(again), *loaded, weights_digest(again))
    assert Changed(clip).teacher is clip
    assert key(work(Changed(clip)), TRAIN, TEST, weights_digest(clip)) != first  # by another class


def test_code_is_in_the_key(clip, monkeypatch, tmp_path):
    files = {str(path.relative_to(paths.catalog.ROOT)) for path in feature_key.code(clip)}
    assert {
        "teachers/clip.py",
        "teachers/__init__.py",
        "teachers/_words.py",
        "bench/features/forward.py",
        "bench/features/gather.py",
    } <= files
    assert {
        "teachers/_timm.py",
        "bench/features/reduction.py",
        "bench/data/images.py",
        "bench/teacher_pass/__init__.py",
    } <= files
    (tmp_path / "code.py").write_text("a = 1")
    monkeypatch.setattr(feature_key, "CODE", (str(tmp_path / "code.py"),))
    first = key(work(clip), TRAIN, TEST, "")
    (tmp_path / "code.py").write_text("a = 2")
    fingerprint.digest.cache_clear()
    assert key(work(clip), TRAIN, TEST, "") != first


def test_another_version_of_a_library_is_told_and_keeps_the_key(clip, monkeypatch):
    teacher, told = Counting(clip), []
    first = distil(work(teacher), TRAIN, TEST)
    seen = teacher.images
    monkeypatch.setattr(feature_key.metadata, "version", lambda name: "99" if name == "timm" else "1")
    second = distil(work(teacher, told=told), TRAIN, TEST)
    assert second.key == first.key and teacher.images < seen + ALL
    assert len(told) == 1 and "timm" in told[0] and "(now 99)" in told[0] and first.key in told[0]


def test_the_machine_that_made_a_store_is_known_wherever_it_is_opened(clip, folder, monkeypatch):
    teacher, told = Counting(clip), []
    made = [distil(work(teacher), TRAIN, TEST).machine]
    monkeypatch.setattr(feature_key, "machine", lambda device: "another")
    made.append(distil(work(teacher), TRAIN, TEST).machine)
    assert made[0] == made[1] == machine(torch.device("cpu"))
    (about,) = folder.glob("*/about.json")
    about.write_text(about.read_text().replace("threads", "Threads"))
    assert distil(work(teacher, told=told), TRAIN, TEST).machine == "a machine that is not known"
    assert len(told) == 1 and "about.json is damaged" in told[0]


@pytest.mark.parametrize(
    ("rich", "poor", "serves"),
    [
        ((True, True, "float16"), (False, False, "float16"), True),
        ((True, True, "float16"), (True, False, "float16"), True),
        ((True, False, "float16"), (False, False, "float16"), True),
        ((True, False, "float16"), (False, True, "float16"), False),
        ((False, False, "float16"), (True, False, "float16"), False),
        ((True, True, "float32"), (False, False, "float16"), False),
    ],
)
def test_a_richer_complete_store_serves_a_poorer_need(clip, folder, rich, poor, serves):
    first, second = Counting(clip), Counting(clip)
    made = distil(work(first, *rich), TRAIN, TEST)
    found = distil(work(second, *poor), TRAIN, TEST)
    assert (found.key == made.key) == serves and (second.images < ALL) == serves
    assert ("tokens" in found.train._sources) == (poor[0] or (serves and rich[0]))
    assert len(list(folder.glob("*.lock"))) == (1 if serves else 2)


def test_a_richer_store_that_is_not_complete_does_not_serve_and_an_own_one_comes_first(clip, folder):
    rich = distil(work(clip), TRAIN, TEST).key
    (folder / f"scenes-clip-{rich}" / "complete").unlink()
    own = distil(work(clip, False, False), TRAIN, TEST).key
    assert own != rich
    distil(work(clip), TRAIN, TEST)
    assert distil(work(clip, False, False), TRAIN, TEST).key == own
