"""Features as students read them: whole on the device or streamed, pooled or as tokens, always the same."""

import threading
import time

import pytest
import torch

import teachers
from bench import data
from bench.data import Split
from bench.features import columns
from bench.features.columns import Column, Features, Rows, free_bytes, in_order
from bench.features.extract import Needs, Pass, distil
from bench.kit import paths
from bench.kit.prefetch import prefetch
from bench.measure import embed
from bench.plan import matrix
from students import Dims, build
from tests.bench.counting import Counting, silent

CPU = torch.device("cpu")


def distilled(teacher, train, test, needs=Needs(True, True)):  # noqa: B008
    return distil(Pass("scenes-clip", teacher, CPU, "fp32", needs, lambda text: None, silent), train, test)


@pytest.fixture(scope="module")
def clip():
    return teachers.load("clip", "pocket")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(paths.VARIABLE, str(tmp_path))


def test_every_sample_is_looked_at_once_and_rows_stay_in_order(clip):
    split = data.load("scenes", "test", 300)  # more than one chunk
    teacher = Counting(clip)
    found = distilled(teacher, split, data.load("scenes", "test", 1)).train
    assert (teacher.images, teacher.captions) == (300 + 3, 1500 + 7)  # and a split of one image, and two examples
    row = clip.image(split.pixels[270:271])
    tokens = found.column("tokens").take(Rows(torch.tensor([270]), CPU))
    assert torch.allclose(tokens[0, 0], row.pooled[0], atol=2e-3, rtol=1e-3)
    assert torch.allclose(tokens[0, 1:], row.patches[0], atol=2e-3, rtol=1e-3)
    caption = clip.text(split.captions[1400:1401])
    length = int(caption.lengths[0])
    texts, lengths = found.texts(Rows(torch.tensor([1400]), CPU), "tokens")
    assert lengths.tolist() == [length] and texts.shape[1] == length
    assert torch.allclose(texts[0], caption.tokens[0], atol=2e-3, rtol=1e-3)


CAPTIONS = (
    "red",
    "a",
    "a small red circle at the top left",
    "blue square",
    "a green ring",
    "red",
    "there is a black star",
)


def told(captions):
    """A split of images that have one caption each."""
    pixels = data.load("scenes", "test", len(captions)).pixels
    return Split(pixels, captions=captions, owner=torch.arange(len(captions)))


def test_texts_are_what_the_teacher_says_of_a_padded_batch(clip):
    """Captions of one word and of many; any batch of them, also with repeats and in any order."""
    found = distilled(clip, told(CAPTIONS), told(CAPTIONS[:2])).train
    for rows in ([0], [1, 0], [0, 1, 2, 3, 4, 5, 6], [6, 2, 2, 0], [2, 6, 1]):
        said = clip.text([CAPTIONS[row] for row in rows])
        tokens, lengths = found.texts(Rows(torch.tensor(rows), CPU), "tokens")
        assert tokens.shape == said.tokens.shape and torch.equal(lengths, said.lengths)
        for ours, theirs, length in zip(tokens, said.tokens, lengths, strict=True):
            assert torch.allclose(ours[:length], theirs[:length], atol=2e-3, rtol=1e-3)
            assert (ours[length:] == ours[length - 1]).all()  # beyond a caption: its last token, and nothing else
        (pooled,) = found.texts(Rows(torch.tensor(rows), CPU), "pooled")
        assert torch.allclose(pooled, said.pooled, atol=2e-3, rtol=1e-3)


def test_captions_of_equal_length_need_no_padding(clip):
    captions = ("a red circle", "a blue star", "a green ring")
    found = distilled(clip, told(captions), told(captions)).test
    tokens, lengths = found.texts(Rows(torch.arange(3), CPU), "tokens")
    assert tokens.shape[1] == 5 and lengths.tolist() == [5, 5, 5]  # a first token and the end
    assert torch.allclose(tokens, clip.text(captions).tokens, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("student", ["attention", "projection", "resnet"])
def test_both_paths_give_the_same_batches_and_embeddings(clip, monkeypatch, student):
    split = data.load("scenes", "train", 40)
    case = next(c for c in matrix.cases(matrix.load(), "pocket") if (c.teacher, c.student) == ("clip", student))
    columns = (case.reads, "attention", "joint", f"text_{case.text_reads}", "text_joint")

    def batches():
        found = distilled(clip, split, split).train
        resident = found.resident(*columns)
        images = Rows(torch.randperm(40, generator=torch.Generator().manual_seed(0)), CPU)

        def fetch(step):
            part = Rows.sliced(images, 8 * step, 8 * step + 8)
            return found.batch(part, Rows(part.cpu * 5 + step % 5, CPU), case.reads, case.text_reads)

        whole = [[*batch.tensors()] for batch in in_order(range(5), fetch, CPU, resident)]
        made = build(case.student, Dims(found.width, trunk="pocket"), case.kind)
        return resident, whole, embed.embed(made, case, found), embed.embed_captions(made, case, found)

    resident, first, images, texts = batches()
    monkeypatch.setattr(columns, "free_bytes", lambda device: 0)
    streamed, second, other_images, other_texts = batches()
    assert resident and not streamed
    for one, other in zip(first, second, strict=True):
        assert len(one) == len(other) >= 5
        assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(one, other, strict=True))
    assert torch.equal(images, other_images) and torch.equal(texts, other_texts)


