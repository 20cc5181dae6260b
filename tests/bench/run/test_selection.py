"""What a pytest session was asked for, how an interrupted one goes on, and the end: what decides the exit code, what is printed."""

import shutil
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from types import SimpleNamespace

import pytest

from bench import report
from bench.kit.errors import UserError
from bench.kit.paths import ROOT
from bench.kit.progress import Progress
from bench.plan import matrix
from bench.results import record
from bench.run.selection import Ending, Selection, is_benchmark
from tests.bench.made import made
from tests.forking import Order


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
        f"interrupted: 1 of 3 cases are done, and partly trained ones are kept. Resume with: {again}"
    )


def test_an_interrupted_distill_goes_on_with_its_own_command(tiny_matrix, tmp_path):
    selection = Selection(chosen(tiny_matrix, tmp_path))
    selection.option.profile = "distill"
    assert selection.how_to_go_on(["bench"]).endswith("Resume with: the same command")


@pytest.mark.parametrize(("given", "executor"), [
    ({}, "processes"), ({"benchmark_json": "a.json"}, "serial"), ({"benchmark_save": "a"}, "serial"),
    ({"benchmark_compare": "a", "executor": "processes"}, "processes"), ({"executor": "serial"}, "serial"),
])  # fmt: skip
def test_cases_run_in_this_process_where_pytest_benchmark_keeps_what_it_timed(tiny_matrix, tmp_path, given, executor):
    option = Namespace(**vars(chosen(tiny_matrix, tmp_path)) | {"executor": None} | given)
    assert Selection(option).executor == executor


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


@pytest.mark.parametrize(("keyword", "node", "hint"), [
    ("blip and cbma", "", "no case of profile 'ci' has cbma in its id, did you mean 'cbam'?"),
    ("blip and not cbam-4pe", "", ""),  # selects some
    ("dino and CBAM or not 4ep", "", ""),
    ("shapes-dino-cbma", "", "no case of profile 'ci' has shapes-dino-cbma in its id, did you mean 'shapes-dino-cbam-4ep'?"),
    ("", "shapes-dino-cbma-4ep", "profile 'ci' has no case shapes-dino-cbma-4ep, did you mean 'shapes-dino-cbam-4ep'?"),
    ("", "shapes-dino-densenet-10ep-rkd", "shapes-dino-densenet-10ep-rkd is a case of profile 'losses': add --profile losses"),
    ("", "shapes-dino-cbam-4ep", ""),
])  # fmt: skip
def test_who_selects_no_case_is_told_the_nearest(tmp_path, keyword, node, hint):
    selection = Selection(Namespace(**vars(chosen(matrix.DEFAULT, tmp_path)) | {"profile": "ci"}))
    selection.select([f"a.py::b[{selection.cases[0].id}]"] if "not" in keyword else [])
    assert selection.hint(keyword, [f"bench/test_distill.py::test_distill[{node}]" if node else "bench"]) == hint


@pytest.mark.parametrize(("part", "words", "status", "said"), [
    ("2/2", ["-k", "scenes"], 0, "other parts of --shard have all cases: nothing is left for this one"),
    ("2/2", ["-k", "scense"], 5, "no case of profile 'ci' has scense in its id, did you mean 'scenes'?"),
])  # fmt: skip
def test_a_part_without_a_case_is_no_failure_and_a_wrong_word_is(pytest_bench, tmp_path, part, words, status, said):
    code, text = pytest_bench("bench", "--profile", "ci", "--results", tmp_path, "--shard", part, *words)
    assert (code, said in text) == (status, True), text


@pytest.fixture
def pytest_bench(server):
    """``pytest_bench(*words)`` runs pytest in a process of its own: how it ended, and what it printed."""

    def run(*words):
        ran = server([Order(["-m", "pytest", *map(str, words)])])[0]
        return ran.status, ran.output

    return run


