"""A report is written from the records of a results folder, and held against a baseline as a session is."""

import errno
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
from PIL import Image

from bench import report
from bench.__main__ import main
from bench.kit.errors import UserError
from bench.kit.files import WriteError
from bench.kit.progress import Progress
from bench.plan import matrix
from bench.report import redraw
from bench.results import baseline, record
from bench.run.selection import Ending
from tests.bench.made import made

CASES = matrix.cases(matrix.load(), "pocket")
IDS = [case.id for case in CASES]


def test_a_record_counts_in_whatever_precision_it_ran_but_not_of_another_configuration(tmp_path):
    fast = replace(CASES[0], precision="bf16")
    for entry, done in ((made(fast), 1), (made(replace(fast, learning_rate=0.5)), 0)):
        record.write(entry, tmp_path)
        assert f"{done} of 2 cases are done" in report.write(tmp_path, CASES[:2], "pocket")[0].read_text()


def test_the_command_shows_what_other_code_made_of_the_same_configuration_and_says_so(tmp_path, monkeypatch):
    """As it is after an update, or of a published report; a run's own report shows nothing that it would run again."""
    monkeypatch.setattr(redraw, "PLOTS", {})
    present, older, other = (
        made(CASES[0]),
        made(CASES[1], fingerprint="of older code"),
        made(CASES[2], fingerprint="too"),
    )
    del older.case["mixup"]  # an option that there was not yet
    other.case["learning_rate"] = 0.5
    assert older.has_facts_of(CASES[1]) and not older.has_facts_of(replace(CASES[1], mixup=0.2))
    for entry in (present, older, other):
        record.write(entry, tmp_path)
    assert f"1 of {len(CASES)} cases are done. **Pocket" in report.write(tmp_path, CASES, "pocket")[0].read_text()
    assert main(["report", "--results", str(tmp_path)]) == 0
    text = (tmp_path / "report.md").read_text()
    assert f"2 of {len(CASES)} cases are done. 1 of them were made by other code, data or weights" in text


def test_only_the_picture_of_a_present_result_is_shown_and_each_plot_has_a_light_and_a_dark_look(tmp_path):
    (tmp_path / "explain").mkdir()
    for case, changes in ((CASES[0], {}), (CASES[1], {"fingerprint": "another"}), (CASES[2], {"status": "failed"})):
        record.write(made(case, **changes), tmp_path)
        Image.new("RGB", (2, 2)).save(record.picture_of(tmp_path, case.id))
    text = report.write(tmp_path, CASES[:4], "pocket")[0].read_text()
    assert [case.id for case in CASES[:4] if f"(explain/{case.id}.png)" in text] == [CASES[0].id]
    for name in ("accuracy", "curves", "in-batch"):
        assert f'<source media="(prefers-color-scheme: dark)" srcset="{name}-dark.svg">' in text
        assert f'src="{name}.svg">' in text
        light, dark = ((tmp_path / f"{name}{look}.svg").read_bytes() for look in ("", "-dark"))
        assert light != dark and max(len(light), len(dark)) < 300_000


@pytest.fixture
def gate(tmp_path, monkeypatch):
    """``gate(accuracy, precision)`` runs the report command over the ci profile's records, held against a baseline of 60 %."""
    monkeypatch.setattr(redraw, "PLOTS", {})
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    loaded, file = matrix.load(), tmp_path / "baseline.json"
    cases = matrix.cases(loaded, "ci")

    def run(accuracy, precision="auto"):
        ran = [replace(case, precision=precision) for case in cases]
        baseline.save(file, "ci", tuple(ran), {case: made(case, 60.0) for case in ran}, loaded.tolerances)
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
    asked = {"matrix": matrix.DEFAULT, "seeds": None, "controls": None, "profile": "ci"}
    option = SimpleNamespace(baseline=tmp_path / "baseline.json", save_baseline=None, log=None, **asked)
    loaded = matrix.load()
    cases = matrix.cases(loaded, "ci")
    Ending(SimpleNamespace(matrix=loaded, cases=cases, chosen=cases, folder=tmp_path, option=option), Progress(None))
    assert (tmp_path / "report.md").read_text() == text


def test_kept_records_are_held_in_the_precision_they_ran_in(gate):
    assert gate(60.0, precision="bf16") == 0


def test_cases_without_a_record_fail_a_report_with_a_baseline(gate, tmp_path):
    gate(60.0)
    record.path_of(tmp_path, matrix.cases(matrix.load(), "ci")[0].id).unlink()
    words = ["report", "--profile", "ci", "--results", str(tmp_path), "--baseline", str(tmp_path / "baseline.json")]
    assert main(words) == 1 and "did not run" in (tmp_path / "report.md").read_text()


def test_a_folder_without_records_has_no_report(tmp_path, capsys):
    assert main(["report", "--results", str(tmp_path / "typo")]) == 2
    assert "typo has no records of a run" in capsys.readouterr().err and not (tmp_path / "typo").exists()


def test_a_folder_of_another_profile_keeps_its_report(tmp_path, capsys):
    other = matrix.cases(matrix.load(), "ci", seeds=(3, 4))[0]
    record.write(made(other), tmp_path)
    (tmp_path / "report.md").write_text("old")
    assert main(["report", "--results", str(tmp_path)]) == 2
    message = f"profile 'pocket' has none of the cases in {tmp_path}, such as {other.id}: repeat the --profile"
    assert message in capsys.readouterr().err and (tmp_path / "report.md").read_text() == "old"


