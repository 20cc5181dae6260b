"""Works one job ahead: while the caller uses one result, the next is under way on a thread."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Job, Result = TypeVar("Job"), TypeVar("Result")


def ahead(jobs: Iterable[Job], work: Callable[[Job], Result]) -> Generator[Result, None, None]:
    """``work(job)`` for each job in order, the next one begun before the present one is handed out.

    An error, of ``jobs`` or of ``work``, is raised after the results of all jobs before it.
    """
    with ThreadPoolExecutor(1) as thread:
        rest, waiting = iter(jobs), None
        while True:
            following: Future | None = None
            error: Exception | None = None
            try:
                following = thread.submit(work, next(rest))
            except StopIteration:
                pass
            except Exception as raised:
                error = raised
            if waiting is not None:
                yield waiting.result()
            if error is not None:
                raise error
            if following is None:
                return
            waiting = following
