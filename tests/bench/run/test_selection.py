"""What a pytest session was asked for, and how an interrupted one goes on."""

import subprocess
import sys
from argparse import Namespace

import pytest

from bench.kit.paths import ROOT
from bench.results import record
from bench.run.selection import Selection
from tests.bench.made import made


@pytest.mark.parametrize(
    ("words", "again"),
    [
        (["bench", "--profile", "ci", "-k", "a and b"], "pytest bench --profile ci -k 'a and b'"),
        (["bench", "--rerun", "all", "-n", "2"], "pytest bench -n 2"),
        (["--rerun=all", "bench"], "pytest bench"),
    ],
)
def test_the_command_that_goes_on_does_not_start_anew(tiny_matrix, tmp_path, words, again):
    options = {"matrix": tiny_matrix, "profile": "tiny", "results": tmp_path, "precision": "auto"}
    selection = Selection(Namespace(**options, seeds=None, controls=None, baseline=None))
    selection.select(f"bench/test_distill.py::test_distill[{case.id}]" for case in selection.cases[:3])
    record.write(made(selection.cases[0]), tmp_path)
    assert selection.how_to_go_on(words) == (
        f"interrupted: 1 of 3 cases are done, and what the others had trained is kept. Go on with: {again}"
    )


@pytest.mark.parametrize("option", ["--baseline", "--save-baseline"])
def test_a_baseline_is_refused_where_no_benchmark_runs(option, tmp_path):
    words = [sys.executable, "-m", "pytest", "tests/bench/kit/test_files.py", option, str(tmp_path / "b.json")]
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == pytest.ExitCode.USAGE_ERROR and "are for the benchmark: pytest bench" in ran.stderr
