"""Publishing: a whole report takes the place of the one before, or that one stays."""

import errno
import shutil
from pathlib import Path

import pytest

from bench import report
from bench.__main__ import main
from bench.kit.errors import UserError
from bench.kit.files import WriteError
from bench.plan import matrix
from bench.results import record
from tests.bench.made import made

CASES = matrix.cases(matrix.load(), "pocket")


def test_publishing_copies_the_report_and_its_records(tmp_path):
    folder, target = tmp_path / "runs", tmp_path / "published"
    for case in CASES[:2]:
        record.write(made(case), folder)
    report.write(folder, CASES[:2], "pocket")
    (target / "records").mkdir(parents=True)
    (target / "records" / "stale.json").write_text("")
    record.write(made(CASES[2]), folder)  # which is no part of that report
    written = report.publish(folder, target, {case.id for case in CASES[:2]})
    plots = {f"{name}{look}.svg" for name in ("accuracy", "curves", "in-batch") for look in ("", "-dark")}
    records = {f"{case.id}.json" for case in CASES[:2]}
    assert {path.name for path in written} == {"report.md"} | plots | records
    assert not (target / "records" / "stale.json").exists()


def test_the_other_forms_are_written_and_published_and_those_of_an_older_report_go(tmp_path):
    folder, target = tmp_path / "runs", tmp_path / "published"
    record.write(made(CASES[0]), folder)
    report.write(folder, CASES[:1], "pocket")
    forms = [report.html(folder, CASES[:1], "pocket"), report.csv(folder, CASES[:1]), report.latex(folder, CASES[:1])]
    assert [path.name for path in forms] == ["report.html", "report.csv", "report.tex"]
    assert all("shapes-dino" in path.read_text() for path in forms[1:]) and "</html>" in forms[0].read_text()
    published = {path.name for path in report.publish(folder, target, {CASES[0].id})}
    assert {path.name for path in forms} <= published
    report.write(folder, CASES[:1], "pocket")
    assert not any(path.exists() for path in forms)


def test_publishing_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m bench report"):
        report.publish(tmp_path / "runs", tmp_path / "target", set())


def test_cases_that_did_not_run_do_not_replace_a_published_report(published, tmp_path):
    before = files_in(published)
    with pytest.raises(UserError, match=r"none of the chosen cases has a record in .*--seeds and --controls"):
        report.publish(tmp_path / "new", published, {"c"})
    assert files_in(published) == before


@pytest.fixture
def published(tmp_path):
    """A published report, and a folder with a newer one that has a record more."""
    for place, records in (("old", "a"), ("new", "ab")):
        (tmp_path / place / "records").mkdir(parents=True)
        for name in ("report.md", "accuracy.svg", *(f"records/{one}.json" for one in records)):
            (tmp_path / place / name).write_text(f"{name} of {place}")
    report.publish(tmp_path / "old", tmp_path / "reports" / "pocket", {"a", "b"})
    return tmp_path / "reports" / "pocket"


def files_in(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("spelling", ["itself", "link", "below", "above"])
def test_a_folder_is_not_published_onto_itself(published, tmp_path, monkeypatch, capsys, spelling):
    monkeypatch.setattr("bench.__main__.REPORTS", published.parent)
    before = files_in(published)
    (tmp_path / "link").symlink_to(published)
    folders = {"link": tmp_path / "link", "below": published / "records", "above": published.parent}
    folder = str(folders.get(spelling, published))
    assert main(["report", "--profile", "pocket", "--results", folder, "--publish"]) == 2
    assert f"cannot be published as {published}" in capsys.readouterr().err
    assert files_in(published) == before  # nor is it written anew


@pytest.mark.parametrize("below", ["", "records"])
def test_a_folder_that_is_not_there_yet_is_not_published_onto_itself_either(tmp_path, monkeypatch, capsys, below):
    monkeypatch.setattr("bench.__main__.REPORTS", tmp_path / "reports")
    folder = tmp_path / "reports" / "pocket" / below
    assert main(["report", "--profile", "pocket", "--results", str(folder), "--publish"]) == 2
    assert "cannot be published as" in capsys.readouterr().err and [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(("code", "remedy"), [("ENOSPC", "make room"), ("EDQUOT", "make room"), ("EACCES", "fix that")])
def test_only_a_full_disk_asks_for_room(published, tmp_path, monkeypatch, code, remedy):
    def failing(*paths):
        raise OSError(getattr(errno, code), code)

    monkeypatch.setattr(shutil, "copyfile", failing)
    with pytest.raises(WriteError, match=rf"{code}\); what was there before stays: {remedy}, and run the same command"):
        report.publish(tmp_path / "new", published, {"a", "b"})


@pytest.mark.parametrize("fails", ["copy", "rename"])
def test_what_was_published_stays_where_publishing_fails(published, tmp_path, monkeypatch, fails):
    before, calls = files_in(published), []
    owner, name = (shutil, "copyfile") if fails == "copy" else (Path, "rename")
    work = getattr(owner, name)

    def failing(*paths):
        calls.append(paths)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return work(*paths)

    monkeypatch.setattr(owner, name, failing)
    with pytest.raises(WriteError, match=r"pocket cannot be written \(.*No space left.*what was there before stays"):
        report.publish(tmp_path / "new", published, {"a", "b"})
    assert files_in(published) == before and list(published.parent.iterdir()) == [published]
    monkeypatch.undo()
    report.publish(tmp_path / "new", published, {"a", "b"})
    assert files_in(published) == files_in(tmp_path / "new") and list(published.parent.iterdir()) == [published]
