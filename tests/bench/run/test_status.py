"""What is queued, running, done and failed, seen from another process."""

import json
import os
import platform

import pytest
from filelock import FileLock

from bench import report
from bench.__main__ import main
from bench.plan import matrix
from bench.results import record, running
from tests.bench.made import made


@pytest.fixture
def cases(tiny_matrix):
    return matrix.cases(matrix.load(tiny_matrix), "tiny", tiny_matrix)


@pytest.fixture
def status(tiny_matrix, tmp_path, capsys):
    def shown():
        main(["status", "--matrix", str(tiny_matrix), "--profile", "tiny", "--results", str(tmp_path)])
        return capsys.readouterr().out

    return shown


def test_a_reader_that_has_enough_is_no_error(tiny_matrix, tmp_path, monkeypatch, capsys):
    """As of ``status | head -1``."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        monkeypatch.setattr("sys.stdout", closed)
        main(["status", "--matrix", str(tiny_matrix), "--profile", "tiny", "--results", str(tmp_path)])
    assert capsys.readouterr().err == ""


def line_of(text, case):
    return next(line for line in text.splitlines() if line.startswith(f"{case.id} "))


def test_a_case_is_running_while_its_lock_is_held_and_not_once_its_process_was_killed(cases, status, tmp_path):
    case, done, failed = cases[1], cases[2], cases[4]
    record.write(made(done), tmp_path)
    record.write(record.Record.of(failed).model_copy(update={"status": "failed", "message": "no weights"}), tmp_path)
    record.write(record.Record.of(case), tmp_path)
    running.lock_of(tmp_path, case.run).parent.mkdir(parents=True)
    with FileLock(running.lock_of(tmp_path, case.run)), running.announced(tmp_path, case) as (at, _):
        at(1)
        left = (tmp_path / "running" / f"{case.id}.json").read_text()
        text = status()
        assert line_of(text, case).split()[1:5] == ["running", "1", "of", str(case.epochs)]
        assert platform.node() in line_of(text, case)
        report.write(tmp_path, cases, "tiny")
        assert f"| {case.id} | running | epoch 1 of 2, since " in (tmp_path / "report.md").read_text()
    assert running.now(tmp_path) == {} and line_of(status(), case).split()[1] == "crashed"
    (tmp_path / "running" / f"{case.id}.json").write_text(left)  # as a killed process leaves it
    assert json.loads(left)["epoch"] == 1 and running.now(tmp_path) == {}
    text = status()
    assert line_of(text, done).split()[1] == "done" and line_of(text, failed).split()[1] == "failed"
    assert text.splitlines()[-1] == "5 queued, 1 crashed, 1 done, 1 failed"


def test_states_are_called_as_in_reports(cases, status, tmp_path):
    for case, state in zip(cases, ("oom", "timeout"), strict=False):
        record.write(record.Record.of(case).model_copy(update={"status": state, "message": "too much"}), tmp_path)
    assert status().splitlines()[-1] == "1 out of memory, 1 timed out, 6 queued"


def test_a_session_says_what_it_runs(cases, tmp_path, status, little_measured):
    from bench.kit.progress import Progress
    from bench.run.job import Job
    from bench.run.session import Session

    case, seen = cases[0], []
    session = Session(Job(tmp_path, cases, frozenset({case.id}), device="cpu"), Progress(None))

    def rounds(epoch, count):
        for _ in range(count):
            epoch()
            seen.append(running.now(tmp_path)[case.id].epoch)

    session.run_or_reuse(case, rounds)
    assert seen == [1] and running.now(tmp_path) == {}


def test_an_interrupted_case_is_told_from_a_crashed_one(cases, tmp_path, status):
    from bench.kit.progress import Progress
    from bench.run.job import Job
    from bench.run.session import Session

    def rounds(epoch, count):
        raise KeyboardInterrupt

    case = cases[0]
    with pytest.raises(KeyboardInterrupt):
        Session(Job(tmp_path, cases, frozenset({case.id}), device="cpu"), Progress(None)).run_or_reuse(case, rounds)
    assert line_of(status(), case).split()[1] == "interrupted"
