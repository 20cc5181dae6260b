"""Cases as jobs of SLURM, by submitit: ``--executor slurm --slurm partition=gpu,gres=gpu:1,time=60``. Needs no torch here.

A teacher's pass is a job, and an array of jobs, one a training run, waits for it. A job that its time limit ends is queued
again, and goes on from its last checkpoint.
"""

import inspect
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from bench.kit.errors import UserError, unknown_name
from bench.kit.paths import ROOT
from bench.kit.progress import Progress
from bench.plan.case import Case
from bench.results import record, running
from bench.results.record import Record
from bench.run.job import CaseError, Job, by_run, key_of
from bench.run.remote import facts, mark, outcomes, pass_of_teacher

REQUEUES = 1000  # of a job whose time was up: it is a checkpoint further each time
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


class SlurmJobs:
    """Runs ``cases`` as jobs with these ``options`` of sbatch; raises :class:`UserError` for one that submitit does not take."""

    def __init__(self, job: Job, cases: Sequence[Case], progress: Progress, options: dict[str, str]):
        self.submitit, self.progress = load_submitit(), progress
        self._mark = mark(job)
        # SLURM hands the environment on to jobs.
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        options = dict(options)
        cluster = options.pop("cluster", "slurm")
        limit = {"slurm_max_num_timeout": REQUEUES} if cluster == "slurm" else {"local_max_num_timeout": REQUEUES}
        self.executor = self.submitit.AutoExecutor(job.folder / "slurm", cluster=cluster, **limit)
        self.executor.update_parameters(name="distill-bench", **_parameters(options))
        # Each job has what it asked for to itself.
        self.job = replace(job, beside=0)
        self._jobs = {}
        runs = by_run(cases)
        for key, first in {key_of(run[0]): run[0] for run in runs.values()}.items():
            self.executor.update_parameters(slurm_dependency=None)
            passed = self.executor.submit(Task(pass_of_teacher, self.job, first, facts(first)))
            self.executor.update_parameters(slurm_dependency=f"afterany:{passed.job_id}")
            if cluster != "slurm":
                passed.wait()
            with self.executor.batch():
                for name, run in runs.items():
                    if key_of(run[0]) == key:
                        self._jobs[name] = self.executor.submit(Task(outcomes, self.job, run, facts(run[0]), None))

    def run(self, case: Case, rounds: Callable) -> tuple[Record, bool]:
        """Wait for the record of a case, while others run; and whether another session finished it first.

        Raises :class:`CaseError` with what its job says of a failure.
        """
        job = self._jobs[case.run]
        with self.progress.task(case.id) as advance:
            while not job.done():
                if at := running.now(self.job.folder).get(case.id):
                    advance(at.epoch, at.epochs, f"{case.id} on {at.host}")
                time.sleep(LOOK_SECONDS)
        try:
            failure, reused = job.result()[case.id]
        except (self.submitit.core.utils.UncompletedJobError, self.submitit.core.utils.FailedJobError) as error:
            raise CaseError(f"its job {job.job_id} ended: {error}") from None
        if failure:
            raise CaseError(failure)
        return record.load(self.job.folder, case.id), reused

    def stop(self) -> None:
        """Cancel the jobs that are not done; what they trained is kept."""
        for job in self._jobs.values():
            if not job.done():
                job.cancel()
        self._mark.unlink(missing_ok=True)


def load_submitit():
    """submitit. Raises :class:`UserError` where it is not installed."""
    try:
        import submitit
    except ImportError:
        raise UserError("--executor slurm needs submitit: uv sync --extra slurm") from None
    return submitit


def _parameters(options: dict[str, str]) -> dict[str, object]:
    """Options of sbatch as submitit names them."""
    from submitit.slurm import slurm

    known = {
        name
        for name in inspect.signature(slurm._make_sbatch_string).parameters
        if name not in ("command", "folder", "job_name")
    }
    for name in options:
        if name not in known:
            raise UserError(f"--slurm: {unknown_name(name, known)}")
    return {f"slurm_{name}": int(value) if value.isdecimal() else value for name, value in options.items()}
