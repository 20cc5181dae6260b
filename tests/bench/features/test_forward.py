"""What a pass asks of the teacher, by which key it is known, and what does not fit its stored type."""

import copy
from dataclasses import replace

import pytest
import torch

import teachers
from bench import data
from bench.features import forward
from bench.features.device import machine
from bench.features.extract import StoreError, extract
from bench.features.forward import key, weights_digest
from bench.kit.paths import ROOT
from bench.plan import fingerprint
from tests.bench.counting import Counting
from tests.bench.features.passes import ALL, CPU, TEST, TRAIN, Changed, assert_same, work


def scaled(teacher, factor):
    def image(pixels):
        features = teacher.image(pixels)
        return replace(features, pooled=features.pooled * factor)

    return Changed(teacher, image=image)


def test_overflow_is_an_error_that_names_the_remedy(clip):
    loud = scaled(clip, 1e6)
    message = r"scenes-clip.* pooled has values beyond float16, up to .*; .*'features: float32' in mat"
    with pytest.raises(StoreError, match=message):
        extract(work(loud), TRAIN, TEST)
    pooled = extract(work(loud, dtype="float32"), TRAIN, TEST).train._sources["pooled"]
    expected = torch.cat([loud.image(part).pooled for part in TRAIN.pixels.split(4)])
    assert pooled.dtype == torch.float32 and torch.equal(pooled, expected)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_teacher_whose_features_are_not_finite_is_named(clip, dtype):
    with pytest.raises(StoreError, match="the teacher's pooled is not finite in fp32"):
        extract(work(scaled(clip, float("nan")), dtype=dtype), TRAIN, TEST)


@pytest.mark.parametrize("tokens", [True, False])
def test_tokens_are_taken_only_where_they_are_needed(clip, tokens):
    one = work(clip, tokens, tokens)
    images, texts = one.images(TEST.pixels, None), one.texts(list(TEST.captions), None)
    assert images.keys() == {"pooled", "attention", "joint"} | ({"tokens"} if tokens else set())
    assert texts.keys() == {"text_pooled", "text_joint"} | ({"text_tokens"} if tokens else set())
    live, text = clip.image(TEST.pixels), clip.text(TEST.captions)
    assert_same({"image": images["pooled"], "text": texts["text_joint"]}, {"image": live.pooled, "text": text.joint})
    if tokens:
        assert_same({"patches": images["tokens"][:, 1:]}, {"patches": live.patches})
        assert len(texts["text_tokens"]) == text.lengths.sum()  # without padding


def test_a_cpu_passes_fewer_large_images_at_once(clip, monkeypatch):
    """Each feature is what all images at once give it, in their order."""
    sizes, whole = [], work(clip).images(TRAIN.pixels, None)

    def image(pixels):
        sizes.append(len(pixels))
        return clip.image(pixels)

    monkeypatch.setattr("bench.features.device.CACHED", 8 * clip.size**2)
    parts = work(Changed(clip, image=image)).images(TRAIN.pixels, None)
    assert sizes == [8, 8, 4]
    assert parts.keys() == whole.keys()
    for name, values in whole.items():
        torch.testing.assert_close(parts[name], values, msg=name)


def test_a_cpu_passes_fewer_captions_at_once_than_it_stores(clip, monkeypatch):
    sizes, captions = [], list(TEST.captions[:11])
    whole = work(clip).texts(captions, None)

    def text(captions):
        sizes.append(len(captions))
        return clip.text(captions)

    monkeypatch.setattr("bench.features.forward.CAPTIONS_ON_CPU", 4)
    parts = work(Changed(clip, text=text)).texts(captions, None)
    assert sizes == [4, 4, 3]
    assert parts.keys() == whole.keys() and "text_tokens" in parts
    for name, values in whole.items():
        torch.testing.assert_close(parts[name], values, msg=name)


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
      {"size": 33, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "short_side": 36}.items()),
    lambda teacher: Changed(teacher, tokenizer=teacher.tokenizer | {"length": 31}),
    lambda teacher: Changed(teacher, scale=15.0),
    lambda teacher: Changed(teacher, reduce_to=32),
]  # fmt: skip


def with_pixel(split):
    pixels = split.pixels.clone()
    pixels[-1, -1, -1, -1] ^= 1
    return pixels


OTHER_DATA = [
    lambda split: {"pixels": with_pixel(split)},
    lambda split: {"captions": (*split.captions[:-1], split.captions[-1] + " red")},
    lambda split: {"pixels": split.pixels.flip(0)},
    lambda split: {"owner": torch.cat([split.owner[:1], split.owner[:-1]])},
    lambda split: {"pixels": split.pixels.reshape(len(split), 3, 16, 64)},
]


