"""Figures are the same whatever a user's matplotlib is set to."""

import subprocess
import sys

import pytest

from bench.kit.paths import ROOT

PROGRAM = """
import io, sys
from bench.kit.figures import drawing

with drawing({"svg.hashsalt": "same", "font.size": 9}):
    from matplotlib.figure import Figure

    figure, file = Figure(), io.BytesIO()
    figure.subplots().set_title("accuracy_%")
    figure.savefig(file, format="svg", metadata={"Date": None})
sys.stdout.buffer.write(file.getvalue())
"""


@pytest.mark.parametrize(("backend", "settings"), [
    ("module://a_notebooks_backend.that_is_not_installed", ""),
    ("agg", "text.usetex: True\nsavefig.dpi: 20\nfont.size: 40\n"),
    ("", "backend: qtagg\nfigure.facecolor: red\n"),
])  # fmt: skip
def test_a_users_settings_change_nothing(tmp_path, monkeypatch, backend, settings):
    def drawn():
        words = [sys.executable, "-c", PROGRAM]
        return subprocess.run(words, cwd=ROOT, capture_output=True, check=True, timeout=120).stdout

    monkeypatch.delenv("MPLBACKEND", raising=False)
    monkeypatch.setenv("MATPLOTLIBRC", str(tmp_path))
    plain = drawn()
    (tmp_path / "matplotlibrc").write_text(settings)
    if backend:
        monkeypatch.setenv("MPLBACKEND", backend)
    assert b"</svg>" in plain and drawn() == plain
