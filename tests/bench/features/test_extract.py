"""The teacher's pass: each sample once, resumed to the byte, and no stored feature used that the teacher does not compute."""

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from xxhash import xxh3_128_hexdigest

import teachers
from bench import data
from bench.features import extract as extraction
from bench.features.extract import StoreError, extract
from bench.features.forward import keyed, weights_digest
from bench.kit import paths
from bench.kit.array_store.layout import Entry, read_journal
from bench.measure.classification import knn
from bench.measure.retrieval import retrieval
from tests.bench.counting import Counting
from tests.bench.features.passes import ALL, TEST, TRAIN, Changed, arrays_of, assert_close, assert_same, work

FORK = multiprocessing.get_context("fork")  # a new process would import torch and open_clip again


def test_every_sample_is_looked_at_once_in_order_and_never_again(clip, good):
    teacher = Counting(clip)
    first = extract(work(teacher), TRAIN, TEST)
    assert (teacher.images, teacher.captions) == (ALL + 2, 5 * ALL + 2)  # and an example of each split
    for split, features in ((TRAIN, first.train), (TEST, first.test)):
        arrays, live, texts = features._sources, clip.image(split.pixels), clip.text(split.captions)
        for name, wanted in (("pooled", live.pooled), ("attention", live.attention), ("joint", live.joint),
                             ("text_pooled", texts.pooled), ("text_joint", texts.joint)):  # fmt: skip
            assert_close(arrays[name], wanted)
        assert_close(arrays["tokens"][:, 1:], live.patches)
        assert all(array.dtype == torch.float16 for array in arrays.values() if array.is_floating_point())
    again = extract(work(teacher), TRAIN, TEST)
    sampled = 16 + 6  # of 20 and of 6 images
    assert (teacher.images, teacher.captions) == (ALL + 4 + sampled, 5 * ALL + 4 + 32)
    assert_same(arrays_of(again), good)
    assert again.seconds == first.seconds > 0 and again.key == first.key


@contextmanager
def read_only(folder):
    """Only to be read, also by root, whom permissions do not stop: for that a mount of its own."""
    if os.geteuid():
        below = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
        for path in below:
            path.chmod(0o555)
        undo = [["chmod", "755", *map(str, below)]]
    else:
        undo = [["umount", str(folder)]]
        for words in (["mount", "--bind", folder, folder], ["mount", "-o", "remount,ro,bind", folder]):
            if subprocess.run(words, capture_output=True).returncode:
                pytest.skip("this system lets root mount nothing")
    try:
        yield
    finally:
        for words in undo:
            subprocess.run(words, check=True)


def test_complete_features_in_a_folder_that_is_only_read_are_used_and_others_stored_in_the_checkout(
    clip, good, folder, tmp_path, monkeypatch
):
    """As of a cluster, where one person prepared what all may read."""
    extract(work(clip), TRAIN, TEST)
    monkeypatch.setattr(paths, "ROOT", tmp_path / "checkout")
    with read_only(folder.parent):
        assert_same(arrays_of(extract(work(clip), TRAIN, TEST)), good)
        assert not (tmp_path / "checkout").exists()
        other = extract(work(clip, False, False, "float32"), TRAIN, TEST)
    assert [path.name for path in (tmp_path / "checkout").glob("data/features/*-????????????????")] == [
        f"scenes-clip-{other.key}"
    ]


@pytest.mark.parametrize(("name", "dataset"), [("clip", "scenes"), ("dino", "shapes")])
def test_half_precision_costs_no_accuracy(name, dataset, monkeypatch):
    monkeypatch.setattr(extraction, "CHUNK", 128)
    teacher, splits = teachers.load(name, "pocket"), (data.load(dataset, "train", 256), data.load(dataset, "test", 128))

    def scored(dtype):
        features = extract(work(teacher, False, False, dtype, name=f"{dataset}-{name}"), *splits)
        train, test = features.train, features.test
        if dataset == "scenes":
            return retrieval(test.joint, test.text_joint, test.split.owner)["image_to_text_r1"]
        return knn(train.joint, train.split.labels, test.joint, test.split.labels).top1

    half, single = scored("float16"), scored("float32")
    assert single > 10 and abs(half - single) <= 100 / 128  # at most one image of 128 has another neighbour


def test_the_size_is_logged_before_the_pass_and_the_disk_is_checked(clip, folder, monkeypatch):
    teacher, log, usage = Counting(clip), [], shutil.disk_usage("/")
    monkeypatch.setattr(extraction, "WORTH_LOGGING", 0)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=300_000))
        with pytest.raises(StoreError, match=r"features.*needs 0\.\d\d MB more, and its disk lacks 0\.\d\d MB of it"):
            extract(work(teacher), TRAIN, TEST)
    assert teacher.images == 2  # the examples
    features = extract(work(teacher, log=log), TRAIN, TEST)
    size = sum(path.stat().st_size for path in folder.rglob("*.bin") if path.name != "text_lengths.bin")
    assert log == [f"features scenes-clip-{features.key} will take {size / 1e6:.2f} MB in {folder}"]


def test_a_pass_that_fails_goes_on_where_it_was(clip, good):
    teacher, log = Counting(clip), []

    def fail():
        if teacher.images >= 14:
            raise ZeroDivisionError("the teacher")

    teacher.before = fail
    with pytest.raises(ZeroDivisionError, match="the teacher"):
        extract(work(teacher), TRAIN, TEST)
    teacher.before, teacher.images = (lambda: None), 0
    assert_same(arrays_of(extract(work(teacher, log=log), TRAIN, TEST)), good)
    assert teacher.images == 2 + (ALL - 8) + 16  # examples, all but a shard of 8 images, and the sample
    assert any("1 of 3 shards are complete" in line for line in log)


