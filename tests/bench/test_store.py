"""The store: what is read is what was made, whatever happened to the files, the process or the disk in between."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import catalog, store
from bench.store import StoreError, fill, journal
from bench.store.layout import Array, Plan

LENGTHS = [2, 0, 3, 1, 1, 4, 0, 0, 5, 2, 1, 3, 2, 2, 1, 6, 1]


def plan_of(folder, lengths=LENGTHS, shard=4, facts=None):
    bounds = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    arrays = (
        Array("half", "float16", (3,)), Array("number", "int32", ()), Array("ragged", "float32", (2,), bounds)
    )  # fmt: skip
    return Plan(Path(folder), facts or {"made": "by the test"}, arrays, len(lengths), shard)


def whole_of(plan):
    """What the arrays must hold."""
    generator = np.random.default_rng(0)
    shapes = {array.name: (array.span(0, plan.rows)[1], *array.shape) for array in plan.arrays}
    return {
        array.name: (generator.random(shapes[array.name]) * 1000).astype(array.dtype) for array in plan.arrays
    }  # fmt: skip


class Source:
    """Produces a plan's rows and remembers which shards it was asked for; fails at its ``failing``-th one."""

    def __init__(self, plan, failing=None, error=None, pause=0.0):
        self.plan, self.failing, self.error, self.pause = plan, failing, error, pause
        self.whole, self.made = whole_of(plan), []

    def __call__(self, shards):
        for shard in shards:
            if len(self.made) == self.failing:
                raise self.error
            time.sleep(self.pause)
            self.made.append(shard.start // self.plan.shard)
            yield {a.name: self.whole[a.name][slice(*a.span(shard.start, shard.stop))] for a in self.plan.arrays}


def assert_right(plan, arrays):
    for name, expected in whole_of(plan).items():
        assert arrays[name].dtype == expected.dtype and np.array_equal(arrays[name], expected), name


def refuse(shards):
    raise AssertionError(f"{shards} were asked for")


def stored(folder, **changes):
    plan = plan_of(folder, **changes)
    fill(plan, Source(plan))
    return plan


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith("lock")}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=20), st.integers(1, 8))
def test_any_rows_in_any_shards_come_back(lengths, shard):
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_of(folder, lengths, shard)
        told = []
        made = fill(plan, Source(plan), lambda done, total: told.append((done, total)))
        assert_right(plan, made.arrays)
        assert made.fresh and told == [(shard.stop, len(lengths)) for shard in plan.shards]
        again = fill(plan, refuse)
        assert_right(plan, again.arrays)
        assert not again.fresh and again.seconds == made.seconds
        ragged = plan.arrays[2]
        for row, length in enumerate(lengths):
            start, stop = ragged.span(row, row + 1)
            assert stop - start == length and start == sum(lengths[:row])


def test_arrays_are_mapped_and_changes_to_them_stay_in_memory(tmp_path):
    plan = stored(tmp_path)
    arrays = fill(plan, refuse).arrays
    assert all(isinstance(array, np.memmap) for array in arrays.values())
    arrays["half"][:] = 0
    assert_right(plan, fill(plan, refuse).arrays)


FILES = ["half.bin", "number.bin", "ragged.bin", "plan.json", "journal.jsonl"]


@pytest.mark.parametrize("name", FILES)
def test_no_flipped_byte_is_ever_used(tmp_path, name):
    plan = stored(tmp_path / "good")
    good = (tmp_path / "good" / name).read_bytes()
    chance = random.Random(0)
    for place in chance.sample(range(len(good)), min(15, len(good))):
        shutil.copytree(tmp_path / "good", tmp_path / "bad")
        bad = plan_of(tmp_path / "bad")
        damaged = bytearray(good)
        damaged[place] ^= 1 << chance.randrange(8)
        (bad.folder / name).write_bytes(damaged)
        told, source = [], Source(bad)
        assert_right(bad, fill(bad, source, say=told.append).arrays)
        # A file of one array: just the shard that holds the byte. The line of a shard: that one, or two if they merge.
        most = {"plan.json": len(plan.shards), "journal.jsonl": 2}.get(name, 1)
        assert told and 1 <= len(source.made) <= most
        assert_right(bad, fill(bad, refuse).arrays)
        shutil.rmtree(bad.folder)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def lengthen(path):
    path.write_bytes(path.read_bytes() + b"more")


def zero(path):
    path.write_bytes(bytes(path.stat().st_size))


def swap_lines(path):
    """Each shard's digests under another's number, in lines that are whole."""
    found = journal.read(path)
    journal.rewrite(path, [journal.Entry(len(found) - 1 - entry.shard, entry.digests, 1.0) for entry in found.values()])


