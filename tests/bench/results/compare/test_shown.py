"""The verdict as a person sees it."""

import pytest
from bench.results.compare.shown import VARIABLE

from bench.results import compare
from tests.bench.results.compare.results import CASES, FIRST, IDS, records, tolerances


@pytest.fixture
def verdict(baseline):
    """One case worse, one better, one failed with a hostile message, one on another machine."""
    found = records(knn_top1=60.0)
    found[IDS[1]].metrics["knn_top1"] = 90.0
    found[IDS[2]].status, found[IDS[2]].message = "failed", "a|b <b> [red]x[/red]\x1b[31m `y`"
    found[IDS[3]].environment["software"]["torch"] = "2.16.0"
    return compare.against(baseline, CASES, IDS, found, tolerances())


def rows(markdown):
    """Cells of the first table by case."""
    table = markdown.split("\n\n")[1].splitlines()
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table]
    return {row[0]: row[1:] for row in cells}


def test_the_table_has_what_failed_or_changed_and_the_counts_come_last(verdict):
    lines = compare.text(verdict).splitlines()
    cells = [line.split() for line in lines]
    assert lines[0].split() == ["case", "metric", "before", "now", "change", "tolerance", "verdict"]
    # 12 cases with 3 metrics, less the 3 of the failed case and the one that is not comparable
    assert lines[-1] == (
        "baseline FAILED: 11 of its 12 cases compared, 32 metrics, 2 failures, 1 better, 1 not comparable"
    )
    assert [FIRST, "knn_top1", "70", "60", "-10", "3", "FAIL:", "worse"] in cells[1:3]
    assert {row[0] for row in cells[1:3]} == {FIRST, IDS[2]}
    assert cells[3] == [IDS[1], "knn_top1", "70", "90", "+20", "3", "better"]
    assert lines[4].startswith(f"epoch_seconds of {IDS[3]}: not comparable") and len(lines) == 6


def test_messages_are_shown_as_they_are_but_never_as_control_characters(verdict):
    text = compare.text(verdict)
    assert "FAIL: failed: a|b <b> [red]x[/red]?[31m `y`" in text and "\x1b" not in text


def test_the_markdown_has_the_same_rows_and_folds_what_is_not_comparable(verdict):
    markdown = compare.markdown(verdict)
    found = rows(markdown)
    assert markdown.startswith("**baseline FAILED: 11 of its 12 cases compared")
    assert found[FIRST] == ["knn_top1", "70", "60", "-10", "3", "FAIL: worse"]
    assert found[IDS[1]][:5] == ["knn_top1", "70", "90", "+20", "3"]
    assert "* epoch_seconds of " + IDS[3] + ": not comparable: torch 2.15.0 -\\> 2.16.0" in markdown
    folded = markdown[markdown.index("<details>") :]
    assert "Not comparable: 1 values" in folded and IDS[3] in folded and folded.endswith("</details>")


def test_a_message_cannot_break_the_markdown(verdict):
    line = next(line for line in compare.markdown(verdict).splitlines() if line.startswith(f"| {IDS[2]}"))
    assert "a\\|b \\<b\\> \\[red\\]" in line
    assert line.replace("\\|", "").count("|") == 8


def test_a_verdict_without_findings_is_one_line(baseline):
    passed = compare.against(baseline, CASES, IDS, records(), tolerances())
    assert compare.text(passed) == "baseline passed: 12 of its 12 cases compared, 36 metrics, 0 failures"
    assert compare.markdown(passed) == f"**{compare.text(passed)}**"


def test_counts_are_shown_in_full(baseline):
    changed = compare.against(baseline, CASES, IDS, records(parameters=1234567), tolerances())
    assert "100 1,234,567 +1,234,467 0 FAIL: changed" in " ".join(compare.text(changed).split())


def test_the_step_summary_is_appended(verdict, tmp_path, monkeypatch):
    path = tmp_path / "summary.md"
    path.write_text("what another step wrote\n")
    monkeypatch.setenv(VARIABLE, str(path))
    assert compare.append_to_step_summary(verdict) == ""
    text = path.read_text()
    assert text.startswith("what another step wrote\n## distill-bench\n\n**baseline FAILED")
    assert compare.markdown(verdict) in text


def test_a_step_summary_that_cannot_be_written_is_told(verdict, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "missing" / "summary.md"))
    assert "missing" in compare.append_to_step_summary(verdict) and VARIABLE in compare.append_to_step_summary(verdict)


@pytest.mark.parametrize("value", [None, ""])
def test_without_the_variable_nothing_is_written(verdict, tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False) if value is None else monkeypatch.setenv(VARIABLE, value)
    assert compare.append_to_step_summary(verdict) == "" and not list(tmp_path.glob("*.md"))
