"""The teacher's pass: once over the data, whatever happens in between; and never another teacher's features."""

import copy
import multiprocessing
import os
import random
import shutil
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

import teachers
from bench import data, matrix, places, scores, teacher_pass
from bench.store import StoreError, journal
from bench.teacher_pass import Needs, Pass, distil
from bench.teacher_pass import key as feature_key
from bench.teacher_pass.key import key, weights_digest
from tests.bench.counting import Counting, silent

CPU = torch.device("cpu")
FORK = multiprocessing.get_context("fork")  # a new process would import torch and open_clip again


class Changed:
    """A teacher of which something else is said, or which says something else."""

    def __init__(self, teacher, **changes):
        self.__dict__ |= {"teacher": teacher} | changes

    def __getattr__(self, name):
        return getattr(self.teacher, name)


@pytest.fixture(scope="module")
def clip():
    return teachers.load("clip", "pocket")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A features folder of its own; chunks so small that a few images make several shards."""
    monkeypatch.setenv(places.VARIABLE, str(tmp_path / "data"))
    monkeypatch.setattr(teacher_pass, "CHUNK", 4)
    monkeypatch.setattr(teacher_pass, "CAPTION_CHUNK", 16)
    return tmp_path / "data" / "features"


def work(teacher, tokens=True, text_tokens=True, dtype="float16", told=None, name="scenes-clip"):
    say = (lambda text: None) if told is None else told.append
    return Pass(name, teacher, CPU, "fp32", Needs(tokens, text_tokens, dtype), say, silent)


TRAIN, TEST = data.load("scenes", "train", 20), data.load("scenes", "test", 6)
ALL = 26  # images of both; each has five captions


def arrays_of(distilled):
    """All that students may read, by split and name."""
    return {
        f"{name} {array}": values.clone()
        for name, features in (("train", distilled.train), ("test", distilled.test))
        for array, values in features._sources.items()
    }


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


@pytest.fixture(scope="module")
def good(clip):
    """What an undisturbed pass stores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teacher_pass, "CHUNK", 4)
        patch.setattr(teacher_pass, "CAPTION_CHUNK", 16)
        return arrays_of(distil(work(Counting(clip)), TRAIN, TEST))


def test_every_sample_is_looked_at_once_in_order_and_never_again(clip, good):
    teacher = Counting(clip)
    distilled = distil(work(teacher), TRAIN, TEST)
    assert (teacher.images, teacher.captions) == (ALL + 2, 5 * ALL + 2)  # and one of each split to see what comes out
    for split, features in ((TRAIN, distilled.train), (TEST, distilled.test)):
        said = clip.image(split.pixels)
        assert torch.allclose(features._sources["pooled"].float(), said.pooled, atol=2e-3, rtol=1e-3)
        assert torch.allclose(features._sources["tokens"][:, 1:].float(), said.patches, atol=2e-3, rtol=1e-3)
        assert torch.allclose(features._sources["attention"].float(), said.attention, atol=1e-5, rtol=1e-3)
        assert torch.allclose(features.joint, said.joint, atol=1e-3)
        assert torch.allclose(features.text_joint, clip.text(split.captions).joint, atol=1e-3)
        assert all(array.dtype == torch.float16 for array in features._sources.values() if array.is_floating_point())
    again = distil(work(teacher), TRAIN, TEST)
    sampled = 16 + 6  # of 20 and of 6 images
    assert (teacher.images, teacher.captions) == (ALL + 4 + sampled, 5 * ALL + 4 + 32)
    assert_same(arrays_of(again), good)
    assert again.seconds == distilled.seconds > 0 and again.key == distilled.key


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
        other = Changed(change(clip))  # a class of this file in any case: its code is in the key as well
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
    files = {str(path.relative_to(places.catalog.ROOT)) for path in feature_key.code(clip)}
    assert {
        "teachers/clip.py",
        "teachers/__init__.py",
        "teachers/pocket/words.py",
        "bench/teacher_pass/ask.py",
        "bench/teacher_pass/gather.py",
    } <= files
    assert {
        "teachers/_timm.py",
        "bench/teacher_pass/reduction.py",
        "bench/prepare/images.py",
        "bench/teacher_pass/__init__.py",
    } <= files
    (tmp_path / "code.py").write_text("a = 1")
    monkeypatch.setattr(feature_key, "CODE", (str(tmp_path / "code.py"),))
    first = key(work(clip), TRAIN, TEST, "")
    (tmp_path / "code.py").write_text("a = 2")
    assert key(work(clip), TRAIN, TEST, "") != first


