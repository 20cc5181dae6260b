"""What a task does on another machine that sees the same folders: with Ray, or as a job of SLURM. Needs no torch until it runs.

Records, checkpoints and stored features are all that tasks share. A task whose code or software differs from that of the
machine which started it is refused.
"""

import platform
from contextlib import suppress
from functools import cache
from pathlib import Path

from bench.kit.environment import environment
from bench.kit.errors import UserError
from bench.kit.progress import Progress
from bench.plan.case import Case
from bench.results import record
from bench.run.job import CaseError, Job

# Of a case: what the user reads of a failure, whether another session finished it, and what was said meanwhile.
Outcome = tuple[str | None, bool, list[str]]


def mark(job: Job) -> Path:
    """Leave a file in the results folder by which other machines know that they see the same one."""
    job.folder.mkdir(parents=True, exist_ok=True)
    _mark_of(job).touch()
    return _mark_of(job)


def facts(case: Case) -> dict[str, str]:
    """What must be equal on every node: the code that decides the case's figures, by its fingerprint, and all software."""
    return {"code": case.fingerprint} | environment()["software"]


def pass_of_teacher(job: Job, case: Case, driver: dict[str, str]) -> None:
    """Run the case's teacher over its data. Where that fails, its cases fail as well, and their records say why."""
    with suppress(Exception):
        require_same(job, case, driver)
        _session(job).store_features(case)


class Notes(Progress):
    """What there is to say, kept for the machine that started this."""

    def __init__(self):
        super().__init__(None)
        self.texts: list[str] = []

    def say(self, text: str) -> None:
        self.texts.append(f"{platform.node()}: {text}")

    def taken(self) -> list[str]:
        """What was said since the last time."""
        texts, self.texts = self.texts, []
        return texts


NOTES = Notes()


def outcomes(job: Job, cases: list[Case], driver: dict[str, str], *after: object) -> dict[str, Outcome]:
    """Run the cases of a training run; their outcomes by id. ``after`` is what must be done before; it is not looked at."""
    from bench.run.worker import outcome

    try:
        require_same(job, cases[0], driver)
    except UserError as error:
        return {case.id: (str(error), False, []) for case in cases}
    return {case.id: (*outcome(lambda: _session(job), case, NOTES), NOTES.taken()) for case in cases}


def reported(outcome: Outcome, case: Case, folder: Path, progress: Progress) -> tuple[record.Record, bool]:
    """The record of a case by its outcome, and whether another session finished it; what was said is said here.

    Raises :class:`CaseError` with what the user reads of a failure.
    """
    failure, reused, notes = outcome
    for text in notes:
        progress.say(text)
    if failure:
        raise CaseError(failure)
    return record.load(folder, case.id), reused


def require_same(job: Job, case: Case, driver: dict[str, str]) -> None:
    """Raise :class:`UserError` where this machine does not see the results folder, or differs from the ``driver`` that
    started it."""
    if not _mark_of(job).exists():
        raise UserError(f"{platform.node()} does not see {job.folder}: results need a folder that all nodes see")
    here = facts(case)
    if different := [f"{name} {here[name]} instead of {driver[name]}" for name in driver if here[name] != driver[name]]:
        raise UserError(f"{platform.node()} differs from the machine that started this: {', '.join(different)}")


@cache
def _session(job: Job):
    """Of this process, which Ray gives one task after another."""
    from bench.run.session import Session

    return Session(job, NOTES)


def _mark_of(job: Job) -> Path:
    return job.folder / f".session-{job.session}"