def test_what_fits_goes_to_the_device_whole_and_once(monkeypatch):
    source = torch.arange(1000, dtype=torch.float16)
    found = Features(Split(torch.zeros(1, 3, 2, 2, dtype=torch.uint8)), {"joint": source}, 1.0, CPU)
    for free, resident in ((2000 / columns.SHARE["cpu"], True), (2000 / columns.SHARE["cpu"] - 1, False)):
        monkeypatch.setattr(columns, "free_bytes", lambda device, free=free: free)
        column = Column(source, CPU)
        assert column.resident == resident
        assert (column.source.data_ptr() == source.data_ptr()) != resident
        assert torch.equal(column.take(Rows(torch.tensor([3, 999, 3]), CPU)), torch.tensor([3.0, 999.0, 3.0]))
    assert found.column("joint") is found.column("joint") and not found.resident("joint")


def test_one_array_that_does_not_fit_keeps_no_other_from_the_device(monkeypatch):
    arrays = {"tokens": torch.zeros(1000), "joint": torch.zeros(10)}
    found = Features(Split(torch.zeros(1, 3, 2, 2, dtype=torch.uint8)), arrays, 1.0, CPU)
    monkeypatch.setattr(columns, "free_bytes", lambda device: 100 / columns.SHARE["cpu"])
    assert not found.resident("tokens", "joint")
    assert {name: column.resident for name, column in found._columns.items()} == {"tokens": False, "joint": True}
    other = found.with_targets(("joint",))
    other.only("joint", "pixels")
    assert set(found._columns) == {"joint"}


def test_free_memory_is_the_systems():
    assert 2**20 < columns.free_bytes(CPU) < 2**50


def test_memory_that_pytorch_holds_and_does_not_use_is_free(monkeypatch):
    told = {"mem_get_info": (100, 1000), "memory_reserved": 700, "memory_allocated": 300}
    for name, value in told.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    assert free_bytes(torch.device("cuda", 0)) == 500


def test_integers_stay_integers():
    column = Column(torch.arange(256, dtype=torch.uint8), CPU)
    assert column.take(Rows(torch.tensor([255]), CPU)).dtype == torch.uint8


def test_features_that_were_not_stored_are_named(clip):
    split = data.load("scenes", "train", 4)
    found = distilled(clip, split, split, Needs(False, False)).train
    with pytest.raises(KeyError, match="no 'text_tokens'"):
        found.column("text_tokens")


def test_one_job_is_worked_ahead_and_no_more():
    begun, used = [], []
    for result in prefetch(range(5), lambda job: begun.append(job) or job):
        used.append(result)
        time.sleep(0.02)
        assert len(begun) == min(5, len(used) + 1)
    assert used == [0, 1, 2, 3, 4]


def test_its_thread_is_prepared_before_it_works():
    """A new thread works on CUDA's first device until it is told another."""
    prepared = threading.local()
    seen = list(prefetch(range(3), lambda job: prepared.device + job, lambda: setattr(prepared, "device", 10)))
    assert seen == [10, 11, 12] and not hasattr(prepared, "device")


def fail_at(number):
    def work(job):
        if job == number:
            raise ZeroDivisionError(f"job {job}")
        return job

    return work


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("number", [0, 1, 4])
def test_an_error_while_fetching_comes_in_its_turn(resident, number):
    seen = []
    with pytest.raises(ZeroDivisionError, match=f"job {number}"):
        for result in in_order(range(5), fail_at(number), CPU, resident):
            seen.append(result)
    assert seen == list(range(number))


@pytest.mark.parametrize("number", [0, 1, 4])
def test_an_error_of_the_jobs_comes_after_the_results_before_it(number):
    seen = []
    with pytest.raises(ZeroDivisionError, match=f"job {number}"):
        for result in prefetch(map(fail_at(number), range(5)), lambda job: job):
            seen.append(result)
    assert seen == list(range(number))


@pytest.mark.parametrize("resident", [True, False])
def test_who_stops_early_does_not_hang_and_leaves_no_thread(resident):
    before = threading.active_count()
    for _ in in_order(range(10**9), lambda job: time.sleep(0.01), CPU, resident):
        break
    assert threading.active_count() == before
    unused = in_order(range(10**9), lambda job: job, CPU, resident)
    next(unused)
    unused.close()
    assert threading.active_count() == before


def test_no_jobs_give_no_batches():
    assert list(in_order([], fail_at(0), CPU, False)) == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("free", [0, 2**33])
def test_no_batch_waits_for_the_device(clip, monkeypatch, free):
    """On CUDA a wait is an error here, whether features lie on the device or are streamed."""
    split, device = data.load("scenes", "train", 40), torch.device("cuda", 0)
    monkeypatch.setattr(columns, "free_bytes", lambda device: free)
    found = distilled(clip, split, split).train
    there = Features(split, {**found._sources, "text_lengths": found.lengths}, found.scale, device)
    names = ("tokens", "attention", "joint", "text_tokens", "text_joint")
    assert there.resident(*names) == bool(free)
    rows = Rows(torch.arange(40), device)

    def fetch(step):
        part = Rows.sliced(rows, 8 * step, 8 * step + 8)
        return there.batch(part, Rows(part.cpu * 5, device), "tokens", "tokens")

    torch.cuda.set_sync_debug_mode("error")
    try:
        batches = list(in_order(range(5), fetch, device, bool(free)))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for step, batch in enumerate(batches):
        here = found.batch(Rows(rows.cpu[8 * step : 8 * step + 8], CPU), Rows(rows.cpu[8 * step : 8 * step + 8] * 5, CPU),
                           "tokens", "tokens")  # fmt: skip
        assert all(torch.equal(a.cpu(), b) for a, b in zip(batch.tensors(), here.tensors(), strict=True))
