"""The progress display: live on a terminal, lines elsewhere, silent in CI, and not lost in pytest's capture."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

from bench.kit import progress
from bench.kit.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_it_is_live():
    stream = Terminal()
    shown = Progress(stream)
    shown.total = 3
    with shown.task("scenes-clip-cbam-5ep") as advance:
        advance(2, 5)
    assert "[1/3] scenes-clip-cbam-5ep" in stream.getvalue() and "2/5" in stream.getvalue()


def test_a_task_inside_another_shares_the_display():
    stream = Terminal()
    shown = Progress(stream)
    with shown.task("outer") as outer, shown.task("inner") as inner:
        inner(1, 2)
        outer(3, 4)
    assert "outer" in stream.getvalue() and "inner" in stream.getvalue() and "3/4" in stream.getvalue()
    with shown.task("later") as later:
        later(1, 1)
    assert "later" in stream.getvalue()


def test_elsewhere_it_is_plain_lines_now_and_then(monkeypatch):
    stream = io.StringIO()
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    with Progress(stream).task("a task") as advance:
        for step in range(1, 5):
            now[0] += 6.0
            advance(step, 4)
    assert stream.getvalue().splitlines() == ["a task: 2/4", "a task: 4/4"]


def test_in_ci_it_is_silent(monkeypatch, capfd):
    monkeypatch.setenv("CI", "true")
    shown = Progress.on_stderr()
    with shown.task("a task") as advance:
        advance(1, 1)
    shown.say("a line")
    assert capfd.readouterr() == ("", "")


def test_it_tells_the_time_that_is_left(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    shown = Progress(None)
    shown.total = 12
    assert shown.left() == ""
    for _ in range(4):
        now[0] += 30
        shown.case_ended()
    assert shown.left() == "about 4 min left"


def test_it_survives_pytests_capture(tmp_path):
    """A test inside pytest, whose standard error is a terminal, shows its task there."""
    (tmp_path / "conftest.py").write_text(
        "import pytest\nfrom bench.kit.progress import Progress\n"
        "def pytest_configure(config): config.shown = Progress.on_stderr()\n"
    )
    (tmp_path / "test_it.py").write_text(
        "def test_it(request):\n    with request.config.shown.task('seen through capture') as advance: advance(1, 2)\n"
    )
    leader, follower = pty.openpty()
    env = {key: value for key, value in os.environ.items() if key != "CI" and not key.startswith("PYTEST")}
    env |= {"PYTHONPATH": str(Path.cwd()), "TERM": "xterm"}
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    ran = subprocess.run(words, stdout=subprocess.PIPE, stderr=follower, env=env, cwd=tmp_path, timeout=60)
    os.close(follower)
    assert ran.returncode == 0, ran.stdout
    assert b"seen through capture" in os.read(leader, 65536)
    os.close(leader)
