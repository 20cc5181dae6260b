"""Features as students read them: whole on the device or streamed, pooled or as tokens, always the same."""

import threading
import time

import pytest
import torch

from bench import data
from bench.data.split import Split
from bench.features import columns
from bench.features.columns import Features, Rows, drawn_captions, free_bytes, in_order
from bench.features.extract import extract
from bench.measure import model
from bench.plan import matrix
from students import Dims, build
from tests.bench.features.passes import CPU, TEST, TRAIN, assert_close, rows, work

TARGETS = ("attention", "joint")
BLANK = Split(torch.zeros(1, 3, 2, 2, dtype=torch.uint8))


def captioned(*captions):
    """A split of images that have one caption each."""
    pixels = data.load("scenes", "test", len(captions)).pixels
    return Split(pixels, captions=captions, owner=torch.arange(len(captions)))


def test_rows_stay_in_order(clip):
    features = extract(work(clip), TRAIN, TEST).train
    image, tokens = clip.image(TRAIN.pixels[17:18]), features.column("tokens").take(rows(17))
    assert_close(tokens, torch.cat([image.pooled[:, None], image.patches], dim=1))
    texts, lengths = features.texts(rows(93), "tokens")
    caption = clip.text(TRAIN.captions[93:94])
    assert torch.equal(lengths, caption.lengths)
    assert_close(texts, caption.tokens)


def test_texts_are_the_teachers_of_a_padded_batch(clip):
    """Captions of one word and of many; any batch of them, also with repeats, in any order, and of equal length."""
    captions = ("red", "a", "a small red circle at the top left", "blue square", "a green ring", "red", "a black star")
    features = extract(work(clip), captioned(*captions), captioned(*captions[:2])).train
    for numbers in ([0], [1, 0], [0, 1, 2, 3, 4, 5, 6], [6, 2, 2, 0], [2, 6, 1], [4, 6]):
        text = clip.text([captions[number] for number in numbers])
        tokens, lengths = features.texts(rows(*numbers), "tokens")
        assert tokens.shape == text.tokens.shape and torch.equal(lengths, text.lengths)
        for ours, theirs, length in zip(tokens, text.tokens, lengths, strict=True):
            assert_close(ours[:length], theirs[:length])
            assert (ours[length:] == ours[length - 1]).all()  # beyond a caption: its last token, and nothing else
        assert_close(features.texts(rows(*numbers), "pooled")[0], text.pooled)


