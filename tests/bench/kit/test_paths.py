"""``--data`` and ``--results``: a folder, or one that can be made; anything else is an error, once, before anything runs."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import __main__ as command
from bench.kit import paths
from bench.kit.errors import UserError
from tests.forking import Order


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_text("mine")
    return path


@pytest.mark.parametrize("name", ["", "new", "new/and/deeper"])
def test_a_folder_that_is_there_or_can_be_made_is_taken_and_not_made(tmp_path, name):
    assert paths.usable(tmp_path / name, "--data") == (tmp_path / name).resolve()
    assert [*tmp_path.iterdir()] == []


def test_a_home_folder_is_written_out(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.usable(Path("~/runs"), "--results") == tmp_path.resolve() / "runs"


@pytest.mark.parametrize("below", ["", "x", "x/y"])
def test_a_file_is_refused_and_named(file, below):
    with pytest.raises(UserError, match=rf"^--results .*{file} is a file; name a folder"):
        paths.usable(file / below, "--results")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path, monkeypatch):
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for folder in ("~no-such-user/x", str(tmp_path / ("n" * 5000)), str(tmp_path / "circle" / "x")):
        with pytest.raises(UserError, match=r"^--data .*name another folder"):
            paths.usable(Path(folder), "--data")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # whoever may write everywhere tests this too
    with pytest.raises(UserError, match="no folder can be made in"):
        paths.usable(tmp_path / "x", "--data")
    assert paths.usable(tmp_path, "--data")  # what is there may be read


@given(st.text())
def test_any_text_is_a_folder_or_an_error_message(text):
    try:
        assert paths.usable(Path(text), "--data").is_absolute()
    except UserError as error:
        assert str(error).startswith("--data ")


@pytest.mark.parametrize("name", ["plan", "cache", "sizes"])
@pytest.mark.parametrize("folder", [None, "~no-such-user/x"])
def test_every_command_refuses_data_that_are_no_folder(name, folder, file, capsys):
    assert command.main([name, "--data", folder or str(file)]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: --data ") and not printed.out


@pytest.mark.parametrize("name", ["plan", "report"])
def test_commands_refuse_results_that_are_no_folder(name, file, capsys):
    assert command.main([name, "--results", str(file)]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: --results ") and not printed.out


def test_a_variable_that_names_a_file_is_refused_too(file, monkeypatch, capsys):
    monkeypatch.setenv(paths.VARIABLE, str(file))
    assert command.main(["cache"]) == 2
    assert f"{paths.VARIABLE} {file}: {file} is a file" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--data", "--results"])
def test_pytest_refuses_a_file_before_any_case_runs(server, option, file):
    ran = server([Order(["-m", "pytest", "bench", "-p", "no:cacheprovider", option, str(file)])])[0]
    assert ran.status == pytest.ExitCode.USAGE_ERROR
    assert f"{option} {file}: {file} is a file" in ran.output and "Traceback" not in ran.output
    assert file.read_text() == "mine"
