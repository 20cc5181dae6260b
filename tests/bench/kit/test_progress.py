"""The progress display: live on a terminal, only notes elsewhere, silent in CI, and not lost in pytest's capture."""

import io
import os
import pty
import re
import subprocess
import sys
import time

import pytest

from bench.kit.paths import ROOT
from bench.kit.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def colourful(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")


def test_a_terminal_shows_cases_and_the_tasks_inside_each_other():
    stream = Terminal()
    progress = Progress(stream)
    progress.expect_cases(3)
    for _ in range(3):
        with progress.task("scenes-clip-cbam-5ep") as outer, progress.task("features") as inner:
            inner(1, 2)
            outer(3, 4)
            time.sleep(0.25)  # it is drawn ten times a second
        progress.case_ended()
    drawn = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", stream.getvalue())
    assert all(re.search(rf"{title} .*{count}", drawn) for title, count in (("5ep", "3/4"), ("features", "1/2")))
    assert all(re.search(rf"cases .*{done}/3", drawn) for done in range(3))
    assert re.search(r"cases .*2/3 0:00:0\d", drawn)  # the time left, once two cases give a speed


def test_elsewhere_there_are_only_notes():
    stream = io.StringIO()
    progress = Progress(stream)
    with progress.task("a task") as advance:
        advance(1, 2)
        progress.say("[a] note of /a/path.json " + "x" * 200)
    assert stream.getvalue() == "\n[a] note of /a/path.json " + "x" * 200 + "\n"


def test_in_ci_it_is_silent(monkeypatch, capfd):
    monkeypatch.setenv("CI", "true")
    progress = Progress.on_stderr()
    with progress.task("a task") as advance:
        advance(1, 1)
    progress.say("a note")
    assert capfd.readouterr() == ("", "")


def test_it_survives_pytests_capture(tmp_path):
    """A test inside pytest, whose standard error is a terminal, shows its task there."""
    (tmp_path / "conftest.py").write_text(
        "import pytest\nfrom bench.kit.progress import Progress\n"
        "def pytest_configure(config): config.progress = Progress.on_stderr()\n"
    )
    (tmp_path / "test_it.py").write_text(
        "def test_it(request):\n    with request.config.progress.task('seen through capture') as advance: advance(1, 2)\n"
    )
    leader, follower = pty.openpty()
    env = {key: value for key, value in os.environ.items() if key != "CI" and not key.startswith("PYTEST")}
    env |= {"PYTHONPATH": str(ROOT), "TERM": "xterm", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    ran = subprocess.run(words, stdout=subprocess.PIPE, stderr=follower, env=env, cwd=tmp_path, timeout=60)
    os.close(follower)
    assert ran.returncode == 0, ran.stdout
    assert b"seen through capture" in os.read(leader, 65536)
    os.close(leader)
