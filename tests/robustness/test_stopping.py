"""``--case-timeout`` and what Ctrl-C tells: where the alarm may ring, and what it may not do."""

import json
import signal
import subprocess
import sys
import threading
import time
from argparse import ArgumentTypeError
from contextlib import nullcontext

import pytest
import torch
from filelock import FileLock
from torch import nn

from bench.kit.files import write_atomically
from bench.kit.lock import alone
from bench.kit.paths import ROOT
from bench.kit.progress import Progress
from bench.kit.stopping import CaseError, CaseTimeoutError, held, how_to_go_on, limit_seconds, limited
from bench.kit.stopping import waited as waited_seconds
from bench.plan import matrix
from bench.results import record
from bench.run.session import Session
from bench.training import checkpoint


def work_for_ever():
    while True:
        sum(range(1000))


@pytest.fixture
def case(matrix_file):
    return matrix.cases(matrix.load(matrix_file), "tiny", matrix_file)[0]


def test_a_case_beyond_its_limit_is_recorded_as_timeout_and_the_next_one_runs(case, tmp_path):
    session = Session(tmp_path, (case,), set(), Progress(None), "cpu", case_timeout=0.05)
    with pytest.raises(CaseError, match=r"took longer than 0.05 s \(--case-timeout\)"), session.recording(case):
        work_for_ever()
    assert record.read(record.path_of(tmp_path, case.id)).status == "timeout"
    FileLock(tmp_path / "checkpoints" / f"{case.run}.lock", timeout=0).acquire().lock.release()
    with pytest.raises(ZeroDivisionError), session.recording(case):
        raise ZeroDivisionError
    assert record.read(record.path_of(tmp_path, case.id)).status == "failed"


def test_an_error_of_the_network_or_of_a_lock_is_no_timeout(case, tmp_path):
    session = Session(tmp_path, (case,), set(), Progress(None), "cpu", case_timeout=60)
    with pytest.raises(TimeoutError), session.recording(case):
        raise TimeoutError("the hub did not answer")
    assert record.read(record.path_of(tmp_path, case.id)).status == "failed"


def test_within_the_limit_nothing_rings_then_or_later():
    before = signal.getsignal(signal.SIGALRM)
    with limited(0.2):
        pass
    time.sleep(0.3)
    assert signal.getsignal(signal.SIGALRM) is before and signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_waiting_for_another_process_is_not_counted_and_what_comes_after_is(tmp_path):
    taken = threading.Event()

    def hold():
        with FileLock(tmp_path / "lock"):
            taken.set()
            time.sleep(0.9)

    other = threading.Thread(target=hold)
    other.start()
    taken.wait()
    start, before = time.perf_counter(), waited_seconds()
    with pytest.raises(CaseTimeoutError), limited(0.4), alone(tmp_path / "lock"):
        waited = time.perf_counter() - start
        work_for_ever()
    other.join()
    assert 0.8 <= waited_seconds() - before <= waited
    assert waited >= 0.8 and time.perf_counter() - start >= 1.0  # the rest of the limit came after the lock
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_ring_that_a_library_swallows_comes_again(monkeypatch):
    monkeypatch.setattr("bench.kit.stopping.AGAIN_SECONDS", 0.05)
    swallowed = 0
    with pytest.raises(CaseTimeoutError), limited(0.05):
        while swallowed < 3:
            try:
                work_for_ever()
            except BaseException:
                swallowed += 1
        work_for_ever()
    assert swallowed == 3


def test_what_cleans_up_after_a_ring_is_not_interrupted_by_the_next(monkeypatch):
    monkeypatch.setattr("bench.kit.stopping.AGAIN_SECONDS", 0.02)
    cleaned = []
    with pytest.raises(CaseTimeoutError), limited(0.05):
        try:
            work_for_ever()
        finally:
            try:
                raise OSError("another error on the way")
            except OSError:
                time.sleep(0.2)
            cleaned.append(True)
    assert cleaned == [True]


