"""Figures are the same whatever a user's matplotlib is set to."""

import os
import subprocess
import sys

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


def drawn(folder, settings="", **env):
    """What a user's new process draws whose matplotlibrc lies in ``folder``."""
    (folder / "matplotlibrc").write_text(settings)
    words, env = [sys.executable, "-c", PROGRAM], os.environ | {"MPLBACKEND": "", "MATPLOTLIBRC": str(folder)} | env
    return subprocess.run(words, cwd=ROOT, env=env, capture_output=True, check=True, timeout=120).stdout


def test_a_users_settings_change_nothing(tmp_path):
    plain = drawn(tmp_path)
    assert b"</svg>" in plain
    assert drawn(tmp_path, "backend: qtagg\nfigure.facecolor: red\n") == plain
    settings = "text.usetex: True\nsavefig.dpi: 20\nfont.size: 40\n"
    assert drawn(tmp_path, settings, MPLBACKEND="module://a_notebooks_backend.that_is_not_installed") == plain
