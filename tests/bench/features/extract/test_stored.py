"""What the teacher's pass stores: every sample looked at once, in values that cost no accuracy and fit the disk."""

import shutil
from dataclasses import replace

import pytest
import torch

import teachers
from bench import data
from bench.features import extract
from bench.features.extract import distil
from bench.kit import paths
from bench.kit.array_store import StoreError
from bench.measure import accuracy
from bench.plan import matrix
from tests.bench.counting import Counting
from tests.bench.features.extract.passes import ALL, TEST, TRAIN, Changed, arrays_of, assert_same, work


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


def scored(teacher, name, dataset, dtype, monkeypatch):
    monkeypatch.setattr(extract, "CHUNK", 128)
    monkeypatch.setattr(extract, "CAPTION_CHUNK", 512)
    case = next(c for c in matrix.cases(matrix.load(), "pocket") if (c.dataset, c.teacher) == (dataset, name))
    splits = data.load(dataset, "train", 256), data.load(dataset, "test", 128)
    work_ = work(teacher, False, False, dtype, name=f"{dataset}-{name}")
    distilled = distil(work_, *splits)
    return accuracy.headline(accuracy.embedded_by_teacher(case, distilled), distilled)


@pytest.mark.parametrize(
    ("name", "dataset", "metric"), [("clip", "scenes", "image_to_text_r1"), ("dino", "shapes", "knn_top1")]
)
def test_half_precision_costs_no_accuracy(name, dataset, metric, monkeypatch):
    teacher = teachers.load(name, "pocket")
    half, single = (scored(teacher, name, dataset, dtype, monkeypatch) for dtype in ("float16", "float32"))
    assert single[metric] > 10
    assert half == pytest.approx(single, abs=100 / 128)  # at most one image of 128 is another neighbour's


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


def scaled(teacher, factor):
    return Changed(teacher, image=lambda pixels: replace(said := teacher.image(pixels), pooled=said.pooled * factor))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_teacher_that_says_nothing_sensible_is_named_as_such(clip, dtype):
    with pytest.raises(StoreError, match="the teacher's pooled is not finite in fp32"):
        distil(work(scaled(clip, float("nan")), dtype=dtype), TRAIN, TEST)


def test_tokens_are_kept_only_where_they_are_needed(clip, folder):
    found = distil(work(clip, False, False), TRAIN, TEST)
    names = {path.name for path in folder.rglob("*.bin")}
    assert names == {"pooled.bin", "attention.bin", "joint.bin", "text_pooled.bin", "text_joint.bin"}
    with pytest.raises(KeyError, match="'tokens': they were stored for students that do not read it"):
        found.train.column("tokens")


def test_the_size_is_told_before_the_pass_and_the_disk_is_looked_at(clip, folder, monkeypatch):
    teacher, told, usage = Counting(clip), [], shutil.disk_usage("/")
    monkeypatch.setattr(extract, "WORTH_TELLING", 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=300_000))
    with pytest.raises(StoreError, match=r"features.*needs 0\.\d\d MB more, but its disk has only 0\.30 MB free"):
        distil(work(teacher, told=told), TRAIN, TEST)
    assert teacher.images == 2  # to see what comes out
    monkeypatch.undo()
    told.clear()
    monkeypatch.setattr(extract, "WORTH_TELLING", 0)
    monkeypatch.setenv(paths.VARIABLE, str(folder.parent))
    found = distil(work(teacher, told=told), TRAIN, TEST)
    size = sum(path.stat().st_size for path in folder.rglob("*.bin") if path.name != "text_lengths.bin")
    assert told == [f"features scenes-clip-{found.key} will take {size / 1e6:.2f} MB in {folder}"]
