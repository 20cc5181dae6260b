"""Pocket clip, a features folder of its own for every test, and what an undisturbed pass stores."""

import pytest

import teachers
from bench.features.extract import extract
from bench.kit import paths
from tests.bench.features.passes import TEST, TRAIN, arrays_of, work


@pytest.fixture(scope="module")
def clip():
    return teachers.load("clip", "pocket")


@pytest.fixture(scope="module", autouse=True)
def small_chunks():
    """Chunks so small that a few images make several shards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.features.extract.CHUNK", 4)
        patch.setattr("bench.features.extract.CAPTION_CHUNK", 16)
        yield


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(paths.VARIABLE, str(tmp_path / "data"))
    return tmp_path / "data" / "features"


@pytest.fixture(scope="module")
def good(clip, small_chunks):
    """What an undisturbed pass stores."""
    return arrays_of(extract(work(clip), TRAIN, TEST))