def test_another_version_of_a_library_is_told_and_keeps_the_key(clip, monkeypatch):
    teacher, told = Counting(clip), []
    first = distil(work(teacher), TRAIN, TEST)
    seen = teacher.images
    monkeypatch.setattr(feature_key.metadata, "version", lambda name: "99" if name == "timm" else "1")
    second = distil(work(teacher, told=told), TRAIN, TEST)
    assert second.key == first.key and teacher.images < seen + ALL
    assert len(told) == 1 and "timm" in told[0] and "(now 99)" in told[0] and first.key in told[0]


def test_a_pass_that_fails_goes_on_where_it_was(clip, good):
    teacher = Counting(clip)

    def fail():
        if teacher.images >= 14:
            raise ZeroDivisionError("the teacher")

    teacher.before = fail
    with pytest.raises(ZeroDivisionError, match="the teacher"):
        distil(work(teacher), TRAIN, TEST)
    teacher.before, teacher.images = (lambda: None), 0
    told = []
    assert_same(arrays_of(distil(work(teacher, told=told), TRAIN, TEST)), good)
    assert teacher.images == 2 + (ALL - 8) + 16  # examples, all but a shard of 8 images, and the sample
    assert any("1 of 3 shards are complete" in text for text in told)


def run(teacher, kept=None):
    torch.set_num_threads(1)
    found = arrays_of(distil(work(teacher), TRAIN, TEST))
    if kept:
        torch.save(found, kept)


def complete_shards(folder):
    """How many shards of each store are complete."""
    return {path.parent.name: len(journal.read(path)) for path in folder.glob("*/*/journal.jsonl")}


def test_a_pass_that_is_killed_again_and_again_ends_with_the_same_bytes(clip, good, folder):
    for _ in range(3):
        before = sum(complete_shards(folder).values())
        process = FORK.Process(target=run, args=(Counting(clip, before=lambda: time.sleep(0.02)),))
        process.start()
        while sum(complete_shards(folder).values()) == before:
            time.sleep(0.005)
        time.sleep(random.uniform(0, 0.08))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    complete = complete_shards(folder)
    assert complete["train-images"] and complete.get("test-captions", 0) == 0  # somewhere in between
    teacher = Counting(clip)
    assert_same(arrays_of(distil(work(teacher), TRAIN, TEST)), good)
    rows = {"train-images": (20, 8), "test-images": (6, 8), "train-captions": (100, 32)}
    spared = {name: min(count, shard * complete.get(name, 0)) for name, (count, shard) in rows.items()}
    images, captions = spared["train-images"] + spared["test-images"], spared["train-captions"]
    sampled = sum(min(16, rows[name][0]) for name in ("train-images", "test-images") if spared[name])
    assert teacher.images == ALL - images + 2 + sampled  # all that is missing, two examples and the samples
    assert teacher.captions == 5 * ALL - captions + 2 + (16 if captions else 0)
    assert next(folder.glob("scenes-clip-*/complete")).exists()