@pytest.mark.parametrize("option", ["--data", "--baseline", "--results"])
def test_a_path_below_a_conftest_of_its_own_is_an_options_value_and_no_more(pytest_bench, tmp_path, option):
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
    words = [sys.executable, "-m", "pytest", "--matrix", other / "matrix.yaml", "bench", "--collect-only", "-q"]
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ran.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"took {other} for its root: write the folder first" in ran.stderr


@pytest.mark.parametrize("option", ["benchmark_json", "benchmark_compare", "benchmark_save", "benchmark_histogram"])
def test_what_pytest_benchmark_leaves_out_in_silence_under_xdist_is_a_usage_error(option):
    def chosen(dist):
        options = Namespace(dist=dist, baseline=None, save_baseline=None, **{option: "times"})
        return is_benchmark([str(ROOT / "bench")], options)

    with pytest.raises(UserError, match=f"leave out --{option.replace('_', '-')}, or -n"):
        chosen("load")
    assert chosen("no")


def test_a_baseline_of_another_profile_is_refused_before_anything_runs(tiny_matrix, tmp_path):
    option = chosen(tiny_matrix, tmp_path)
    option.baseline = ROOT / "reports/baselines/ci.json"
    with pytest.raises(
        UserError, match=r"ci\.json is the baseline of profile 'ci', and this is 'tiny': add --profile ci"
    ):
        Selection(option)


def test_a_gate_that_recognises_no_case_fails_and_says_so(pytest_bench, tmp_path):
    words = ["bench", "--profile", "ci", "--results", tmp_path, "-k", "no_such_case"]
    code, text = pytest_bench(*words, "--baseline", ROOT / "reports/baselines/ci.json")
    assert code != 0 and "baseline FAILED: 0 of its" in text


@pytest.mark.parametrize("option", ["--baseline", "--save-baseline"])
def test_a_baseline_is_refused_where_no_benchmark_runs(pytest_bench, option, tmp_path):
    code, text = pytest_bench("tests/bench/kit/test_files.py", option, tmp_path / "b.json")
    assert code == pytest.ExitCode.USAGE_ERROR and "are for the benchmark: pytest bench" in text


MATRIX = matrix.load()
CASES = matrix.cases(MATRIX, "ci")
IDS = [case.id for case in CASES]


class Reporter:
    """Keeps what pytest's terminal reporter would write."""

    def __init__(self):
        self.stats, self.lines = {}, []

    def section(self, title):
        self.lines.append(title)

    def write_line(self, line, **colours):
        self.lines.append(line)


@pytest.fixture(autouse=True)
def no_report(monkeypatch):
    """The report has tests of its own."""
    monkeypatch.setattr(report, "write", lambda folder, *rest, **options: [folder / "report.md"])
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


@pytest.fixture
def run(tmp_path):
    """``run(options, accuracy=..., selected=...)`` ends a session over finished records: the ending, and what it printed."""

    def end(accuracy=60.0, selected=IDS, profile="ci", timed_on="", precision="auto", **options):
        for case in CASES:
            ran = replace(case, precision=precision)
            entry = made(ran, accuracy)
            if timed_on:
                entry.set_time("epoch_seconds", 0.4, timed_on)
            record.write(entry, tmp_path)
        option = {"baseline": None, "save_baseline": None, "profile": profile, "log": None} | options
        option |= {"matrix": matrix.DEFAULT, "seeds": None, "controls": None}
        chosen = [case for case in CASES if case.id in selected]
        selection = {"matrix": MATRIX, "cases": CASES, "chosen": chosen, "folder": tmp_path}
        ending = Ending(SimpleNamespace(**selection, option=SimpleNamespace(**option)), Progress(None))
        reporter = Reporter()
        ending.print(reporter)
        return ending, "\n".join(reporter.lines)

    return end


@pytest.fixture
def baseline(run, tmp_path):
    path = tmp_path / "baseline.json"
    ending, printed = run(save_baseline=path)
    assert ending.good and f"baseline written: {path}: 12 of the 12 cases of profile 'ci'" in printed
    return path


