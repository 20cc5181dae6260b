"""Cases on a cluster of Ray end with the records of a serial run, also where a node is killed.

Ray is an extra, and a cluster takes a minute to start: uv sync --extra ray && uv run pytest -m slow tests/robustness/test_ray.py
"""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest

from bench.kit.errors import UserError
from bench.kit.paths import ROOT
from bench.kit.progress import Progress
from bench.plan import matrix
from bench.results import record
from bench.run import ray_tasks, remote
from bench.run.job import CaseError, Job, key_of
from tests.robustness.conftest import results_of, retries_of

CASE = matrix.cases(matrix.load(), "pocket", matrix.DEFAULT)[0]


@pytest.fixture
def job(tmp_path):
    job = Job(tmp_path, (CASE,), frozenset({CASE.id}), session="one")
    (tmp_path / ".session-one").touch()
    return job


def test_a_node_with_other_software_or_code_is_refused_and_both_are_named(job):
    remote.require_same(job, CASE, remote.facts(CASE))
    other = remote.facts(CASE) | {"torch": "1.0", "code": "0123456789abcdef"}
    with pytest.raises(
        UserError, match=r"differs from the machine .*: code \w+ instead of 0123456789abcdef, torch .* instead of 1.0"
    ):
        remote.require_same(job, CASE, other)


def test_a_node_that_does_not_see_the_results_folder_is_refused(job):
    with pytest.raises(UserError, match=r"does not see .*: results need a folder that all nodes see"):
        remote.require_same(replace(job, session="two"), CASE, remote.facts(CASE))


def test_without_ray_the_command_that_installs_it_is_named(run, tmp_path):
    env = {"PYTHONPATH": str(tmp_path)}
    (tmp_path / "ray.py").write_text("raise ImportError")
    ran = run(tmp_path / "place", "--executor", "ray", env=env)
    assert "--executor ray needs Ray: uv sync --extra ray" in ran.output and ran.status == pytest.ExitCode.USAGE_ERROR


def test_a_start_that_times_out_is_tried_again_and_a_wrong_address_is_not(monkeypatch):
    starts, errors = [], [Exception("timed out"), Exception("timed out"), None]

    def init(**options):
        starts.append(options["address"])
        if error := errors.pop(0):
            raise error

    monkeypatch.setattr(ray_tasks.time, "sleep", lambda seconds: None)
    stand_in = SimpleNamespace(init=init, shutdown=lambda: None)
    ray_tasks._start(stand_in, None)
    assert starts == [None] * 3
    errors += [ConnectionError("nobody"), None]
    with pytest.raises(UserError, match="--ray-address there:1: nobody"):
        ray_tasks._start(stand_in, "there:1")


