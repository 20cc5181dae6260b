"""Works one job ahead: while the caller uses one result, the next is under way on a thread."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Job, Result = TypeVar("Job"), TypeVar("Result")


def ahead(jobs: Iterable[Job], work: Callable[[Job], Result]) -> Iterator[Result]:
    """``work(job)`` for each job in order, the next one begun before the present one is handed out."""
    with ThreadPoolExecutor(1) as thread:
        waiting: Future | None = None
        for job in jobs:
            following = thread.submit(work, job)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()
