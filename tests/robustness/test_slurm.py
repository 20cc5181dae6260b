"""Cases as jobs of submitit, whose local executor stands for SLURM, end with the records of a serial run."""

import os
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from bench.kit.paths import ROOT
from bench.kit.progress import Progress
from bench.plan import matrix
from bench.run import slurm
from bench.run.job import Job
from tests.forking import LITTLE_MEASURED
from tests.robustness.conftest import results_of, retries_of
from tests.robustness.test_workers import KILLER

pytest.importorskip("submitit", reason="submitit is not there: uv sync --extra slurm")


def test_a_value_may_hold_commas():
    options = "partition=a100,h100,gres=gpu:1,time=60,exclude=n[1-3,7]"
    expected = {"partition": "a100,h100", "gres": "gpu:1", "time": "60", "exclude": "n[1-3,7]"}
    assert slurm.parsed(options) == expected and slurm.parsed("partition=gpu") == {"partition": "gpu"}


@pytest.mark.parametrize(("options", "message"), [
    ("cluster=local,partitoin=gpu", "partitoin"), ("partition", "expected NAME=VALUE"), ("partition=gpu", "srun"),
    ("cluster=local,gpus_per_node=1", "GPU 0 to every local job"),
])  # fmt: skip
def test_wrong_options_and_a_machine_without_slurm_are_usage_errors(run, tmp_path, options, message):
    ran = run(tmp_path, "--executor", "slurm", "--slurm", options)
    assert ran.status == pytest.ExitCode.USAGE_ERROR and f"--slurm {options}: " in ran.output and message in ran.output


def test_a_job_whose_time_is_up_is_queued_as_it_was():
    from submitit.helpers import DelayedSubmission

    again = slurm.Task(max, 1, 2).checkpoint()
    assert isinstance(again, DelayedSubmission) and again.function() == 2


@pytest.fixture
def queue(monkeypatch):
    """A queue that never begins a job; what was ``submitted`` to it and what ``cancelled``. The ``last`` one is interrupted."""
    submitted, cancelled = [], []

    class Queued:
        def __init__(self):
            self.job_id = len(submitted)
            if self.job_id == made.last:
                raise KeyboardInterrupt
            submitted.append(self)

        def done(self):
            return False

        def cancel(self):
            cancelled.append(self)

    made = SimpleNamespace(
        cluster="slurm", submit=lambda task: Queued(), batch=nullcontext, update_parameters=lambda **options: None,
        submitted=submitted, cancelled=cancelled, last=None,
    )  # fmt: skip
    monkeypatch.setattr(slurm, "submitter", lambda folder, options: made)
    return made


@pytest.fixture
def job(tmp_path):
    cases = matrix.cases(matrix.load(), "ci")
    return Job(tmp_path, cases, frozenset(case.id for case in cases))


def test_an_interrupted_session_leaves_no_job_in_the_queue_not_even_a_teachers_pass(queue, job):
    slurm.Slurm(job, job.cases, Progress(None), None).stop()
    assert len(queue.submitted) == len({case.run for case in job.cases}) + 2
    assert {*queue.cancelled} == {*queue.submitted}


def test_a_session_interrupted_while_it_submits_leaves_nothing_either(queue, job):
    queue.last = 1 + len({case.run for case in job.cases if "shapes" in case.id})  # the second teacher's pass
    with pytest.raises(KeyboardInterrupt):
        slurm.Slurm(job, job.cases, Progress(None), None)
    assert queue.cancelled and {*queue.cancelled} == {*queue.submitted}
    assert not any(job.folder.glob(".session-*"))


@pytest.mark.slow
def test_jobs_end_with_the_curves_of_a_serial_run_also_where_one_is_killed(ordered, whole, tmp_path):
    words = ordered(tmp_path, "--executor", "slurm", "--slurm", "cluster=local", "-k", "shapes").words
    # A job is killed in its second case; it alone, not the processes around it, imports what kills it.
    (tmp_path / "left").write_text("1")
    (tmp_path / "killer.py").write_text(KILLER)
    (tmp_path / "little.py").write_text(LITTLE_MEASURED)
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nif 'submitit.core._submit' in sys.orig_argv:\n    import killer, little\n"
    )
    env = os.environ | {"CI": "true", "PYTHONPATH": str(tmp_path), "KILLS_LEFT": str(tmp_path / "left")}
    ran = subprocess.run([sys.executable, *words], cwd=ROOT, env=env, capture_output=True, text=True)
    assert ran.returncode == 0 and "2 passed" in ran.stdout, ran.stdout + ran.stderr
    assert retries_of(tmp_path)["shapes-dino-projection-2ep"] == 1

    def figures(place):
        return {
            name: (record["status"], record["curve"]) for name, record in results_of(place).items() if "shapes" in name
        }

    assert figures(tmp_path) == figures(whole)
