"""One process at a time, and those who wait know for whom."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from filelock import FileLock

from bench.kit.lock import alone
from bench.kit.paths import ROOT


def test_one_after_the_other_and_the_second_says_for_whom_it_waits(tmp_path):
    path, order, told = tmp_path / "place" / "lock", [], []
    inside, leave, waits = threading.Event(), threading.Event(), threading.Event()

    def first():
        with alone(path):
            inside.set()
            leave.wait()
            order.append("first")

    def second():
        with alone(path, lambda text: (told.append(text), waits.set())):
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
    assert order == ["first", "second"]
    assert f"waiting for process {os.getpid()} on {os.uname().nodename} (since 2" in told[0] and str(path) in told[0]
    assert [file.name for file in path.parent.iterdir()] == ["lock"]


def test_it_is_let_go_when_the_block_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), alone(tmp_path / "lock"):
        raise ZeroDivisionError
    FileLock(tmp_path / "lock", timeout=0).acquire().lock.release()


def test_a_killed_holders_name_is_not_believed(tmp_path):
    """What a process that was killed left beside its lock says nothing once another one holds it."""
    (tmp_path / "lock.holder").write_text("process 1 on elsewhere (since 1999)")
    with alone(tmp_path / "lock"):
        assert f"process {os.getpid()}" in (tmp_path / "lock.holder").read_text()


def test_where_the_holder_cannot_say_who_it_is_the_lock_works(tmp_path):
    (tmp_path / "lock.holder").mkdir()
    told, lock = [], FileLock(tmp_path / "lock")
    with lock:
        waiting = threading.Thread(target=lambda: alone(tmp_path / "lock", told.append).__enter__())
        waiting.start()
        while not told:
            waiting.join(0.01)
    waiting.join()
    assert "waiting for another process" in told[0]


def test_a_process_of_another_machine_is_named_with_the_age_of_its_lock(tmp_path):
    holder, told = tmp_path / "lock.holder", []
    holder.write_text("process 7 on elsewhere (since 2026-01-01 00:00:00)")
    os.utime(holder, (time.time() - 605, time.time() - 605))
    with FileLock(tmp_path / "lock"):
        waiting = threading.Thread(target=lambda: alone(tmp_path / "lock", told.append).__enter__())
        waiting.start()
        while not told:
            waiting.join(0.01)
    waiting.join()
    assert told[0].startswith("waiting for process 7 on elsewhere (since 2026-01-01 00:00:00), which has held ")
    assert told[0].endswith("lock for 10 min")


def test_a_killed_holder_blocks_nobody_and_is_told(tmp_path):
    code = (
        "import time\nfrom pathlib import Path\nfrom bench.kit.lock import alone\n"
        f"with alone(Path({str(tmp_path / 'lock')!r})):\n    print('held', flush=True)\n    time.sleep(600)"
    )
    held = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert held.stdout.readline() == "held\n"
    os.kill(held.pid, signal.SIGKILL)
    held.communicate()
    told = []
    with alone(tmp_path / "lock", told.append):
        assert len(told) == 1 and f"process {held.pid} on " in told[0] and "the lock is taken over" in told[0]
