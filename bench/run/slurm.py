"""Cases as jobs of SLURM, by submitit: ``--executor slurm --slurm partition=gpu,gres=gpu:1,time=60``. Needs no torch here.

A teacher's pass is a job, and an array of jobs, one a training run, waits for it. A job that its time limit ends is queued
again, and goes on from its last checkpoint.
"""

import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bench.kit.errors import UserError
from bench.kit.paths import ROOT
from bench.kit.progress import Progress
from bench.plan.case import Case
from bench.results import running
from bench.results.record import Record
from bench.run.job import CaseError, Job, by_run, key_of
from bench.run.remote import facts, mark, outcomes, pass_of_teacher, reported

RETRIES = 3  # of a job that ended without a result
REQUEUES = 1000  # of what its time limit ended: it is a checkpoint further each time
LOOK_SECONDS = 1  # between looks at how far the cases are


class Task:
    """What a job runs: ``function(*arguments)``, and again after its time limit."""

    def __init__(self, function: Callable, *arguments: object):
        self.function, self.arguments = function, arguments

    def __call__(self) -> object:
        return self.function(*self.arguments)

    def checkpoint(self) -> object:
        """What submitit queues in place of a job whose time is up; what it did lies in the results folder."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class Slurm:
    """Runs ``cases`` with these ``options`` of sbatch, see :func:`submitter`."""

    def __init__(self, job: Job, cases: Sequence[Case], progress: Progress, options: str | None):
        self.folder, self.progress = job.folder, progress
        self._mark = mark(job)
        # SLURM hands the environment on.
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._submit = submitter(job.folder, options)
        job = replace(job, beside=0)  # each has what it asked for to itself
        self._submitted, self._passes, self._left = {}, [], {}
        runs = by_run(cases)
        self._tasks = {name: Task(outcomes, job, run, facts(run[0])) for name, run in runs.items()}
        try:
            self._submit_all(job, runs)
        except BaseException:  # nobody has what would stop them
            self.stop()
            raise

    def _submit_all(self, job: Job, runs: dict[str, list[Case]]) -> None:
        submit = self._submit
        for key, first in {key_of(run[0]): run[0] for run in runs.values()}.items():
            submit.update_parameters(slurm_dependency=None)
            passed = submit.submit(Task(pass_of_teacher, job, first, facts(first)))
            self._passes.append(passed)
            if submit.cluster == "slurm":
                submit.update_parameters(slurm_dependency=f"afterany:{passed.job_id}")
            else:
                passed.wait()
            with submit.batch():
                array = {name: submit.submit(self._tasks[name]) for name, run in runs.items() if key_of(run[0]) == key}
            self._submitted |= array  # before, they have no number

    def run(self, case: Case, rounds: Callable) -> tuple[Record, bool]:
        """Wait for the record of a case, while others run; and whether another session finished it first.

        Raises :class:`CaseError` with what it says of a failure.
        """
        from submitit.core.utils import FailedJobError, UncompletedJobError

        with self.progress.task(case.id) as advance:
            while not self._is_done(case.run):
                if at := running.last(self.folder, case.id):
                    advance(at.epoch, at.epochs, f"{case.id} on {at.host}")
                time.sleep(LOOK_SECONDS)
        submitted = self._submitted[case.run]
        try:
            outcome = submitted.result()[case.id]
        except (UncompletedJobError, FailedJobError) as error:
            raise CaseError(f"SLURM's job {submitted.job_id} ended: {error}") from None
        return reported(outcome, case, self.folder, self.progress)

    def _is_done(self, run: str) -> bool:
        """Whether the run's job has ended; one that was killed is submitted again."""
        from submitit.core.utils import UncompletedJobError

        submitted = self._submitted[run]
        if not submitted.done():
            return False
        left = self._left.get(run, RETRIES)
        # FailedJobError, a subclass, is an exception that the job itself raised.
        if type(submitted.exception()) is not UncompletedJobError or not left:
            return True
        self._left[run] = left - 1
        self.progress.say(f"{run}: SLURM's job {submitted.job_id} ended without a result; it is submitted again")
        self._submit.update_parameters(slurm_dependency=None)
        self._submitted[run] = self._submit.submit(self._tasks[run])
        return False

    def stop(self) -> None:
        """Cancel what is not done; what it trained is kept."""
        for submitted in (*self._submitted.values(), *self._passes):
            if not submitted.done():
                submitted.cancel()
        self._mark.unlink(missing_ok=True)


def parsed(options: str) -> dict[str, str]:
    """``NAME=VALUE,NAME=VALUE`` as pairs. A value may hold commas: ``partition=a100,h100,time=60``."""
    return dict(part.partition("=")[::2] for part in re.split(r",(?=[\w-]+=)", options))


def submitter(folder: Path, options: str | None):
    """submitit's executor, whose logs lie in a results folder; ``options`` are ``NAME=VALUE,NAME=VALUE`` for sbatch.

    Raises :class:`UserError` where submitit or SLURM is not there, and for an option that submitit does not take.
    """
    try:
        import submitit
    except ImportError:
        raise UserError("--executor slurm needs submitit: uv sync --extra slurm") from None
    pairs = parsed(options) if options else {}
    if not all(pairs.values()):
        raise UserError(f"--slurm {options}: expected NAME=VALUE,NAME=VALUE")
    cluster = pairs.pop("cluster", "slurm")
    if cluster == "local" and any(name.startswith(("gpu", "gres")) for name in pairs):
        raise UserError(
            f"--slurm {options}: submitit gives GPU 0 to every local job; --executor processes shares GPUs out"
        )
    try:
        executor = submitit.AutoExecutor(folder / "slurm", cluster=cluster, **{f"{cluster}_max_num_timeout": REQUEUES})
        numbers = {f"slurm_{name}": int(value) if value.isdecimal() else value for name, value in pairs.items()}
        executor.update_parameters(name="distill-bench", **numbers)
    except (NameError, RuntimeError, ValueError) as error:
        raise UserError(f"--slurm {options or ''}: {error}") from None
    return executor
