"""One process at a time, and those who wait say so; the alarm of ``--case-timeout`` waits while it is paused, and rings afterwards."""

import signal
import subprocess
import sys
import threading
import time

import pytest
from filelock import FileLock

from bench.kit import lock
from bench.kit.lock import locked
from bench.kit.paths import ROOT


def test_one_after_the_other_and_the_second_says_that_it_waits(tmp_path, monkeypatch):
    path, order, notes = tmp_path / "place" / "lock", [], []
    inside, leave, waits = threading.Event(), threading.Event(), threading.Event()
    pauses, paused = [], lock.alarm_paused
    monkeypatch.setattr(lock, "alarm_paused", lambda: pauses.append(1) or paused())

    def first():
        with locked(path):
            inside.set()
            leave.wait()
            order.append("first")

    def second():
        with locked(path, lambda text: (notes.append(text), waits.set())):
            order.append("second")

    threads = [threading.Thread(target=one, daemon=True) for one in (first, second)]
    threads[0].start()
    inside.wait()
    threads[1].start()
    assert waits.wait(10)
    threads[1].join(0.2)
    assert not order
    leave.set()
    for thread in threads:
        thread.join()
    assert order == ["first", "second"] and len(pauses) == 1  # waiting does not count towards --case-timeout
    assert notes == [f"waiting for another process, which holds {path}"]


def test_it_is_released_when_the_block_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "lock"):
        raise ZeroDivisionError
    FileLock(tmp_path / "lock", timeout=0).acquire().lock.release()


def test_a_killed_holder_blocks_nobody(tmp_path):
    code = (
        "import time\nfrom pathlib import Path\nfrom bench.kit.lock import locked\n"
        f"with locked(Path({str(tmp_path / 'lock')!r})):\n    print('held', flush=True)\n    time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    with locked(tmp_path / "lock", pytest.fail):
        pass


class Rung(BaseException):
    pass


@pytest.fixture(autouse=True)
def ring():
    def handler(*_):
        raise Rung

    before = signal.signal(signal.SIGALRM, handler)
    yield
    lock.cancel_alarm()
    signal.signal(signal.SIGALRM, before)


def test_what_is_left_of_the_limit_comes_after_a_pause():
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    with lock.alarm_paused():
        time.sleep(0.4)
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    assert lock.alarm_is_set() and 0 < left <= 0.2
    with pytest.raises(Rung):
        time.sleep(1)
    assert not lock.alarm_is_set()


def test_without_a_limit_or_once_cancelled_it_does_not_ring():
    with lock.alarm_paused():
        pass
    assert not lock.alarm_is_set()
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    lock.cancel_alarm()
    time.sleep(0.1)


@pytest.mark.parametrize("writable", [True, False])
def test_a_lock_that_cannot_be_had_is_done_without_only_where_nothing_can_be_written(tmp_path, monkeypatch, writable):
    """In a shared folder another user's lock file may be closed to this one, who could still write beside it."""
    refused = PermissionError(13, "Permission denied")
    monkeypatch.setattr(FileLock, "acquire", lambda *_, **__: (_ for _ in ()).throw(refused))
    monkeypatch.setattr(lock.os, "access", lambda *_: writable)
    entered = []
    try:
        with locked(tmp_path / "lock"):
            entered.append(1)
    except PermissionError:
        assert writable
    assert bool(entered) is not writable
