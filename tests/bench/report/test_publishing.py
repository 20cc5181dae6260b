"""Publishing: a whole report takes the place of the one before, or that one stays."""

import errno
import shutil

import pytest

from bench import report
from bench.__main__ import main
from bench.kit.errors import UserError
from bench.kit.files import WriteError
from bench.plan import matrix
from bench.results import record
from tests.bench.made import made

CASES = matrix.cases(matrix.load(), "pocket")
IDS = [case.id for case in CASES]


def test_publishing_copies_each_form_and_the_records_of_its_cases_and_nothing_older_stays(tmp_path):
    folder, target = tmp_path / "runs", tmp_path / "published"
    for case in CASES[:3]:  # the last is no part of the report
        record.write(made(case), folder)
    report.write(folder, CASES[:2], "pocket")
    forms = [report.html(folder, CASES[:2], "pocket"), report.csv(folder, CASES[:2]), report.latex(folder, CASES[:2])]
    assert all("shapes-dino" in path.read_text() for path in forms[1:]) and "</html>" in forms[0].read_text()
    (target / "records").mkdir(parents=True)
    (target / "records" / "stale.json").write_text("")
    written = report.publish(folder, target, IDS[:2])
    plots = {f"{name}{look}.svg" for name in ("accuracy", "curves", "in-batch") for look in ("", "-dark")}
    names = {"report.md", "report.html", "report.csv", "report.tex", "records.jsonl.gz"} | plots
    assert {path.name for path in written} == {path.name for path in target.iterdir()} == names
    assert record.read_all(target) == ({name: record.load(folder, name) for name in sorted(IDS[:2])}, [])
    # What is published can be reported anew, and forms of an older report go.
    assert report.write(target, CASES[:2], "pocket").read_text() == (folder / "report.md").read_text()
    assert not any((target / path.name).exists() for path in forms)


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
