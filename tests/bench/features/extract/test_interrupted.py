"""A pass that fails, is killed or runs twice at once: it goes on where it was, and ends with the same bytes."""

import multiprocessing
import os
import random
import signal
import time

import pytest
import torch

from bench.features.extract import distil
from bench.kit.array_store import journal
from tests.bench.counting import Counting
from tests.bench.features.extract.passes import ALL, TEST, TRAIN, arrays_of, assert_same, work

FORK = multiprocessing.get_context("fork")  # a new process would import torch and open_clip again


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


def test_a_store_is_not_marked_complete_while_some_of_it_is_missing(clip, folder):
    teacher, seen = Counting(clip), []
    place = folder / f"scenes-clip-{distil(work(teacher), TRAIN, TEST).key}"
    (place / "test-images" / "journal.jsonl").unlink()
    teacher.before = lambda: seen.append((place / "complete").exists())
    distil(work(teacher), TRAIN, TEST)
    assert not any(seen[4:]) and len(seen) > 4  # four examples come first
    assert (place / "complete").exists()
