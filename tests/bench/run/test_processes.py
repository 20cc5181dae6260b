"""Which worker gets which cases, and how many workers there are. Whole runs are in tests/robustness/test_workers.py."""

from collections import deque

import pytest

from bench.kit.progress import Progress
from bench.plan import matrix
from bench.run import processes
from bench.run.job import Job, key_of
from bench.run.lengths import expected, longest_first
from bench.run.processes import Processes, Worker


@pytest.fixture
def pool(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "usable_cores", lambda: 2)
    cases = matrix.cases(matrix.load(), "pocket", matrix.DEFAULT, controls=())
    cases = longest_first(cases, expected(cases, tmp_path))  # nothing was run: estimates
    return Processes(Job(tmp_path, cases, frozenset(case.id for case in cases), device="cpu"), cases, Progress(None))


def test_a_worker_keeps_to_its_teacher_and_to_whole_runs_the_heavy_ones_first(pool):
    """Pocket has four teachers of six students, each trained for 5 and for 10 epochs in one run."""
    first, second = (Worker(number, None, None, deque()) for number in range(2))
    pool._workers = {0: first, 1: second}
    orders = {first: [], second: []}
    for _ in range(12):
        for worker in orders:
            orders[worker].append(pool._next(worker))
    for runs in orders.values():
        assert [len({case.run for case in run}) for run in runs] == [1] * 12
        assert [[case.epochs for case in run] for run in runs] == [[5, 10]] * 12
        assert [run[0].reads for run in runs] == ["pixels", "pixels", "tokens", "tokens", "pooled", "pooled"] * 2
        assert [len({key_of(run[0]) for run in part}) for part in (runs[:6], runs[6:])] == [1, 1]
    assert pool._next(first) == []


def test_where_teachers_are_few_workers_share_one(pool):
    pool._waiting = [run for run in pool._waiting if run[0].teacher == "dino"]
    first, second = (Worker(number, None, None, deque()) for number in range(2))
    pool._workers = {0: first, 1: second}
    assert pool._next(first)[0].teacher == pool._next(second)[0].teacher == "dino"


@pytest.mark.parametrize(("device", "gpus", "count"), [
    ("auto", 0, 6), ("cpu", 4, 6), ("auto", 4, 4), ("cuda", 1, 1), ("cuda:2", 4, 1),
])  # fmt: skip
def test_there_is_a_worker_for_each_gpu_or_core(monkeypatch, device, gpus, count):
    monkeypatch.setattr(processes, "_gpus", lambda: gpus)
    monkeypatch.setattr(processes, "usable_cores", lambda: 6)
    assert processes.slots(device) == count


def test_there_are_no_more_workers_than_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "usable_cores", lambda: 64)
    cases = matrix.cases(matrix.load(), "pocket", matrix.DEFAULT, controls=())
    pool = Processes(Job(tmp_path, cases, frozenset(), device="cpu"), cases, Progress(None))
    assert (pool.count, pool.job.beside) == (24, 23)
