"""Cases as jobs of submitit, whose local executor stands for SLURM, end with the records of a serial run."""

import os
import subprocess
import sys

import pytest

from bench.kit.errors import UserError
from bench.kit.paths import ROOT
from bench.run import slurm
from tests.robustness.conftest import results_of

pytest.importorskip("submitit", reason="submitit is not there: uv sync --extra slurm")


def test_options_are_those_of_sbatch():
    assert slurm._parameters({"partition": "gpu", "gres": "gpu:1", "time": "60"}) == {
        "slurm_partition": "gpu", "slurm_gres": "gpu:1", "slurm_time": 60,
    }  # fmt: skip
    with pytest.raises(UserError, match="--slurm: there is no 'partitoin', did you mean 'partition'"):
        slurm._parameters({"partitoin": "gpu"})


def test_a_job_whose_time_is_up_is_queued_as_it_was():
    from submitit.helpers import DelayedSubmission

    again = slurm.Task(max, 1, 2).checkpoint()
    assert isinstance(again, DelayedSubmission) and again.function() == 2


@pytest.mark.slow
def test_jobs_end_with_the_curves_of_a_serial_run(ordered, whole, tmp_path):
    words = ordered(tmp_path, "--executor", "slurm", "--slurm", "cluster=local").words
    ran = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=os.environ | {"CI": "true"}, capture_output=True, text=True
    )
    assert ran.returncode == 0 and "4 passed" in ran.stdout, ran.stdout + ran.stderr

    def figures(place):
        return {name: (record["status"], record["curve"]) for name, record in results_of(place).items()}

    assert figures(tmp_path) == figures(whole)
