"""A source that fails and a full disk: the error says so, and what is complete stays."""

import errno
import shutil

import pytest

from bench.kit import array_store
from bench.kit.array_store import StoreError, fill
from tests.bench.kit.array_store.plans import Source, assert_right, contents, plan_of, refuse


@pytest.mark.parametrize("error", [ZeroDivisionError("the teacher"), KeyboardInterrupt()])
def test_an_error_of_the_source_is_raised_and_what_is_complete_stays(tmp_path, error):
    plan = plan_of(tmp_path)
    with pytest.raises(type(error)):
        fill(plan, Source(plan, 3, error))
    rest, notes = Source(plan), []
    made = fill(plan, rest, say=notes.append)
    assert rest.made == [3, 4] and "3 of 5 shards are complete; the rest" in notes[0]
    assert_right(plan, made.arrays)


@pytest.mark.parametrize("failing", [0, 2, 4])
def test_a_disk_that_fills_up_is_an_error_and_what_is_complete_stays(tmp_path, monkeypatch, failing):
    """Also where the error comes from a thread while the source goes on, and where it is the last shard's."""
    plan, write = plan_of(tmp_path), array_store._write

    def write_some(plan, array, shard, rows):
        if shard.start // plan.shard == failing and array.name == "number":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(plan, array, shard, rows)

    with monkeypatch.context() as patch:
        patch.setattr(array_store, "_write", write_some)
        with pytest.raises(StoreError, match=r"cannot be written .*No space left.*make room.*goes on"):
            fill(plan, Source(plan))
    rest = Source(plan)
    assert_right(plan, fill(plan, rest).arrays)
    assert rest.made == [failing]


def test_a_source_that_goes_on_and_on_stops_soon_after_a_failed_write(tmp_path, monkeypatch):
    plan = plan_of(tmp_path, lengths=[1] * 400)

    def fail(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(array_store, "_write", fail)
    source = Source(plan)
    with pytest.raises(StoreError):
        fill(plan, source)
    assert len(source.made) <= 2 * array_store.WRITERS


def test_space_is_checked_before_anything_is_made(tmp_path, monkeypatch):
    plan = plan_of(tmp_path / "store")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=plan.bytes - 1))
    with pytest.raises(StoreError, match=r"store needs 0\.00 MB more, and its disk lacks .*make room.*BENCH_DATA"):
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