def test_two_processes_at_once_pass_once(clip, good, tmp_path):
    log, kept = tmp_path / "log", [tmp_path / "first.pt", tmp_path / "second.pt"]
    teacher = Counting(clip, log, lambda: time.sleep(0.01))
    processes = [FORK.Process(target=run, args=(teacher, path)) for path in kept]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    counts = [int(line.split()[1]) for line in log.read_text().splitlines() if line.startswith("image")]
    assert sum(counts) == ALL + 4 + 16 + 6  # one pass, two examples each, and the second one's samples
    for path in kept:
        assert_same(torch.load(path), good)


def assert_right_or_refused(teacher, good, told):
    """Arrays as they were, or an error that names what is wrong."""
    try:
        found = distil(work(teacher, told=told), TRAIN, TEST)
    except StoreError as error:
        assert "scenes-clip-" in str(error)
        return
    assert_same(arrays_of(found), good)


def test_no_flipped_byte_in_any_file_is_ever_used(clip, good, folder):
    distil(work(clip), TRAIN, TEST)
    shutil.copytree(folder, folder.with_name("kept"))
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    assert {path.name for path in files} >= {"text_lengths.bin", "text_tokens.bin", "about.json", "plan.json"}
    chance = random.Random(0)
    for file in [*files, *chance.choices(files, k=10)]:
        content = bytearray((folder / file).read_bytes())
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        (folder / file).write_bytes(content)
        told = []
        assert_right_or_refused(clip, good, told)
        assert told or file.name in ("about.json", "lock.holder")
        shutil.rmtree(folder)
        shutil.copytree(folder.with_name("kept"), folder)


@pytest.mark.parametrize("name", ["tokens", "joint", "text_tokens", "text_pooled"])
def test_a_store_of_shifted_rows_with_right_digests_is_refused(clip, folder, name):
    """As a bug in the order of rows would leave it: only the live teacher can tell."""
    found = distil(work(clip), TRAIN, TEST)
    part = "train-captions" if name.startswith("text") else "train-images"
    place = folder / f"scenes-clip-{found.key}" / part
    shape = found.train._sources[name].shape
    values = np.fromfile(place / f"{name}.bin", "float16").reshape(shape)
    np.roll(values, 1, axis=0).tofile(place / f"{name}.bin")
    forge(work(clip), place)
    with pytest.raises(StoreError, match=rf"\(key {found.key}\) do not agree with the live teacher: {name} differs by"):
        distil(work(clip), TRAIN, TEST)


def forge(work, place):
    """Give a store's journal the digests of what lies there now."""
    from bench.store import _digest_on_disk

    _, folder = feature_key.keyed(work, TRAIN, TEST, weights_digest(work.teacher))
    parts = teacher_pass._parts(work, folder / place.name.partition("-")[0], TRAIN, teacher_pass.Reduction(), None)
    plan = next(part.plan for part in parts if part.plan.folder == place)
    assert plan.is_complete()
    entries = [
        journal.Entry(number, {array.name: _digest_on_disk(plan, array, shard) for array in plan.arrays}, 1.0)
        for number, shard in enumerate(plan.shards)
    ]
    journal.rewrite(plan.journal, entries)


@pytest.mark.parametrize("change", [lambda said: {"lengths": said.lengths - 1}, lambda said: {"tokens": -said.tokens}])
def test_a_teacher_that_says_something_else_under_the_same_key_is_noticed(clip, change):
    """As another version of a library may make it."""
    distil(work(Changed(clip)), TRAIN, TEST)
    other = Changed(clip, text=lambda captions: replace(said := clip.text(captions), **change(said)))
    with pytest.raises(StoreError, match="do not agree with the live teacher: text_tokens differs by"):
        distil(work(other), TRAIN, TEST)


def scaled(teacher, factor):
    return Changed(teacher, image=lambda pixels: replace(said := teacher.image(pixels), pooled=said.pooled * factor))


