"""Processes that are killed while they fill a store, and two that fill one at once."""

import random
import signal
import subprocess
import sys
import time

from bench.kit.array_store import fill
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
        for shard, rows in zip(shards, super().__call__(shards)):
            with open(sys.argv[3], "a") as log:
                log.write(f"{shard.start // self.plan.shard}\\n")
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


def test_two_processes_make_every_shard_once_and_one_says_that_it_waits(tmp_path):
    log = tmp_path / "log"
    processes = [start(tmp_path / "shared", log, 200) for _ in range(2)]
    printed = "".join(process.communicate(timeout=60)[0] for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(numbers(log)) == list(range(50))
    assert printed.count("waiting for another process") <= 1  # none where the second came after the first