def test_sigterm_still_interrupts_after_ray_took_it():
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    stand_in = SimpleNamespace(init=lambda **options: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    try:
        ray_tasks._start(stand_in, None)
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(("device", "gpus", "asked", "of_node", "slots"), [
    ("auto", [0, 2, 4], {"num_cpus": 0, "num_gpus": 1}, 4, 6), ("cuda", [1], {"num_cpus": 0, "num_gpus": 1}, 1, 1),
    ("cpu", [4], {"num_cpus": 1}, 8, 8), ("auto", [0, 0], {"num_cpus": 1}, 8, 16),
])  # fmt: skip
def test_a_task_asks_for_a_gpu_of_its_own_or_for_its_threads(job, device, gpus, asked, of_node, slots):
    nodes = [{"Alive": True, "Resources": {"CPU": 8.0, "GPU": float(count)}} for count in gpus]
    nodes += [{"Alive": False, "Resources": {"CPU": 64.0, "GPU": 64.0}}]
    tasks = SimpleNamespace(ray=SimpleNamespace(nodes=lambda: nodes))
    assert ray_tasks.RayTasks._resources(tasks, replace(job, device=device), CASE) == (asked, of_node, slots)


@pytest.mark.parametrize(("cores", "share"), [([1], 1), ([2, 3], 1), ([4, 4], 2), ([16], 4)])
def test_a_pass_has_the_slots_that_would_idle_and_a_run_waits_for_all_of_it(job, monkeypatch, cores, share):
    passes, runs = [], []

    def remote_of(function):
        calls = passes if function is ray_tasks.pass_of_teacher else runs

        def submit(job, work, *rest):
            calls.append((work, rest))
            return len(calls) - 1

        return SimpleNamespace(options=lambda **options: SimpleNamespace(remote=submit))

    nodes = [{"Alive": True, "Resources": {"CPU": float(count)}} for count in cores]
    stand_in = SimpleNamespace(remote=remote_of, put=lambda value: value, nodes=lambda: nodes)
    monkeypatch.setattr(ray_tasks, "load_ray", lambda: stand_in)
    monkeypatch.setattr(ray_tasks, "_start", lambda ray, address: None)
    cases = matrix.cases(matrix.load(), "pocket", matrix.DEFAULT)
    ray_tasks.RayTasks(job, cases, Progress(None), None)
    teachers = {key_of(case) for case in cases}
    assert len(teachers) == 4 and len(passes) == 4 * share
    for run, (_, *after) in runs:
        assert len(after) == share and {key_of(passes[number][0]) for number in after} == {key_of(run[0])}


@pytest.mark.parametrize("failure", [None, "a broken disk"])
def test_notes_of_a_case_are_said_before_its_record_or_failure(tmp_path, failure):
    notes, said, progress = remote.Notes(), [], Progress(None)
    notes.say("a shard is damaged")
    progress.say = said.append
    record.write(record.Record.of(CASE), tmp_path)
    with pytest.raises(CaseError, match=failure) if failure else nullcontext():
        entry, reused = remote.reported((failure, False, notes.taken()), CASE, tmp_path, progress)
        assert entry.id == CASE.id and not reused
    assert len(said) == 1 and said[0].endswith(": a shard is damaged") and notes.taken() == []


@pytest.fixture(scope="module")
def cluster():
    """Two nodes with a core each."""
    utilities = pytest.importorskip("ray.cluster_utils", reason="Ray is not there: uv sync --extra ray")
    nodes = utilities.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield nodes
    nodes.shutdown()


def started(ordered, place, address):
    words = ordered(place, "--executor", "ray", "--ray-address", address).words
    return subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, env=os.environ | {"CI": "true"}, stdout=subprocess.PIPE, text=True
    )


def figures(place):
    """All but what other probes and timings change: the server of these tests measures little."""
    return {name: (record["status"], record["curve"]) for name, record in results_of(place).items()}


def until(process, place, pattern):
    """Wait for a file, or for the process to end."""
    while process.poll() is None and not list(place.glob(pattern)):
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["data/features/*/about.json", "results/records/*.json"], ids=["pass", "case"])
def test_two_nodes_end_with_the_curves_of_a_serial_run_also_where_one_is_killed(
    cluster, ordered, whole, tmp_path, moment
):
    second = cluster.add_node(num_cpus=1)
    process = started(ordered, tmp_path, cluster.address)
    until(process, tmp_path, moment)
    cluster.remove_node(second, allow_graceful=False)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    assert figures(tmp_path) == figures(whole)
    assert max(retries_of(tmp_path).values()) <= 1


@pytest.mark.slow
def test_a_driver_that_was_killed_goes_on_beside_another_executor_and_nothing_is_trained_twice(
    cluster, ordered, run, whole, tmp_path
):
    process = started(ordered, tmp_path, cluster.address)
    until(process, tmp_path, "results/checkpoints/*/*.safetensors")
    process.kill()
    process.communicate()
    kept = {path: path.read_bytes() for path in (tmp_path / "results" / "records").glob("*.json")}
    done = {path: content for path, content in kept.items() if b'"status": "done"' in content}
    process = started(ordered, tmp_path, cluster.address)
    ran = run(tmp_path, "--executor", "processes")
    output, _ = process.communicate(timeout=600)
    assert (process.returncode, ran.status) == (0, 0), output + ran.output
    assert figures(tmp_path) == figures(whole)
    assert all(path.read_bytes() == content for path, content in done.items())
    reused = sum(int(count) for count in re.findall(r"(\d) of 4 cases were reused", output + ran.output))
    assert reused >= 4 + len(done), output + ran.output