@pytest.mark.parametrize("student", ["attention", "projection", "resnet"])
def test_both_paths_give_the_same_batches_and_embeddings(clip, monkeypatch, student):
    split = data.load("scenes", "train", 40)
    case = next(c for c in matrix.cases(matrix.load(), "pocket") if (c.teacher, c.student) == ("clip", student))
    images = Rows(torch.randperm(40, generator=torch.Generator().manual_seed(0)), CPU)

    def batches():
        features = extract(work(clip), split, split).train
        resident = features.resident(case.reads, "attention", "joint", f"text_{case.text_reads}", "text_joint")

        def fetch(step):
            part = images[8 * step : 8 * step + 8]
            return features.batch(part, Rows(part.cpu * 5 + step % 5, CPU), case.reads, case.text_reads, TARGETS)

        tensors = [tensor for batch in in_order(range(5), fetch, CPU, resident) for tensor in batch.tensors()]
        built = build(case.student, Dims(features.width, trunk="pocket"), case.kind)
        return resident, [
            *tensors,
            model.embed(built, case, features),
            model.embed(built, case, features, captions=True),
        ]

    resident, first = batches()
    monkeypatch.setattr(columns, "free_bytes", lambda device: 0)
    streamed, second = batches()
    assert resident and not streamed and len(first) == len(second) >= 27
    assert all(torch.equal(one, other) and one.dtype == other.dtype for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("spare", [0, -1])
def test_an_array_that_fits_goes_to_the_device_whole_and_once(monkeypatch, spare):
    monkeypatch.setattr(columns, "free_bytes", lambda device: 2000 / columns.SHARE["cpu"] + spare)
    source = torch.arange(1000, dtype=torch.float16)
    features = Features(BLANK, {"joint": source}, 1.0, CPU)
    column = features.column("joint")
    assert features.column("pixels").take(rows(0)).dtype == torch.uint8
    assert column is features.column("joint") and features.resident("joint") == column.resident == (spare == 0)
    assert (column.source.data_ptr() == source.data_ptr()) != column.resident
    assert torch.equal(column.take(rows(3, 999, 3)), torch.tensor([3.0, 999.0, 3.0]))


def test_one_array_that_does_not_fit_keeps_no_other_from_the_device(monkeypatch):
    features = Features(BLANK, {"tokens": torch.zeros(1000), "joint": torch.zeros(10)}, 1.0, CPU)
    monkeypatch.setattr(columns, "free_bytes", lambda device: 100 / columns.SHARE["cpu"])
    assert not features.resident("tokens", "joint")
    assert {name: column.resident for name, column in features._columns.items()} == {"tokens": False, "joint": True}
    features.only("joint", "pixels")
    assert set(features._columns) == {"joint"}


def test_free_memory_is_the_systems_and_what_pytorch_holds_unused(monkeypatch):
    assert 2**20 < free_bytes(CPU) < 2**50
    for name, value in {"mem_get_info": (100, 1000), "memory_reserved": 700, "memory_allocated": 300}.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    assert free_bytes(torch.device("cuda", 0)) == 500


def test_captions_are_drawn_evenly_and_belong_to_their_image():
    owner, generator = torch.tensor([0, 0, 1, 1, 1, 2, 2, 2, 2]), torch.Generator().manual_seed(0)
    counts = torch.zeros(9)
    for _ in range(3000):
        drawn = drawn_captions(owner, torch.arange(3), generator)
        assert owner[drawn].tolist() == [0, 1, 2]
        counts[drawn] += 1
    expected = 3000 / torch.bincount(owner)[owner]
    assert ((counts - expected).abs() < 5 * expected.sqrt()).all()


def test_an_error_comes_after_the_results_before_it():
    results, reciprocals = [], lambda: (1 / (3 - job) for job in range(5))
    for jobs, fetch in ((range(5), lambda job: 1 / (3 - job)), (reciprocals(), float)):
        with pytest.raises(ZeroDivisionError):
            for result in in_order(jobs, fetch, CPU, False):
                results.append(result)
    assert results == 2 * [1 / 3, 1 / 2, 1]


def test_who_stops_early_does_not_hang_and_leaves_no_thread():
    before = threading.active_count()
    for _ in in_order(range(10**9), lambda job: job, CPU, False):
        break
    assert threading.active_count() == before


def test_streaming_works_one_job_ahead_and_no_more():
    begun, results = [], []
    for result in in_order(range(5), lambda job: begun.append(job) or job, CPU, False):
        results.append(result)
        time.sleep(0.02)
        assert len(begun) == min(5, len(results) + 1)
    assert results == [0, 1, 2, 3, 4]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("free", [0, 2**33])
def test_no_batch_waits_for_the_device(clip, monkeypatch, free):
    """On CUDA a wait is an error here, whether features lie on the device or are streamed."""
    split, device = data.load("scenes", "train", 40), torch.device("cuda", 0)
    monkeypatch.setattr(columns, "free_bytes", lambda device: free)
    here = extract(work(clip), split, split).train
    there = Features(split, {**here._sources, "text_lengths": here.lengths}, here.scale, device)
    names = ("tokens", "attention", "joint", "text_tokens", "text_joint")
    assert there.resident(*names) == bool(free)
    images = Rows(torch.arange(40), device)

    def fetch(step, features=there):
        part = images[8 * step : 8 * step + 8]
        part = part if features is there else Rows(part.cpu, CPU)
        return features.batch(part, Rows(part.cpu * 5, features.device), "tokens", "tokens", TARGETS)

    torch.cuda.set_sync_debug_mode("error")
    try:
        batches = list(in_order(range(5), fetch, device, bool(free)))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for step, batch in enumerate(batches):
        pairs = zip(batch.tensors(), fetch(step, here).tensors(), strict=True)
        assert all(torch.equal(one.cpu(), other) for one, other in pairs)