def state_others(path):
    """Lines that are whole and speak of shards that there are not, or of arrays that there are not."""
    entries = list(journal.read(path).values())
    journal.rewrite(path, [journal.Entry(number, entries[0].digests, 1.0) for number in (-1, 99)])
    journal.append(path, journal.Entry(0, {"half": entries[0].digests["half"]}, 1.0))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", [cut, zero, lengthen, Path.unlink])
def test_no_harmed_file_is_ever_used(tmp_path, name, harm):
    plan = stored(tmp_path)
    harm(tmp_path / name)
    assert_right(plan, fill(plan, Source(plan)).arrays)
    assert_right(plan, fill(plan, refuse).arrays)


@pytest.mark.parametrize("harm", [swap_lines, state_others])
def test_a_journal_that_speaks_of_other_shards_is_not_believed(tmp_path, harm):
    plan = stored(tmp_path)
    harm(plan.journal)
    source = Source(plan)
    assert_right(plan, fill(plan, source).arrays)
    assert sorted(source.made) in ([0, 1, 2, 3, 4], [0, 1, 3, 4])  # the one in the middle keeps its number


def test_a_line_that_was_cut_short_does_not_spoil_the_next_one(tmp_path):
    plan = plan_of(tmp_path)
    with pytest.raises(ZeroDivisionError):
        fill(plan, Source(plan, 3, ZeroDivisionError()))
    with plan.journal.open("a") as file:
        file.write('{"shard": 3, "dig')
    fill(plan, Source(plan))
    fill(plan, refuse)


@pytest.mark.parametrize("change", [{"facts": {"made": "otherwise"}}, {"shard": 3}, {"lengths": LENGTHS[::-1]}])
def test_a_store_of_other_content_is_not_used_and_is_kept_until_there_is_something_better(tmp_path, change):
    stored(tmp_path)
    before = contents(tmp_path)
    other = plan_of(tmp_path, **change)
    with pytest.raises(AssertionError, match="were asked for"):
        fill(other, refuse)
    assert contents(tmp_path) == before
    told = []
    made = fill(other, Source(other), say=told.append)
    assert made.fresh and "begun for other content" in told[0]
    assert_right(other, made.arrays)


def test_who_reads_while_the_store_is_made_anew_keeps_what_they_read(tmp_path):
    plan = stored(tmp_path)
    arrays = fill(plan, refuse).arrays
    fill(other := plan_of(tmp_path, lengths=[1, 2]), Source(other))
    assert_right(plan, arrays)


@pytest.mark.parametrize("error", [ZeroDivisionError("the teacher"), KeyboardInterrupt()])
def test_an_error_of_the_source_is_raised_and_what_is_complete_stays(tmp_path, error):
    plan = plan_of(tmp_path)
    with pytest.raises(type(error)):
        fill(plan, Source(plan, 3, error))
    rest, told = Source(plan), []
    made = fill(plan, rest, say=told.append)
    assert rest.made == [3, 4] and "3 of 5 shards are complete; the rest" in told[0]
    assert_right(plan, made.arrays)


@pytest.mark.parametrize("failing", [0, 2, 4])
def test_a_disk_that_fills_up_is_told_and_what_is_complete_stays(tmp_path, monkeypatch, failing):
    """Also where the error comes from a thread while the source goes on, and where it is the last shard's."""
    plan, write = plan_of(tmp_path), store._write

    def write_some(plan, array, shard, rows):
        if shard.start // plan.shard == failing and array.name == "number":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(plan, array, shard, rows)

    with monkeypatch.context() as patch:
        patch.setattr(store, "_write", write_some)
        with pytest.raises(StoreError, match=r"cannot be written .*No space left.*make room.*goes on"):
            fill(plan, Source(plan))
    rest = Source(plan)
    assert_right(plan, fill(plan, rest).arrays)
    assert rest.made == [failing]


def test_a_source_that_goes_on_and_on_stops_soon_after_a_failed_write(tmp_path, monkeypatch):
    plan = plan_of(tmp_path, lengths=[1] * 400)

    def fail(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "_write", fail)
    source = Source(plan)
    with pytest.raises(StoreError):
        fill(plan, source)
    assert len(source.made) <= store.IN_FLIGHT + 1


def test_space_is_checked_before_anything_is_made(tmp_path, monkeypatch):
    plan = plan_of(tmp_path / "store")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=plan.bytes - 1))
    with pytest.raises(StoreError, match=r"store needs 0\.00 MB more, but its disk has only .*make room.*--data DIR"):
        fill(plan, refuse)
    assert contents(plan.folder) == {}
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=plan.bytes))
    fill(plan, Source(plan))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=0))
    assert_right(plan, fill(plan, refuse).arrays)  # what is complete needs no room


