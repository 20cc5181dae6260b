"""A matrix small enough to run whole in a test, and a way to run it as a user does."""

import os
from importlib.util import find_spec

import pytest

from bench.kit import paths
from tests.forking import Order

# Modules that assert for several tests: their failures show the values as those of tests do.
pytest.register_assert_rewrite(
    "tests.bench.prepare.outcome",
    "tests.bench.kit.array_store.plans",
    "tests.bench.features.passes",
)

MATRIX = """
profiles:
  tiny:
    weights: pocket
    pairs: {shapes: [dino], scenes: [blip]}
    students: [projection, cbam]
    epochs: [1, 2]
    seeds: [0]
    samples: {train: 128, test: 70}
    widths: {embedding: 16, bottleneck: 8, trunk: pocket}
    controls: [untrained, teacher, raw-pixels]
training: {batch_size: 32, learning_rate: 1.0e-3, weight_decay: 0.05, warmup_steps: 2}
tolerances: {knn_top1: 2.0}
"""


@pytest.fixture(scope="session")
def tiny_matrix(tmp_path_factory):
    path = tmp_path_factory.mktemp("matrix") / "matrix.yaml"
    path.write_text(MATRIX)
    return path


@pytest.fixture(scope="session")
def run_bench(server, tiny_matrix):
    """``run_bench(results, *options)`` runs the tiny profile in a process of its own; ``changes`` are those of its order."""

    def run(results, *options, matrix=tiny_matrix, env=None, **changes):
        words = ["-m", "pytest", "bench", "--matrix", str(matrix), "--profile", "tiny"]
        words += ["--results", str(results), "-p", "no:cacheprovider", "--executor=serial", *options]
        own = {"CI": "true", paths.VARIABLE: os.environ[paths.VARIABLE]}
        return server([Order(words, env=own | (env or {}), **changes)])[0]

    return run


@pytest.fixture(scope="session")
def finished(run_bench, tmp_path_factory):
    """A results folder in which the whole tiny profile ran, and what pytest printed."""
    folder = tmp_path_factory.mktemp("results")
    others = [f"--benchmark-json={folder / 'benchmark.json'}", f"--junitxml={folder / 'junit.xml'}"]
    if find_spec("pytest_html"):
        others += [f"--html={folder / 'tests.html'}", "--self-contained-html"]
    ran = run_bench(folder, *others, plots=True)
    assert ran.status == 0, ran.output
    return folder, ran.output
