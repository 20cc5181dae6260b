"""What a pytest session was asked for, and how an interrupted one goes on."""

import shutil
import subprocess
import sys
from argparse import Namespace

import pytest

from bench.kit.paths import ROOT
from bench.results import record
from bench.run.selection import Selection
from tests.bench.made import made


def chosen(matrix_file, results):
    options = {"matrix": matrix_file, "profile": "tiny", "results": results, "precision": "auto"}
    return Namespace(**options, seeds=None, controls=None, baseline=None)


@pytest.mark.parametrize(
    ("words", "again"),
    [
        (["bench", "--profile", "ci", "-k", "a and b"], "pytest bench --profile ci -k 'a and b'"),
        (["bench", "--rerun", "all", "-n", "2"], "pytest bench -n 2"),
        (["--rerun=all", "bench"], "pytest bench"),
    ],
)
def test_the_command_that_goes_on_does_not_start_anew(tiny_matrix, tmp_path, words, again):
    selection = Selection(chosen(tiny_matrix, tmp_path))
    selection.select(f"bench/test_distill.py::test_distill[{case.id}]" for case in selection.cases[:3])
    record.write(made(selection.cases[0]), tmp_path)
    assert selection.how_to_go_on(words) == (
        f"interrupted: 1 of 3 cases are done, and what the others had trained is kept. Go on with: {again}"
    )


@pytest.mark.parametrize("form", [
    "bench/test_distill.py::test_distill[{}]", "bench/test_distill.py::test_distill[{}-1-2]",
    "bench/test_distill.py::test_distill[1-2-{}]", "a[1]/bench/test_distill.py::test_distill[{}]@group",
])  # fmt: skip
def test_a_case_is_recognised_whatever_other_plugins_make_of_its_id(tiny_matrix, tmp_path, form):
    """The second form is pytest-repeat's (--count 2), the last pytest-xdist's (--dist loadgroup) below an odd folder."""
    selection = Selection(chosen(tiny_matrix, tmp_path))
    ids = [case.id for case in selection.cases[:2]]
    selection.select(form.format(name) for name in [*ids, ids[0], "no-such-case"])
    assert selection.ids == ids


def pytest_bench(*words, **options):
    ran = subprocess.run([sys.executable, "-m", "pytest", *map(str, words)], cwd=ROOT, capture_output=True, text=True,
                         timeout=120, **options)  # fmt: skip
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.parametrize("option", ["--data", "--baseline", "--results"])
def test_a_path_below_a_conftest_of_its_own_is_an_options_value_and_no_more(tmp_path, option):
    """Pytest loads the conftest.py above whatever it takes for a path, and these declare the same option."""
    (tmp_path / "conftest.py").write_text("def pytest_addoption(parser): parser.addoption('--device')\n")
    path = tmp_path / "there"
    path.write_bytes((ROOT / "reports/baselines/ci.json").read_bytes()) if option == "--baseline" else path.mkdir()
    code, text = pytest_bench("bench", "--profile", "ci", option, path, "--collect-only", "-q")
    assert code == 0 and "12 tests collected" in text


def test_a_root_that_pytest_took_from_an_options_value_is_a_usage_error(tmp_path):
    other = tmp_path / "other"
    for name in ("bench", "students", "teachers"):
        shutil.copytree(ROOT / name, other / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "matrix.yaml"):
        shutil.copyfile(ROOT / name, other / name)
    code, text = pytest_bench("--matrix", other / "matrix.yaml", "bench", "--collect-only", "-q")
    assert code == pytest.ExitCode.USAGE_ERROR and f"took {other} for its root: write the folder first" in text


@pytest.mark.parametrize("option", ["--benchmark-json=times.json", "--benchmark-compare", "--benchmark-save=now"])
def test_what_pytest_benchmark_leaves_out_in_silence_under_xdist_is_a_usage_error(tiny_matrix, option):
    code, text = pytest_bench("bench", "--matrix", tiny_matrix, "--profile", "tiny", "-n", "2", option)
    assert code == pytest.ExitCode.USAGE_ERROR and f"leave out {option.partition('=')[0]}" in text


def test_a_gate_that_recognises_no_case_fails_and_says_so(tiny_matrix, tmp_path):
    words = ["bench", "--matrix", tiny_matrix, "--profile", "tiny", "--results", tmp_path, "-k", "no_such_case"]
    code, text = pytest_bench(*words, "--baseline", ROOT / "reports/baselines/ci.json")
    assert code != 0 and "baseline FAILED: 0 of its" in text


@pytest.mark.parametrize("option", ["--baseline", "--save-baseline"])
def test_a_baseline_is_refused_where_no_benchmark_runs(option, tmp_path):
    code, text = pytest_bench("tests/bench/kit/test_checksum.py", option, tmp_path / "b.json")
    assert code == pytest.ExitCode.USAGE_ERROR and "are for the benchmark: pytest bench" in text
