"""A baseline of hand-made records, as a file and as it is read."""

import pytest

from bench.results.baseline import read
from tests.bench.results.gate import save


@pytest.fixture
def file(tmp_path):
    save(tmp_path / "baseline.json")
    return tmp_path / "baseline.json"


@pytest.fixture
def baseline(file):
    return read(file)
