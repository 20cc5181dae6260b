"""Cases on a cluster of Ray end with the records of a serial run, also where a node is killed.

Ray is an extra, and a cluster takes a minute to start: uv sync --extra ray && uv run pytest -m slow tests/robustness/test_ray.py
"""

import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from bench.kit.errors import UserError
from bench.kit.paths import ROOT
from bench.plan import matrix
from bench.run import remote
from bench.run.job import Job
from tests.robustness.conftest import results_of

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


@pytest.mark.slow
def test_two_nodes_end_with_the_curves_of_a_serial_run_also_where_one_is_killed(cluster, ordered, whole, tmp_path):
    second = cluster.add_node(num_cpus=1)
    process = started(ordered, tmp_path, cluster.address)
    while process.poll() is None and not list((tmp_path / "results").glob("records/*.json")):
        time.sleep(0.1)
    cluster.remove_node(second, allow_graceful=False)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    assert figures(tmp_path) == figures(whole)
