"""A baseline of hand-made records, as a file and as it is read."""

import pytest

from bench.results import compare
from tests.bench.results.compare.results import save


@pytest.fixture
def file(tmp_path):
    save(tmp_path / "baseline.json")
    return tmp_path / "baseline.json"


@pytest.fixture
def baseline(file):
    return compare.read(file)