def run(teacher, file=None):
    torch.set_num_threads(1)
    arrays = arrays_of(extract(work(teacher), TRAIN, TEST))
    if file:
        torch.save(arrays, file)


def complete_shards(folder):
    """How many shards of each store are complete."""
    return {path.parent.name: len(read_journal(path)) for path in folder.glob("*/*/journal.jsonl")}


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
    assert_same(arrays_of(extract(work(teacher), TRAIN, TEST)), good)
    rows = {"train-images": (20, 8), "test-images": (6, 8), "train-captions": (100, 32)}
    spared = {name: min(count, shard * complete.get(name, 0)) for name, (count, shard) in rows.items()}
    images, captions = spared["train-images"] + spared["test-images"], spared["train-captions"]
    sampled = sum(min(16, rows[name][0]) for name in ("train-images", "test-images") if spared[name])
    assert teacher.images == ALL - images + 2 + sampled  # all that is missing, two examples and the samples
    assert teacher.captions == 5 * ALL - captions + 2 + (16 if captions else 0)
    assert next(folder.glob("scenes-clip-*/complete")).exists()


def test_two_processes_at_once_pass_once(clip, good, tmp_path):
    log, files = tmp_path / "log", [tmp_path / "first.pt", tmp_path / "second.pt"]
    teacher = Counting(clip, log, lambda: time.sleep(0.01))
    processes = [FORK.Process(target=run, args=(teacher, file)) for file in files]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    counts = [int(line.split()[1]) for line in log.read_text().splitlines() if line.startswith("image")]
    assert sum(counts) == ALL + 4 + 16 + 6  # one pass, two examples each, and the second one's samples
    for file in files:
        assert_same(torch.load(file), good)


def test_a_store_is_not_marked_complete_while_some_of_it_is_missing(clip, folder):
    teacher, marked = Counting(clip), []
    store = folder / f"scenes-clip-{extract(work(teacher), TRAIN, TEST).key}"
    (store / "test-images" / "journal.jsonl").unlink()
    teacher.before = lambda: marked.append((store / "complete").exists())
    extract(work(teacher), TRAIN, TEST)
    assert not any(marked[4:]) and len(marked) > 4  # four examples come first
    assert (store / "complete").exists()


@pytest.mark.parametrize("more", [0, pytest.param(30, marks=pytest.mark.slow)])
def test_no_flipped_byte_in_any_file_is_ever_used(clip, good, folder, more):
    """Arrays are as they were, or an error names the store."""
    extract(work(clip), TRAIN, TEST)
    shutil.copytree(folder, folder.with_name("copy"))
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    assert {path.name for path in files} >= {"text_lengths.bin", "text_tokens.bin", "about.json", "plan.json"}
    chance = random.Random(0)
    for file in [*files, *chance.choices(files, k=more)]:
        content = bytearray((folder / file).read_bytes())
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        (folder / file).write_bytes(content)
        log = []
        try:
            assert_same(arrays_of(extract(work(clip, log=log), TRAIN, TEST)), good)
            assert log
        except StoreError as error:
            assert "scenes-clip-" in str(error)
        shutil.rmtree(folder)
        shutil.copytree(folder.with_name("copy"), folder)


@pytest.mark.parametrize("name", ["tokens", "joint", "text_tokens", "text_pooled"])
def test_a_store_of_shifted_rows_with_right_digests_is_refused(clip, folder, name):
    """As a bug in the order of rows would leave it: only the live teacher can tell."""
    features = extract(work(clip), TRAIN, TEST)
    part = "train-captions" if name.startswith("text") else "train-images"
    store = folder / f"scenes-clip-{features.key}" / part
    values = np.fromfile(store / f"{name}.bin", "float16").reshape(features.train._sources[name].shape)
    np.roll(values, 1, axis=0).tofile(store / f"{name}.bin")
    forge(work(clip), store)
    message = rf"\(key {features.key}\) do not agree with the live teacher: {name} differs by"
    with pytest.raises(StoreError, match=message):
        extract(work(clip), TRAIN, TEST)


def forge(work, store):
    """Give a store's journal the digests of what lies there now."""
    _, folder = keyed(work, TRAIN, TEST, weights_digest(work.teacher))
    parts = extraction._parts(work, folder / "train", TRAIN, extraction.Reduction(), None)
    plan = next(part.plan for part in parts if part.plan.folder == store)
    assert plan.is_complete()

    def digests(shard):
        rows = {
            array.name: array.open(plan.folder, plan.rows)[slice(*array.span(shard.start, shard.stop))]
            for array in plan.arrays
        }
        return {name: xxh3_128_hexdigest(np.ascontiguousarray(values)) for name, values in rows.items()}

    entries = [Entry(number, digests(shard), 1.0) for number, shard in enumerate(plan.shards)]
    plan.journal.write_text("".join(entry.line for entry in entries))


@pytest.mark.parametrize("change", [lambda text: {"lengths": text.lengths - 1}, lambda text: {"tokens": -text.tokens}])
def test_a_teacher_that_computes_something_else_under_the_same_key_is_noticed(clip, change):
    """As another version of a library may make it."""
    extract(work(Changed(clip)), TRAIN, TEST)
    other = Changed(clip, text=lambda captions: replace(text := clip.text(captions), **change(text)))
    with pytest.raises(StoreError, match="do not agree with the live teacher: text_tokens differs by"):
        extract(work(other), TRAIN, TEST)