def test_the_baseline_decides(run, baseline):
    passed, printed = run(baseline=baseline)
    assert passed.good and "baseline passed: 12 of its 12 cases compared" in printed
    failed, printed = run(accuracy=50.0, baseline=baseline)
    assert not failed.good and "baseline FAILED" in printed and "FAIL: worse" in printed


def test_without_a_baseline_nothing_is_decided(run):
    ending, printed = run()
    assert ending.good and "compared" not in printed and "written" not in printed


def test_what_to_take_is_printed(run, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    lines = [line.split("  ")[0] for line in run()[1].splitlines()]
    assert {"budget", "dino on shapes, under 10 MB", "blip on scenes, under 10 MB"} <= {*lines}
    assert "| dino on shapes, under 10 MB | nothing yet (" in (tmp_path / "summary.md").read_text()


def test_records_of_another_precision_are_not_told_as_results_of_this_session(run):
    assert run()[1].count("done") == len(CASES)
    ending, printed = run(precision="bf16")
    assert set(ending.results.values()) == {None} and "done" not in printed and printed.count("not run") == len(CASES)


def test_a_time_that_another_machine_measured_is_not_told(run):
    assert run()[1].count("0.40") == len(CASES)
    assert "0.40" not in run(timed_on="NVIDIA X")[1]


def test_a_part_is_held_against_its_part(run, baseline):
    ending, printed = run(baseline=baseline, selected=IDS[:2])
    assert ending.good and "2 of its 12 cases compared" in printed
    assert "10 cases of the baseline were not selected" in printed


def test_a_part_does_not_replace_the_baseline(run, baseline):
    before = baseline.read_bytes()
    ending, printed = run(save_baseline=baseline, selected=IDS[:2])
    assert not ending.good and "10 others" in printed and baseline.read_bytes() == before


def test_one_file_can_be_compared_with_and_renewed_at_once(run, baseline):
    ending, printed = run(accuracy=50.0, baseline=baseline, save_baseline=baseline)
    assert not ending.good and "baseline FAILED" in printed and "baseline written" in printed
    assert run(accuracy=50.0, baseline=baseline)[0].good


def test_a_baseline_that_vanished_during_the_run_fails(run, baseline):
    baseline.unlink()
    ending, printed = run(baseline=baseline)
    assert not ending.good and "is not a usable baseline" in printed


@pytest.mark.parametrize("with_baseline", [False, True])
def test_the_summary_page_has_the_cases_and_the_verdict_where_there_is_one(
    run, baseline, monkeypatch, tmp_path, with_baseline
):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    run(accuracy=50.0, **{"baseline": baseline} if with_baseline else {})
    text = (tmp_path / "summary.md").read_text()
    assert text.count("## distill-bench") == 1 and f"{len(CASES)} of {len(CASES)} cases are done." in text
    assert all(f"| {case.id} | done | 50.0 | 65.0 | 1.0 |" in text for case in CASES)
    assert ("**baseline FAILED" in text) == with_baseline


def test_a_summary_page_that_cannot_be_written_is_told_and_decides_nothing(run, baseline, monkeypatch, tmp_path):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "missing" / "summary.md"))
    ending, printed = run(baseline=baseline)
    assert ending.good and "GITHUB_STEP_SUMMARY" in printed


@pytest.mark.parametrize("part", ["bench.report.write", "bench.report.summary.decisions"])
@pytest.mark.parametrize("error", [OSError("no space left on device"), KeyError("claims")])
def test_a_report_that_cannot_be_written_fails_and_does_not_hide_the_verdict(run, baseline, monkeypatch, part, error):
    """The second is what a damaged reports/paper.yaml leads to."""
    monkeypatch.setattr(part, lambda *_, **options: (_ for _ in ()).throw(error))
    ending, printed = run(baseline=baseline)
    assert not ending.good and "baseline passed" in printed
    assert f"the report is not written: {type(error).__name__}: {error}" in printed