def test_a_store_that_goes_on_needs_room_for_the_rest_only(tmp_path, monkeypatch):
    plan = plan_of(tmp_path, lengths=[4096] * 32)  # 1 MB; blocks of the disk are 4 kB
    with pytest.raises(ZeroDivisionError):
        fill(plan, Source(plan, 6, ZeroDivisionError()))
    left = plan.unwritten()
    assert plan.bytes / 4 * 0.9 < left <= plan.bytes / 4 * 1.1
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=left))
    assert_right(plan, fill(plan, Source(plan)).arrays)


def test_rows_of_another_form_are_refused(tmp_path):
    plan = plan_of(tmp_path)
    for harm in (lambda rows: rows[:-1], lambda rows: rows.astype("float64"), lambda rows: rows[:1]):
        source = Source(plan)
        source.whole["half"] = harm(source.whole["half"])
        with pytest.raises(ValueError, match=r"half of rows \d+ to \d+ is float"):
            fill(plan, source)


def test_seconds_are_those_of_all_sessions_and_of_the_work_alone(tmp_path):
    plan = plan_of(tmp_path)
    with pytest.raises(ZeroDivisionError):
        fill(plan, Source(plan, 3, ZeroDivisionError(), pause=0.02))
    time.sleep(0.3)  # nobody works
    seconds = fill(plan, Source(plan, pause=0.02)).seconds
    assert 5 * 0.02 <= seconds < 0.3 and fill(plan, refuse).seconds == seconds


SCRIPT = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.bench.test_store import Source, assert_right, plan_of
from bench.store import fill

class Told(Source):
    def __call__(self, shards):
        for shard, rows in zip(shards, super().__call__(shards)):
            with open(sys.argv[3], "a") as log:
                log.write(f"{shard.start // self.plan.shard}\\n")
            yield rows

plan = plan_of(sys.argv[1], lengths=[1] * int(sys.argv[4]))
print("ready", flush=True)
arrays = fill(plan, Told(plan, pause=0.01), say=lambda text: print(text, flush=True)).arrays
assert_right(plan, arrays)
"""


def start(folder, log, rows):
    words = [sys.executable, "-c", SCRIPT, str(folder), str(catalog.ROOT), str(log), str(rows)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=catalog.ROOT)


def numbers(log):
    return [int(line) for line in log.read_text().splitlines()] if log.exists() else []


def test_a_process_killed_again_and_again_ends_with_the_same_bytes(tmp_path):
    lengths, chance = [1] * 800, random.Random()  # 200 shards, in at least 2 s
    plan = plan_of(tmp_path / "killed", lengths)
    for number in range(4):
        log = tmp_path / f"log-{number}"
        complete = set(journal.read(plan.journal))
        process = start(plan.folder, log, len(lengths))
        process.stdout.readline()
        time.sleep(chance.uniform(0.05, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not complete & set(numbers(log)), "complete shards were made again"
    complete, rest = set(journal.read(plan.journal)), Source(plan)
    assert complete
    assert_right(plan, fill(plan, rest).arrays)
    assert set(rest.made) == set(range(200)) - complete
    undisturbed = plan_of(tmp_path / "whole", lengths)
    fill(undisturbed, Source(undisturbed))
    killed, whole = contents(plan.folder), contents(undisturbed.folder)
    assert all(killed[name] == whole[name] for name in whole if name != "journal.jsonl")


def test_two_processes_make_every_shard_once_and_the_one_that_waits_says_for_whom(tmp_path):
    log = tmp_path / "log"
    processes = [start(tmp_path / "shared", log, 200) for _ in range(2)]
    told = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(numbers(log)) == list(range(50))
    waiting = [text for text in told if "waiting for process" in text]
    assert len(waiting) <= 1
    if waiting:  # both may have come one after the other
        other = processes[1 - told.index(waiting[0])]
        assert f"waiting for process {other.pid} on {os.uname().nodename} (since 2" in waiting[0]


def test_what_others_may_read_is_plain(tmp_path):
    plan = stored(tmp_path)
    described = json.loads((tmp_path / "plan.json").read_text())
    assert described["rows"] == len(LENGTHS) and described["facts"] == {"made": "by the test"}
    assert [array["shape"] for array in described["arrays"]] == [[17, 3], [17], [sum(LENGTHS), 2]]
    raw = np.fromfile(tmp_path / "half.bin", "float16").reshape(17, 3)
    assert np.array_equal(raw, whole_of(plan)["half"])
