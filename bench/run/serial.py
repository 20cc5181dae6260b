"""Cases one after another in this process."""

from collections.abc import Callable

from bench.kit.progress import Progress
from bench.plan.case import Case
from bench.results.record import Record
from bench.run.job import Job
from bench.run.session import Session


class Serial:
    """Runs each case when pytest asks for it."""

    def __init__(self, job: Job, progress: Progress):
        self.session = Session(job, progress)

    def run(self, case: Case, rounds: Callable) -> tuple[Record | None, bool]:
        """Train and measure the case, each epoch in one of the ``rounds``; or, with True, the record of another session that
        has finished it in the meantime."""
        finished = self.session.run_or_reuse(case, rounds)
        return finished, finished is not None

    def stop(self) -> None:
        """Nothing runs that would have to be stopped."""
