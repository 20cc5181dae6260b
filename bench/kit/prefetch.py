"""Prefetching: while the caller uses one result, the next is computed on a thread."""

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, pairwise
from typing import TypeVar

Job, Result = TypeVar("Job"), TypeVar("Result")


def prefetch(
    jobs: Iterable[Job], work: Callable[[Job], Result], prepare: Callable[[], object] | None = None
) -> Generator[Result, None, None]:
    """``work(job)`` for each job in order, the next one begun before the present one is handed out.

    ``prepare`` is called on the thread first: a new one works on CUDA's first device until another is set.
    An error, of ``jobs`` or of ``work``, is raised after the results of all jobs before it.
    """
    with ThreadPoolExecutor(1, initializer=prepare) as thread:

        def begun() -> Iterator[Future]:
            try:
                for job in jobs:
                    yield thread.submit(work, job)
            except Exception as error:  # comes in its turn, as a job's would
                failed: Future = Future()
                failed.set_exception(error)
                yield failed

        for present, _ in pairwise(chain(begun(), [None])):  # a pair is there once its second is begun
            yield present.result()
