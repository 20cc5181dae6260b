"""Stored features of the tests go to a folder of their own, never to the user's; and no test fails for being slow."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from bench.kit import paths
from bench.kit.environment import usable_cores
from bench.kit.paths import ROOT
from tests.forking import LITTLE, Order, Ran

SHARING = ("tests/bench/export/",)

# A shared machine may be slow at any moment.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# Before torch is imported: threads of several workers on the same cores slow each other down many times over.
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Plain ``pytest``, which runs all tests, uses the cores that there are."""
    if hasattr(config, "workerinput") or not config.pluginmanager.hasplugin("xdist"):
        return
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS and config.option.numprocesses is None:
        config.option.numprocesses, config.option.dist = "auto", "loadfile"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """As many as there are cores for this process, but no more than fit into the memory of most machines."""
    return min(usable_cores(), 8)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A worker gets whole files, and all of a folder whose files share what takes long to make."""
    if config.option.dist != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Sharing(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return next((folder for folder in SHARING if file.startswith(folder)), file)

    return Sharing(config, log)


@pytest.fixture(scope="session", autouse=True)
def own_data_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(paths.VARIABLE, str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture
def little_measured(monkeypatch):
    """Costs and probes of students take next to no time, and say next to nothing."""
    for module, name, value in LITTLE:
        monkeypatch.setattr(f"{module}.{name}", value)


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Callable[[list[Order]], list[Ran]]:
    """``server(orders)`` runs them at the same time and returns how each ended; none of them asks the Hub."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", paths.VARIABLE))}
    env.pop("CI", None)  # there, no notes are printed
    env |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    env |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path_factory.mktemp("hub"))}
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("forking.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True, env=env,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"

    def run(orders: list[Order]) -> list[Ran]:
        process.stdin.write(json.dumps([asdict(order) for order in orders]) + "\n")
        process.stdin.flush()
        return [Ran(**each) for each in json.loads(process.stdout.readline())]

    yield run
    process.stdin.close()
    process.wait()