def test_whatever_decides_the_features_is_in_the_key(clip):
    digest = weights_digest(clip)
    base = work(clip)
    keys = [key(base, TRAIN, TEST, digest), key(base, TEST, TRAIN, digest)]
    for change in OTHER_TEACHERS:
        other = Changed(change(clip))  # a class of the tests in any case: its code is in the key as well
        keys.append(key(work(other), TRAIN, TEST, weights_digest(other)))
    for change in ({"tokens": False}, {"text_tokens": False}, {"dtype": "float32"}):
        keys.append(key(work(clip, **change), TRAIN, TEST, digest))
    keys.append(key(replace(base, precision="bf16"), TRAIN, TEST, digest))
    for change in OTHER_DATA:
        train, test = (replace(split, **change(split), identity="") for split in (TRAIN, TEST))
        keys += [key(base, train, TEST, digest), key(base, TRAIN, test, digest)]
    assert len(set(keys)) == len(keys)


def test_the_key_is_that_of_the_content(clip):
    """Not of the object, the process or the user."""
    again = teachers.load("clip", "pocket")
    splits = data.load("scenes", "train", 20), data.load("scenes", "test", 6)
    assert key(work(clip), TRAIN, TEST, weights_digest(clip)) == key(work(again), *splits, weights_digest(again))


@pytest.mark.parametrize(
    ("file", "counts"),
    [("teachers/clip.py", True), ("teachers/_words.py", True), ("bench/features/forward.py", True), ("bench/data/images.py", True),
     ("teachers/dino.py", False), ("bench/training/clock.py", False)],
)  # fmt: skip
def test_the_code_that_makes_the_features_is_in_the_key(clip, monkeypatch, file, counts):
    before, digest = key(work(clip), TRAIN, TEST, ""), fingerprint.digest
    monkeypatch.setattr(fingerprint, "digest", lambda path: "other" if path == ROOT / file else digest(path))
    assert (key(work(clip), TRAIN, TEST, "") != before) == counts


def test_another_version_of_a_library_is_logged_and_keeps_the_key(clip, monkeypatch):
    teacher, log = Counting(clip), []
    first = extract(work(teacher), TRAIN, TEST)
    images = teacher.images
    monkeypatch.setattr(forward.metadata, "version", lambda name: "99" if name == "timm" else "1")
    second = extract(work(teacher, log=log), TRAIN, TEST)
    assert second.key == first.key and teacher.images < images + ALL
    assert len(log) == 1 and "timm" in log[0] and "(now 99)" in log[0] and first.key in log[0]


def test_the_machine_that_made_a_store_is_known_wherever_it_is_opened(clip, folder, monkeypatch):
    log, machines = [], [extract(work(clip), TRAIN, TEST).machine]
    monkeypatch.setattr(forward, "machine", lambda device: "another")
    machines.append(extract(work(clip), TRAIN, TEST).machine)
    assert machines == [machine(CPU)] * 2
    (about,) = folder.glob("*/about.json")
    about.write_text(about.read_text().replace("threads", "Threads"))
    assert extract(work(clip, log=log), TRAIN, TEST).machine == "a machine that is not known"
    assert len(log) == 1 and "about.json is damaged" in log[0]


@pytest.mark.parametrize(
    ("rich", "poor", "serves"),
    [
        ((True, True, "float16"), (False, False, "float16"), True),
        ((True, False, "float16"), (False, False, "float16"), True),
        ((True, False, "float16"), (False, True, "float16"), False),
        ((False, False, "float16"), (True, False, "float16"), False),
        ((True, True, "float32"), (False, False, "float16"), False),
    ],
)
def test_a_richer_complete_store_serves_a_poorer_need(clip, folder, rich, poor, serves):
    teacher = Counting(clip)
    first, second = extract(work(Counting(clip), *rich), TRAIN, TEST), extract(work(teacher, *poor), TRAIN, TEST)
    assert (second.key == first.key) == serves and (teacher.images < ALL) == serves
    assert ("tokens" in second.train._sources) == (poor[0] or (serves and rich[0]))
    assert len(list(folder.glob("*.lock"))) == (1 if serves else 2)


def test_a_richer_store_that_is_not_complete_does_not_serve_and_an_own_one_comes_first(clip, folder):
    rich = extract(work(clip), TRAIN, TEST).key
    (folder / f"scenes-clip-{rich}" / "complete").unlink()
    own = extract(work(clip, False, False), TRAIN, TEST).key
    assert own != rich
    extract(work(clip), TRAIN, TEST)
    assert extract(work(clip, False, False), TRAIN, TEST).key == own
