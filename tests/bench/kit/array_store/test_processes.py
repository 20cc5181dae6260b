"""Processes that are killed while they fill a store, and two that fill one at once."""

import errno
import random
import signal
import subprocess
import sys
import time
from threading import Thread

import pytest

from bench.kit import array_store
from bench.kit.array_store import StoreError, fill
from bench.kit.array_store.layout import read_journal
from bench.kit.paths import ROOT
from tests.bench.kit.array_store.plans import Source, assert_right, contents, plan_of

SCRIPT = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.bench.kit.array_store.plans import Source, assert_right, plan_of
from bench.kit.array_store import fill

class Logged(Source):
    def __call__(self, shards):
        for rows in super().__call__(shards):
            with open(sys.argv[3], "a") as log:
                log.write(f"{self.made[-1]}\\n")
            yield rows

plan = plan_of(sys.argv[1], lengths=[1] * int(sys.argv[4]))
print("ready", flush=True)
arrays = fill(plan, Logged(plan, pause=0.01), say=lambda text: print(text, flush=True)).arrays
assert_right(plan, arrays)
"""


def start(folder, log, rows):
    words = [sys.executable, "-c", SCRIPT, str(folder), str(ROOT), str(log), str(rows)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def numbers(log):
    return [int(line) for line in log.read_text().splitlines()] if log.exists() else []


def test_a_process_killed_again_and_again_ends_with_the_same_bytes(tmp_path):
    lengths, chance = [1] * 800, random.Random()  # 200 shards, in at least 2 s
    plan = plan_of(tmp_path / "killed", lengths)
    for number in range(2):
        log = tmp_path / f"log-{number}"
        complete = set(read_journal(plan.journal))
        process = start(plan.folder, log, len(lengths))
        process.stdout.readline()
        time.sleep(chance.uniform(0.05, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not complete & set(numbers(log)), "complete shards were made again"
    complete, rest = set(read_journal(plan.journal)), Source(plan)
    assert complete
    assert_right(plan, fill(plan, rest).arrays)
    assert set(rest.made) == set(range(200)) - complete
    undisturbed = plan_of(tmp_path / "whole", lengths)
    fill(undisturbed, Source(undisturbed))
    killed, whole = contents(plan.folder), contents(undisturbed.folder)
    assert all(killed[name] == whole[name] for name in whole if name != "journal.jsonl")


def test_two_processes_make_every_shard_once(tmp_path):
    log = tmp_path / "log"
    processes = [start(tmp_path / "shared", log, 200) for _ in range(2)]
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(numbers(log)) == list(range(50))


class Together:
    """One fills the first part of 50 shards; before its ``turn``-th shard another one comes and fills all other parts."""

    def __init__(self, folder, turn=0, then=lambda: None):
        self.plan, self.turn, self.then = plan_of(folder, lengths=[1] * 200), turn, then
        self.one, self.other, self.notes = Source(self.plan), Source(self.plan), []
        self.thread = Thread(target=lambda: setattr(self, "theirs", fill(self.plan, self.other, say=self.notes.append)))

    def __call__(self, shards):
        for shard in shards:
            if len(self.one.made) == self.turn and not self.thread.ident:
                self.thread.start()
                while len(read_journal(self.plan.journal)) < 42 + self.turn:
                    time.sleep(0.001)
                self.then()
            yield from self.one([shard])

    def fill(self):
        try:
            return fill(self.plan, self)
        finally:
            self.thread.join()


def test_who_comes_later_fills_the_parts_that_are_left(tmp_path):
    both = Together(tmp_path / "shared")
    ours = both.fill()
    assert (both.one.made, sorted(both.other.made)) == ([*range(8)], [*range(8, 50)])
    assert any("waiting for another process, which holds" in note and "lock-0" in note for note in both.notes)
    for filled in (ours, both.theirs):
        assert not filled.fresh
        assert_right(both.plan, filled.arrays)
    alone = plan_of(tmp_path / "alone", lengths=[1] * 200)
    fill(alone, Source(alone))
    shared, whole = contents(both.plan.folder), contents(alone.folder)
    assert all(shared[name] == whole[name] for name in whole if name != "journal.jsonl")


def test_a_part_that_another_process_leaves_unfinished_is_filled_by_who_waits_for_it(tmp_path):
    both = Together(tmp_path, turn=3)
    both.one.failing, both.one.error = 3, KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        both.fill()
    left = set(range(50)) - {*both.one.made}
    assert both.one.made == [0, 1, 2] and {*both.other.made} >= {*range(3, 50)} == left
    assert_right(both.plan, both.theirs.arrays)


def test_a_disk_that_is_full_in_one_part_is_an_error_there_and_who_waits_tries_again(tmp_path, monkeypatch):
    both, write, full = Together(tmp_path), array_store._write, ["once"]

    def write_some(plan, array, shard, rows):
        if shard.start == 3 * plan.shard and full:
            raise OSError(errno.ENOSPC, full.pop())
        return write(plan, array, shard, rows)

    monkeypatch.setattr(array_store, "_write", write_some)
    with pytest.raises(StoreError, match=r"cannot be written .*once.*make room.*goes on"):
        both.fill()
    assert 3 in both.one.made and 3 in both.other.made
    assert_right(both.plan, both.theirs.arrays)


def test_what_another_process_wrote_is_checked(tmp_path):
    def damage():
        path = both.plan.folder / "number.bin"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)

    both = Together(tmp_path, then=damage)
    ours = both.fill()
    assert both.one.made + both.other.made[42:] == [*range(8), 49]  # by whoever looks first
    assert_right(both.plan, ours.arrays)
