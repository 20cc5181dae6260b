"""Cases in worker processes end with the records of a serial run, whatever befalls the workers."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from bench.kit.environment import usable_cores
from bench.kit.paths import ROOT
from tests.breadth import some
from tests.robustness.conftest import results_of, retries_of

WORKERS = ("--executor", "processes")

# A worker that runs the given case is killed in it, so often.
KILLER = """
import os
import signal
from pathlib import Path

from bench.run import session

training, left = session.Session.training, Path(os.environ["KILLS_LEFT"])


def killed(self, case):
    kills = int(left.read_text())
    if case.id == "shapes-dino-projection-2ep" and kills:
        left.write_text(str(kills - 1))
        os.kill(os.getpid(), signal.SIGKILL)
    return training(self, case)


session.Session.training = killed
"""
FAILING = """
from bench.run import session


def failing(self, case, rounds):
    return 1 / 0


session.Session.run = failing
"""


@pytest.fixture
def with_plugin(run, tmp_path):
    """``with_plugin(code, *options, **env)`` runs with a plugin of pytest that changes what workers do."""

    def ran(code, *options, **env):
        (tmp_path / "changed.py").write_text(code)
        return run(tmp_path, *WORKERS, "-p", "changed", *options, env={"PYTHONPATH": str(tmp_path)} | env)

    return ran


@pytest.fixture(scope="module")
def by_workers(run, tmp_path_factory):
    """A place in which everything ran in worker processes."""
    place = tmp_path_factory.mktemp("workers")
    ran = run(place, *WORKERS)
    assert ran.status == 0 and "4 passed" in ran.output and "reused" not in ran.output, ran.output
    return place


def weights_of(place):
    files = (place / "results" / "checkpoints").glob("*/*.safetensors")
    return {f"{file.parent.name}/{file.name}": load_file(file) for file in files}


def test_they_end_with_the_records_and_weights_of_a_serial_run(by_workers, whole):
    assert results_of(by_workers) == results_of(whole)
    ours, theirs = weights_of(by_workers), weights_of(whole)
    assert ours.keys() == theirs.keys() and len(ours) == 4
    assert all(tensor.equal(theirs[name][key]) for name, file in ours.items() for key, tensor in file.items())


def test_a_record_says_how_many_threads_and_cases_shared_the_machine(by_workers, whole):
    for place, beside in ((by_workers, min(usable_cores(), 2) - 1), (whole, 0)):
        records = [json.loads(path.read_text()) for path in (place / "results" / "records").glob("*.json")]
        hardware = [record["environment"]["hardware"] for record in records]
        assert [(facts["threads"], facts["cases_beside"]) for facts in hardware] == [(1, beside)] * 4


@pytest.mark.parametrize("kills", some([1, 2], [1]))
def test_the_case_of_a_killed_worker_is_tried_again_once(with_plugin, whole, tmp_path, kills):
    (tmp_path / "left").write_text(str(kills))
    ran = with_plugin(KILLER, KILLS_LEFT=str(tmp_path / "left"))
    results, expected = results_of(tmp_path), results_of(whole)
    if kills == 1:
        assert ran.status == 0 and "4 passed" in ran.output, ran.output
        assert retries_of(tmp_path) == dict.fromkeys(expected, 0) | {"shapes-dino-projection-2ep": 1}
    else:
        assert ran.status == 1 and "1 failed, 3 passed" in ran.output, ran.output
        assert "its worker process ended twice, by SIGKILL" in ran.output
        killed = "shapes-dino-projection-2ep"
        assert results.pop(killed)["status"] == "crashed" and expected.pop(killed)
    assert results == expected


def test_an_unexpected_error_ends_its_case_with_the_workers_traceback(with_plugin):
    ran = with_plugin(FAILING)
    assert ran.status == 1 and "4 failed" in ran.output, ran.output
    assert ran.output.count("ZeroDivisionError: division by zero") == 4 and ran.output.count("in failing") == 4


def test_with_x_the_first_failure_ends_all_and_the_rest_stays_resumable(run, with_plugin, whole, tmp_path):
    (tmp_path / "left").write_text("2")
    ran = with_plugin(KILLER, "-x", KILLS_LEFT=str(tmp_path / "left"))
    assert ran.status == 1 and "1 failed" in ran.output and "stopping after 1 failures" in ran.output, ran.output
    assert {
        record["message"] for record in results_of(tmp_path).values() if record["status"] in ("crashed", "interrupted")
    } <= {
        "the case was interrupted; it will be tried again",
        "the case was started and did not end; it will be tried again",
    }
    ran = run(tmp_path, *WORKERS)
    assert ran.status == 0 and results_of(tmp_path) == results_of(whole), ran.output


@pytest.mark.slow
def test_ctrl_c_interrupts_them_all_and_leaves_all_resumable(run, whole, tmp_path, chance):
    longest = float((whole / "seconds").read_text())
    for _ in range(2):
        ran = run(tmp_path, *WORKERS, signal=signal.SIGINT, seconds=chance.uniform(0.3, 0.7) * longest)
        assert ran.status in (0, 2), ran.output
        unfinished = [record for record in results_of(tmp_path).values() if record["status"] != "done"]
        message = "the case was interrupted; it will be tried again"
        assert all((record["status"], record["message"]) == ("interrupted", message) for record in unfinished)
    ran = run(tmp_path, *WORKERS)
    assert ran.status == 0 and results_of(tmp_path) == results_of(whole), ran.output


def test_a_case_beyond_its_limit_ends_and_the_next_ones_run(run, whole, tmp_path):
    ran = run(tmp_path, *WORKERS, "--case-timeout", "0.01")
    assert ran.status == 1 and "4 failed" in ran.output
    assert [record["status"] for record in results_of(tmp_path).values()] == ["timeout"] * 4
    ran = run(tmp_path, *WORKERS)
    assert ran.status == 0 and results_of(tmp_path) == results_of(whole), ran.output


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_workers_end_with_a_killed_parent_and_the_next_run_goes_on(ordered, tmp_path, run, whole):
    """In processes as users have them, with a server that forks the workers."""
    order = ordered(tmp_path, *WORKERS)
    process = subprocess.Popen(
        [sys.executable, *order.words], cwd=ROOT, env=os.environ | {"CI": "true"}, stdout=subprocess.PIPE
    )
    records = tmp_path / "results" / "records"
    while process.poll() is None and not list(records.glob("*.json")):
        time.sleep(0.05)
    family = children_of(process.pid)
    process.kill()
    process.wait()
    assert family, "the parent has no workers"
    end = time.monotonic() + 60
    while any(Path(f"/proc/{number}").exists() for number in family):
        assert time.monotonic() < end, "a worker goes on after its parent was killed"
        time.sleep(0.1)
    messages = {record["message"] for record in results_of(tmp_path).values() if record["status"] != "done"}
    assert messages <= {"the case was interrupted; it will be tried again"}
    ran = run(tmp_path, *WORKERS)
    assert ran.status == 0 and results_of(tmp_path).keys() == results_of(whole).keys()


def children_of(parent):
    """All processes below one, by what /proc says of their parents."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(re.sub(r".*\) ", "", (folder / "stat").read_text()).split()[1])
        except OSError:
            continue
    family = {parent}
    while more := {child for child, above in parents.items() if above in family} - family:
        family |= more
    return family - {parent}
