"""The order in which workers get runs, in virtual time: the schedule alone, without what an executor and this machine take."""

from collections import deque
from heapq import heappop, heappush

import pytest

from bench.kit.progress import Progress
from bench.plan import matrix
from bench.run import processes
from bench.run.job import Job, key_of
from bench.run.lengths import longest_first
from bench.run.processes import Processes, Worker
from tests.bench.run.makespan import LONGER, SHORTER, Durations

CONTROLS = ("no-distillation", "random-teacher")


@pytest.fixture(scope="module")
def cases():
    return matrix.cases(matrix.load(), "paper", seeds=(0, 1, 2), controls=CONTROLS)


@pytest.mark.parametrize("slots", [1, 2, 8, 32])
def test_the_papers_matrix_ends_within_a_tenth_of_the_bound(cases, slots, tmp_path, monkeypatch):
    """432 cases as long as pocket's published ones; a run waits for its teacher's pass, which the first to come makes."""
    monkeypatch.setattr(processes, "slots", lambda device: slots)
    durations = Durations([*cases], tmp_path, LONGER / SHORTER)
    ordered = longest_first(cases, durations.cases)
    pool = Processes(Job(tmp_path, cases, frozenset(), device="cpu"), ordered, Progress(None))
    pool._workers = {number: Worker(number, None, None, deque()) for number in range(slots)}
    free, passed, end = [(0.0, number) for number in range(slots)], {}, 0.0
    while free:
        now, number = heappop(free)
        end = max(end, now)
        if run := pool._next(pool._workers[number]):
            ready = passed.setdefault(key_of(run[0]), now + durations.passes[key_of(run[0])])
            heappush(free, (max(now, ready) + sum(durations.cases[case.id] for case in run), number))
    bound = durations.bound([*cases], slots)
    assert bound <= end * (1 + 1e-9) and end <= 1.1 * bound, f"{end / bound:.3f} of the bound"
    print(f"{slots} slots: {end / bound:.3f} of the bound")
