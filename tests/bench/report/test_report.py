"""A report is written from the records of a results folder, and held against a baseline as a session is."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from PIL import Image

from bench import report
from bench.__main__ import main
from bench.plan import matrix
from bench.results import baseline, record
from bench.run.summary import Ending
from tests.bench.made import made

CASES = matrix.cases(matrix.load(), "pocket")


def test_a_record_counts_in_whatever_precision_it_ran_but_not_of_another_configuration(tmp_path):
    case = CASES[0]
    fast = replace(case, precision="bf16")
    assert report.current(case, {case.id: made(fast)}) is not None
    assert report.current(case, {case.id: made(replace(fast, learning_rate=0.5))}) is None
    assert report.current(case, {}) is None
    record.write(made(case, fingerprint="another"), tmp_path)
    assert "0 of 2 cases are done" in report.write(tmp_path, CASES[:2], "pocket").read_text()


def test_only_the_picture_of_a_present_result_is_shown_and_each_plot_has_a_light_and_a_dark_look(tmp_path):
    (tmp_path / "explain").mkdir()
    for case, changes in ((CASES[0], {}), (CASES[1], {"fingerprint": "another"}), (CASES[2], {"status": "failed"})):
        record.write(made(case, **changes), tmp_path)
        Image.new("RGB", (2, 2)).save(record.picture_of(tmp_path, case.id))
    text = report.write(tmp_path, CASES[:4], "pocket").read_text()
    assert [case.id for case in CASES[:4] if f"(explain/{case.id}.png)" in text] == [CASES[0].id]
    for name in ("accuracy", "curves", "in-batch"):
        assert f'<source media="(prefers-color-scheme: dark)" srcset="{name}-dark.svg">' in text
        assert f'src="{name}.svg">' in text
        light, dark = ((tmp_path / f"{name}{look}.svg").read_bytes() for look in ("", "-dark"))
        assert light != dark and max(len(light), len(dark)) < 300_000


@pytest.fixture
def gate(tmp_path, monkeypatch):
    """``gate(accuracy, precision)`` runs the report command over the ci profile's records, held against a baseline of 60 %."""
    monkeypatch.setattr(report, "PLOTS", {})
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    loaded, file = matrix.load(), tmp_path / "baseline.json"
    cases = matrix.cases(loaded, "ci")

    def run(accuracy, precision="auto"):
        ran = [replace(case, precision=precision) for case in cases]
        ids = [case.id for case in ran]
        baseline.save(file, "ci", tuple(ran), ids, {case.id: made(case, 60.0) for case in ran}, loaded.tolerances)
        for case in ran:
            record.write(made(case, accuracy), tmp_path)
        return main(["report", "--profile", "ci", "--results", str(tmp_path), "--baseline", str(file), "--html"])

    return run


@pytest.mark.parametrize(("accuracy", "code", "word"), [(60.0, 0, "passed"), (50.0, 1, "FAILED")])
def test_the_report_command_holds_kept_records_against_a_baseline_as_a_session_does(
    gate, tmp_path, capsys, accuracy, code, word
):
    assert gate(accuracy) == code
    text, page = (tmp_path / "report.md").read_text(), (tmp_path / "report.html").read_text()
    summary = f"baseline {word}: 12 of its 12 cases compared"
    assert f"## Baseline\n\n**{summary}" in text and f"<strong>{summary}" in page
    assert summary in capsys.readouterr().out
    option = SimpleNamespace(baseline=tmp_path / "baseline.json", save_baseline=None, profile="ci")
    loaded = matrix.load()
    cases = matrix.cases(loaded, "ci")
    ids = [case.id for case in cases]
    Ending(SimpleNamespace(matrix=loaded, cases=cases, ids=ids, folder=tmp_path, option=option))
    assert (tmp_path / "report.md").read_text() == text


def test_kept_records_are_held_in_the_precision_they_ran_in(gate):
    assert gate(60.0, precision="bf16") == 0


def test_cases_without_a_record_fail_a_report_with_a_baseline(gate, tmp_path):
    gate(60.0)
    record.path_of(tmp_path, matrix.cases(matrix.load(), "ci")[0].id).unlink()
    words = ["report", "--profile", "ci", "--results", str(tmp_path), "--baseline", str(tmp_path / "baseline.json")]
    assert main(words) == 1 and "did not run" in (tmp_path / "report.md").read_text()


def test_a_file_that_is_no_baseline_is_refused_before_the_report_is_written(tmp_path, capsys):
    (tmp_path / "report.md").write_text("old")
    assert main(["report", "--results", str(tmp_path), "--baseline", str(tmp_path / "report.md")]) == 2
    assert "is not a usable baseline" in capsys.readouterr().err and (tmp_path / "report.md").read_text() == "old"
