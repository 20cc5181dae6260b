"""Prefetching: while the caller uses one result, the next ones are computed on threads."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Job, Result = TypeVar("Job"), TypeVar("Result")


def prefetch(
    jobs: Iterable[Job], work: Callable[[Job], Result], prepare: Callable[[], object] | None = None, threads: int = 1
) -> Generator[Result, None, None]:
    """``work(job)`` for each job in order, twice as many begun as there are threads before the first is handed out.

    ``prepare`` is called on each thread first: a new one works on CUDA's first device until another is set.
    An error, of ``jobs`` or of ``work``, is raised after the results of all jobs before it.
    """
    with ThreadPoolExecutor(threads, initializer=prepare) as pool:

        def begun() -> Iterator[Future]:
            try:
                for job in jobs:
                    yield pool.submit(work, job)
            except Exception as error:  # comes in its turn, as a job's would
                failed: Future = Future()
                failed.set_exception(error)
                yield failed

        waiting: deque[Future] = deque()
        for future in begun():
            waiting.append(future)
            if len(waiting) == 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