def test_a_damaged_file_and_a_timeout_are_not_confused(tmp_path, monkeypatch):
    """Who reads a file takes an OSError for damage, and a damaged checkpoint is deleted."""
    assert not issubclass(CaseTimeoutError, OSError)
    path, student = tmp_path / "epoch-0001.safetensors", nn.Linear(200, 200)
    checkpoint.save(path, student, nn.Identity(), torch.optim.AdamW(student.parameters()), {"epoch": 1})
    monkeypatch.setattr("bench.kit.stopping.AGAIN_SECONDS", 0.01)
    for attempt in range(10):
        with pytest.raises(CaseTimeoutError), limited(0.02 + attempt / 1000):
            while True:
                # A ring in safetensors' code would come out as another error, which reads as damage.
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(checkpoint, "CheckpointError", AssertionError)
                    checkpoint.facts(path)
    assert checkpoint.facts(path) == {"epoch": 1}


def test_an_error_that_a_ring_was_turned_into_is_a_timeout():
    with pytest.raises(CaseTimeoutError) as caught, limited(0.05):
        try:
            work_for_ever()
        except CaseTimeoutError:
            raise ValueError("could not determine the shape of an object") from None
    assert isinstance(caught.value.__cause__, ValueError)


def test_what_is_held_is_not_interrupted_and_the_ring_comes_after(monkeypatch):
    monkeypatch.setattr("bench.kit.stopping.AGAIN_SECONDS", 0.02)
    ended = []
    with pytest.raises(CaseTimeoutError), limited(0.02):
        with held():
            time.sleep(0.2)
            ended.append(True)
        work_for_ever()
    assert ended == [True]


def test_a_ring_in_the_middle_of_a_write_destroys_nothing(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def write(temporary):
        temporary.write_text("half of the n")
        work_for_ever()

    with pytest.raises(CaseTimeoutError), limited(0.05):
        write_atomically(path, write)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_checkpoints_written_until_the_ring_are_all_whole(tmp_path):
    student = nn.Linear(100, 100)
    for attempt in range(20):
        with pytest.raises(CaseTimeoutError), limited(0.005 + attempt / 1000):
            for epoch in range(100_000):
                path = tmp_path / f"epoch-{epoch % 3}.safetensors"
                checkpoint.save(path, student, nn.Identity(), torch.optim.AdamW(student.parameters()), {"epoch": epoch})
    for path in tmp_path.glob("epoch-*"):
        assert checkpoint.facts(path)["epoch"] % 3 == int(path.stem[-1])


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", "", "1e30", "100000001"])
def test_a_limit_that_is_none_is_a_usage_error(text):
    with pytest.raises(ArgumentTypeError, match="expected a number of seconds above 0"):
        limit_seconds(text)


@pytest.mark.parametrize("text", ["1e-300", "1e8"])
def test_a_limit_that_is_taken_is_kept(text):
    ends = pytest.raises(CaseTimeoutError) if float(text) < 1 else nullcontext()
    with ends, limited(limit_seconds(text)):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 10**7 or work_for_ever()


def test_where_no_alarm_arrives_the_option_is_a_usage_error(monkeypatch):
    told = []

    def elsewhere():
        with pytest.raises(ArgumentTypeError, match="outside the main thread") as caught:
            limit_seconds("5")
        told.append(caught.value)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert told and limit_seconds("5") == 5
    monkeypatch.delattr(signal, "setitimer")
    with pytest.raises(ArgumentTypeError, match="no alarm signal"):
        limit_seconds("5")


def test_pytest_refuses_a_limit_that_is_none_without_a_traceback():
    words = [sys.executable, "-m", "pytest", "bench", "--case-timeout", "soon"]
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == pytest.ExitCode.USAGE_ERROR and "not 'soon'" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("words", "again"),
    [
        (["bench", "--profile", "ci", "-k", "a and b"], "pytest bench --profile ci -k 'a and b'"),
        (["bench", "--rerun", "all", "-n", "2"], "pytest bench -n 2"),
        (["--rerun=all", "bench"], "pytest bench"),
    ],
)
def test_the_command_that_goes_on_does_not_begin_anew(words, again):
    assert how_to_go_on(3, 8, words) == (
        f"interrupted: 3 of 8 cases are done, and what the others had trained is kept. Go on with: {again}"
    )


def test_a_damaged_record_is_told(case, tmp_path):
    path, told = record.path_of(tmp_path, case.id), []
    path.parent.mkdir()
    path.write_text(json.dumps([]))
    assert record.reusable(case, tmp_path, told.append) is None
    assert len(told) == 1 and str(path) in told[0] and "its case has to run again" in told[0]
