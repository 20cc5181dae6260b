"""Pocket clip, a features folder of its own for every test, and what an undisturbed pass stores."""

import pytest

import teachers
from bench.features import extract
from bench.features.extract import distil
from bench.kit import paths
from tests.bench.counting import Counting
from tests.bench.features.extract.passes import TEST, TRAIN, arrays_of, work


@pytest.fixture(scope="package")
def clip():
    return teachers.load("clip", "pocket")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A features folder of its own; chunks so small that a few images make several shards."""
    monkeypatch.setenv(paths.VARIABLE, str(tmp_path / "data"))
    monkeypatch.setattr(extract, "CHUNK", 4)
    monkeypatch.setattr(extract, "CAPTION_CHUNK", 16)
    return tmp_path / "data" / "features"


@pytest.fixture(scope="package")
def good(clip):
    """What an undisturbed pass stores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extract, "CHUNK", 4)
        patch.setattr(extract, "CAPTION_CHUNK", 16)
        return arrays_of(distil(work(Counting(clip)), TRAIN, TEST))