def test_overflow_is_an_error_that_says_what_to_do(clip):
    loud = scaled(clip, 1e6)
    with pytest.raises(
        StoreError, match=r"scenes-clip.* pooled has values beyond float16, up to .*; .*'features: float32' in mat"
    ):
        distil(work(loud), TRAIN, TEST)
    pooled = distil(work(loud, dtype="float32"), TRAIN, TEST).train._sources["pooled"]
    assert pooled.dtype == torch.float32 and torch.equal(pooled, 1e6 * clip_pooled(clip))


def clip_pooled(clip):
    return torch.cat([clip.image(part).pooled for part in TRAIN.pixels.split(4)])


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_teacher_that_says_nothing_sensible_is_named_as_such(clip, dtype):
    with pytest.raises(StoreError, match="the teacher's pooled is not finite in fp32"):
        distil(work(scaled(clip, float("nan")), dtype=dtype), TRAIN, TEST)


def scored(teacher, name, dataset, dtype, monkeypatch):
    monkeypatch.setattr(teacher_pass, "CHUNK", 128)
    monkeypatch.setattr(teacher_pass, "CAPTION_CHUNK", 512)
    case = next(c for c in matrix.cases(matrix.load(), "pocket") if (c.dataset, c.teacher) == (dataset, name))
    splits = data.load(dataset, "train", 256), data.load(dataset, "test", 128)
    work_ = work(teacher, False, False, dtype, name=f"{dataset}-{name}")
    distilled = distil(work_, *splits)
    return scores.headline(scores.embedded_by_teacher(case, distilled), distilled)


@pytest.mark.parametrize(
    ("name", "dataset", "metric"), [("clip", "scenes", "image_to_text_r1"), ("dino", "shapes", "knn_top1")]
)
def test_half_precision_costs_no_accuracy(name, dataset, metric, monkeypatch):
    teacher = teachers.load(name, "pocket")
    half, single = (scored(teacher, name, dataset, dtype, monkeypatch) for dtype in ("float16", "float32"))
    assert single[metric] > 10
    assert half == pytest.approx(single, abs=100 / 128)  # at most one image of 128 is another neighbour's


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


def test_tokens_are_kept_only_where_they_are_needed(clip, folder):
    found = distil(work(clip, False, False), TRAIN, TEST)
    names = {path.name for path in folder.rglob("*.bin")}
    assert names == {"pooled.bin", "attention.bin", "joint.bin", "text_pooled.bin", "text_joint.bin"}
    with pytest.raises(KeyError, match="'tokens': they were stored for students that do not read it"):
        found.train.column("tokens")


def test_the_size_is_told_before_the_pass_and_the_disk_is_looked_at(clip, folder, monkeypatch):
    teacher, told, usage = Counting(clip), [], shutil.disk_usage("/")
    monkeypatch.setattr(teacher_pass, "WORTH_TELLING", 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=300_000))
    with pytest.raises(StoreError, match=r"features.*needs 0\.\d\d MB more, but its disk has only 0\.30 MB free"):
        distil(work(teacher, told=told), TRAIN, TEST)
    assert teacher.images == 2  # to see what comes out
    monkeypatch.undo()
    told.clear()
    monkeypatch.setattr(teacher_pass, "WORTH_TELLING", 0)
    monkeypatch.setenv(places.VARIABLE, str(folder.parent))
    found = distil(work(teacher, told=told), TRAIN, TEST)
    size = sum(path.stat().st_size for path in folder.rglob("*.bin") if path.name != "text_lengths.bin")
    assert told == [f"features scenes-clip-{found.key} will take {size / 1e6:.2f} MB in {folder}"]


def test_a_store_is_not_marked_complete_while_some_of_it_is_missing(clip, folder):
    teacher, seen = Counting(clip), []
    place = folder / f"scenes-clip-{distil(work(teacher), TRAIN, TEST).key}"
    (place / "test-images" / "journal.jsonl").unlink()
    teacher.before = lambda: seen.append((place / "complete").exists())
    distil(work(teacher), TRAIN, TEST)
    assert not any(seen[4:]) and len(seen) > 4  # four examples come first
    assert (place / "complete").exists()
