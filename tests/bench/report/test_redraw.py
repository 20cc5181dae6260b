"""Plots are drawn again where their cases, records, files or code changed, and only there."""

import shutil
from functools import cache

import pytest

from bench.plan import matrix
from bench.report import redraw
from bench.report.content import Report
from tests.bench.made import made

CASES = matrix.cases(matrix.load(), "pocket")[:2]
NAMES = {f"{name}{look}.svg" for name in ("accuracy", "curves", "in-batch") for look in ("", "-dark")}


@cache
def report(accuracy):
    """The same records each time: one knows when it was made."""
    return Report("pocket", [(case, made(case, accuracy)) for case in CASES])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder of plots."""
    folder = tmp_path_factory.mktemp("whole")
    redraw.draw_all(report(60.0), folder)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "folder")


@pytest.fixture
def drawn(monkeypatch):
    """The plots that are drawn."""
    names = []

    def noted(name, draw):
        return lambda *what: names.append(name) or draw(*what)

    monkeypatch.setattr(redraw, "PLOTS", {name: noted(name, draw) for name, draw in redraw.PLOTS.items()})
    return names


def test_the_same_records_are_drawn_once(folder, drawn):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    files = redraw.draw_all(report(60.0), folder)
    assert not drawn and {file for several in files.values() for file in several} == NAMES
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_other_records_are_drawn(folder, drawn):
    before = (folder / "curves.svg").read_bytes()
    redraw.draw_all(report(61.0), folder)
    assert drawn == ["accuracy"] * 2 + ["gains"] * 2 + ["costs"] * 2 + ["curves"] * 2 + ["in-batch"] * 2
    assert (folder / "curves.svg").read_bytes() != before


@pytest.mark.parametrize("damage", ["gone", "altered", "list"])
def test_a_file_that_is_not_as_it_was_drawn_is_drawn_anew(folder, drawn, damage):
    path = folder / ("plots.json" if damage == "list" else "curves.svg")
    before = path.read_bytes()
    path.write_bytes(before[:-20])
    if damage == "gone":
        path.unlink()
    redraw.draw_all(report(60.0), folder)
    assert drawn and path.read_bytes() == before


def test_a_plot_without_anything_to_show_leaves_no_file(folder):
    files = redraw.draw_all(Report("pocket", [(case, None) for case in CASES]), folder)
    assert files == {"accuracy": [], "gains": [], "costs": [], "curves": [], "in-batch": []} and {
        path.name for path in folder.iterdir()
    } == {redraw.LIST}


def test_other_code_draws_anew(folder, drawn, monkeypatch, tmp_path):
    code = tmp_path / "plots.py"
    code.write_text("another")
    monkeypatch.setattr(redraw, "CODE", (code, *redraw.CODE[1:]))
    redraw.draw_all(report(60.0), folder)
    assert drawn