def test_records_of_other_cases_are_counted(tmp_path, capsys):
    for case in (CASES[0], matrix.cases(matrix.load(), "ci")[0]):
        record.write(made(case), tmp_path)
    assert main(["report", "--results", str(tmp_path)]) == 0
    assert (
        f"records of other cases than the chosen ones in {tmp_path}, which are left out: 1" in capsys.readouterr().out
    )
    option = SimpleNamespace(profile="pocket", baseline=None, save_baseline=None, log=None, results=tmp_path)
    selection = SimpleNamespace(matrix=matrix.load(), cases=CASES, chosen=CASES, folder=tmp_path, option=option)
    assert Ending(selection, Progress(None)).notes[0].endswith("not in the report: 1")


def test_a_file_that_is_no_baseline_is_refused_before_the_report_is_written(tmp_path, capsys):
    record.write(made(matrix.cases(matrix.load(), "pocket")[0]), tmp_path)
    (tmp_path / "report.md").write_text("old")
    assert main(["report", "--results", str(tmp_path), "--baseline", str(tmp_path / "report.md")]) == 2
    assert "is not a usable baseline" in capsys.readouterr().err and (tmp_path / "report.md").read_text() == "old"


def test_publishing_copies_each_form_and_the_records_of_its_cases_and_nothing_older_stays(tmp_path):
    folder, target = tmp_path / "runs", tmp_path / "published"
    for case in CASES[:3]:  # the last is no part of the report
        record.write(made(case), folder)
    _, *forms = report.write(folder, CASES[:2], "pocket", also=report.FORMS)
    assert all("shapes-dino" in path.read_text() for path in forms[1:]) and "</html>" in forms[0].read_text()
    (target / "records").mkdir(parents=True)
    (target / "records" / "stale.json").write_text("")
    written = report.publish(folder, target, IDS[:2])
    plots = {f"{name}{look}.svg" for name in ("accuracy", "curves", "in-batch") for look in ("", "-dark")}
    names = {"report.md", "report.html", "report.csv", "report.tex", "records.jsonl.gz"} | plots
    assert {path.name for path in written} == {path.name for path in target.iterdir()} == names
    assert record.read_all(target) == ({name: record.load(folder, name) for name in sorted(IDS[:2])}, [])
    # What is published can be reported anew, and its other forms follow.
    again = report.write(target, CASES[:1], "pocket")
    assert [path.name for path in again] == ["report.md", *(path.name for path in forms)]
    assert "report.csv" in names and IDS[1] not in (target / "report.csv").read_text()


def test_publishing_no_report_or_no_record_is_an_error_and_the_older_report_stays(published, tmp_path):
    before = files_in(published)
    with pytest.raises(FileNotFoundError, match="python -m bench report"):
        report.publish(tmp_path / "runs", published, set())
    with pytest.raises(UserError, match=r"none of the chosen cases has a record in .*--seeds and --controls"):
        report.publish(tmp_path / "new", published, {IDS[3]})
    assert files_in(published) == before


@pytest.fixture
def published(tmp_path):
    """A published report, and a folder with a newer one that has a record more."""
    for place, count in (("old", 1), ("new", 2)):
        for case in CASES[:count]:
            record.write(made(case), tmp_path / place)
        for name in ("report.md", "accuracy.svg"):
            (tmp_path / place / name).write_text(f"{name} of {place}")
    report.publish(tmp_path / "old", tmp_path / "reports" / "pocket", IDS[:2])
    return tmp_path / "reports" / "pocket"


def files_in(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("spelling", ["itself", "link", "below", "above", "not there"])
def test_a_folder_is_not_published_onto_itself(published, tmp_path, monkeypatch, capsys, spelling):
    before = files_in(published)
    target = tmp_path / "none" / "pocket" if spelling == "not there" else published
    monkeypatch.setattr("bench.__main__.REPORTS", target.parent)
    (tmp_path / "link").symlink_to(published)
    folders = {"link": tmp_path / "link", "below": published / "records", "above": published.parent}
    folder = str(folders.get(spelling, target))
    assert main(["report", "--profile", "pocket", "--results", folder, "--publish"]) == 2
    assert f"cannot be published as {target}" in capsys.readouterr().err
    assert files_in(published) == before and not (tmp_path / "none").exists()  # nor is it written anew


@pytest.mark.parametrize(("code", "remedy"), [("ENOSPC", "make room"), ("EDQUOT", "make room"), ("EACCES", "fix that")])
def test_what_was_published_stays_where_publishing_fails(published, tmp_path, monkeypatch, code, remedy):
    def failing(*paths):
        raise OSError(getattr(errno, code), code)

    before = files_in(published)
    monkeypatch.setattr(shutil, "copyfile", failing)
    with pytest.raises(WriteError, match=rf"{code}\); what was there before stays: {remedy}, and run the same command"):
        report.publish(tmp_path / "new", published, IDS[:2])
    assert files_in(published) == before and list(published.parent.iterdir()) == [published]
    monkeypatch.undo()
    report.publish(tmp_path / "new", published, IDS[:2])
    assert len(record.read_all(published)[0]) == 2 and list(published.parent.iterdir()) == [published]
