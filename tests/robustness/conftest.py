"""A matrix of four cases, run in processes that are forked from one that has imported everything."""

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.forking import Order, Ran

MATRIX = """
profiles:
  tiny:
    weights: pocket
    threads: 1
    pairs: {shapes: [dino], scenes: [blip]}
    students: [projection]
    epochs: [1, 2]
    seeds: [0]
    samples: {train: 128, test: 70}
    widths: {embedding: 16, bottleneck: 8, trunk: pocket}
    controls: [untrained, teacher]
training: {batch_size: 32, learning_rate: 1.0e-3, weight_decay: 0.05, warmup_steps: 2}
tolerances: {knn_top1: 2.0}
"""
# How many interruptions at random moments are survived, one after the other.
OFTEN = pytest.mark.parametrize("times", [1, pytest.param(2, marks=pytest.mark.slow)])
SEED = "DISTILL_BENCH_SEED"  # of everything random in these tests; printed where one fails


@pytest.fixture(scope="session")
def matrix_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("matrix") / "matrix.yaml"
    path.write_text(MATRIX)
    return path


@pytest.fixture(scope="session")
def ordered(matrix_file) -> Callable[..., Order]:
    """``ordered(place, *options, **fate)`` is a run of the matrix whose results and data lie under ``place``."""

    def order(place: Path, *options: str, **fate) -> Order:
        words = [
            "-m",
            "pytest",
            "bench",
            "-q",
            "-p",
            "no:cacheprovider",
            "--matrix",
            str(matrix_file),
            "--profile",
            "tiny",
            "--executor",
            "serial",
        ]
        words += ["--results", str(place / "results"), "--data", str(place / "data"), "--device", "cpu", *options]
        return Order(words, watched=[str(place / "results"), str(place / "data")], **fate)

    return order


@pytest.fixture(scope="session")
def run(server, ordered) -> Callable[..., Ran]:
    """``run(place, *options, **fate)`` runs one."""
    return lambda place, *options, **fate: server([ordered(place, *options, **fate)])[0]


@pytest.fixture(scope="session")
def whole(run, tmp_path_factory) -> Path:
    """A place in which everything ran undisturbed."""
    place = tmp_path_factory.mktemp("whole")
    ran = run(place, plots=True)
    assert ran.status == 0, ran.output
    (place / "seconds").write_text(str(ran.seconds))
    return place


@pytest.fixture
def chance(request) -> random.Random:
    """A source of chance. Its seed is printed where the test fails, and taken from the environment where it is set."""
    seed = int(os.environ.get(SEED) or random.SystemRandom().getrandbits(32))
    print(f"repeat with {SEED}={seed}")
    return random.Random(f"{seed} {request.node.name}")


TIMED = ("epoch_seconds", "teacher_pass_seconds", "latency", "images_per_second", "peak_memory", "energy", "throughput")


def results_of(place: Path) -> dict[str, dict]:
    """All of each record that must not depend on how often, or by what, its run was interrupted."""
    paths = (place / "results" / "records").glob("*.json")
    return {path.stem: _untimed(json.loads(path.read_text())) for path in paths}


def retries_of(place: Path) -> dict[str, int]:
    """How many processes were killed in each case, as its record has it."""
    paths = (place / "results" / "records").glob("*.json")
    return {path.stem: json.loads(path.read_text())["retries"] for path in paths}


def _untimed(content: dict) -> dict:
    kept = {
        name: content[name] for name in ("status", "message", "case", "fingerprint", "controls", "in_batch", "protocol")
    }
    for part in ("metrics", "teacher"):
        kept[part] = {name: value for name, value in content[part].items() if not name.startswith(TIMED)}
    curve = [{name: value for name, value in entry.items() if name != "epoch_seconds"} for entry in content["curve"]]
    return kept | {"curve": curve}
