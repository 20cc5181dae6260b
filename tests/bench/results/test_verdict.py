"""The verdict as a person sees it."""

import pytest

from bench.results.verdict import NAMED, STEP_SUMMARY, Verdict, append_to_step_summary
from tests.bench.results.gate import FIRST, IDS, hold, records


@pytest.fixture
def verdict(baseline):
    """One case worse, one better, one failed with a hostile message, one on another machine."""
    entries = records(knn_top1=60.0)
    entries[IDS[1]].metrics["knn_top1"] = 90.0
    entries[IDS[2]].status, entries[IDS[2]].message = "failed", "a|b <b> [red]x[/red]\x1b[31m `y`"
    entries[IDS[3]].environment["software"]["torch"] = "2.16.0"
    return hold(baseline, entries)


def test_the_table_has_what_failed_or_changed_and_the_counts_come_last(verdict):
    lines = verdict.text().splitlines()
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
    # A message is shown as it is, but never as control characters.
    assert "FAIL: failed: a|b <b> [red]x[/red]?[31m `y`" in verdict.text() and "\x1b" not in verdict.text()


def test_the_markdown_has_the_same_rows_folds_what_is_not_comparable_and_is_broken_by_no_message(verdict):
    markdown = verdict.markdown()
    table = markdown.split("\n\n")[1].splitlines()
    rows = {line.split(" | ")[0].strip("| "): line for line in table}
    cells = {name: [cell.strip() for cell in line.strip("| ").split(" | ")[1:]] for name, line in rows.items()}
    assert markdown.startswith("**baseline FAILED: 11 of its 12 cases compared")
    assert cells[FIRST] == ["knn\\_top1", "70", "60", "-10", "3", "FAIL: worse"]
    assert cells[IDS[1]][:5] == ["knn\\_top1", "70", "90", "+20", "3"]
    assert "a\\|b \\<b\\> \\[red\\]" in rows[IDS[2]] and rows[IDS[2]].replace("\\|", "").count("|") == 8
    assert "* epoch\\_seconds of " + IDS[3] + ": not comparable: torch 2.15.0 -\\> 2.16.0" in markdown
    folded = markdown[markdown.index("<details>") :]
    assert "Not comparable: 1 values" in folded and IDS[3] in folded and folded.endswith("</details>")


def test_a_verdict_without_findings_is_one_line(baseline):
    passed = hold(baseline)
    assert passed.text() == "baseline passed: 12 of its 12 cases compared, 36 metrics, 0 failures"
    assert passed.markdown() == f"**{passed.text()}**"


def test_counts_are_shown_in_full(baseline):
    changed = hold(baseline, records(parameters=1234567))
    assert "100 1,234,567 +1,234,467 0 FAIL: changed" in " ".join(changed.text().split())


def test_the_step_summary_is_appended_where_there_is_one(verdict, tmp_path, monkeypatch):
    monkeypatch.setenv(STEP_SUMMARY, "")
    assert append_to_step_summary(verdict.markdown()) == ""
    monkeypatch.setenv(STEP_SUMMARY, str(tmp_path / "missing" / "summary.md"))
    assert "missing" in append_to_step_summary(verdict.markdown())
    path = tmp_path / "summary.md"
    path.write_text("what another step wrote\n")
    monkeypatch.setenv(STEP_SUMMARY, str(path))
    assert append_to_step_summary(verdict.markdown()) == ""
    assert path.read_text() == f"what another step wrote\n## distill-bench\n\n{verdict.markdown()}\n\n"


def test_a_note_on_hundreds_of_cases_names_the_first():
    verdict = Verdict(of=1)
    for number in range(NAMED + 300):
        verdict.add("one side only", f"case-{number}", "only in A")
    assert verdict.notes() == [f"{', '.join(f'case-{number}' for number in range(NAMED))} and 300 more: only in A"]
