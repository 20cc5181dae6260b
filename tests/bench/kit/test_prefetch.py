"""Results in the order of the jobs, a stated number of which are begun; errors in their turn."""

import threading

import pytest

from bench.kit.prefetch import prefetch


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_order_while_twice_as_many_jobs_are_begun_as_there_are_threads(threads):
    taken = []
    jobs = (taken.append(number) or number for number in range(10))
    results = prefetch(jobs, lambda number: number * number, threads=threads)
    assert next(results) == 0 and len(taken) == 2 * threads
    assert list(results) == [number * number for number in range(1, 10)]


def test_jobs_run_at_once():
    together = threading.Barrier(2, timeout=20)  # broken, and so an error, unless two threads wait at it
    assert len(list(prefetch(range(4), lambda _: together.wait(), threads=2))) == 4


def test_an_error_comes_after_the_results_before_it():
    results = prefetch([4, 2, 0, 1], lambda number: 8 // number, threads=2)
    assert [next(results), next(results)] == [2, 4]
    with pytest.raises(ZeroDivisionError):
        next(results)
