"""Full-size counts: kept under a key, counted again when the key changes or the file is damaged."""

import pytest

from bench.kit.files import seal, unseal
from bench.report.paper import full_sizes, publication


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(full_sizes, "KEPT", tmp_path / "full-sizes.json")
    full_sizes.full_sizes.cache_clear()
    yield full_sizes.KEPT
    full_sizes.full_sizes.cache_clear()


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """The rows, and the file that they were kept in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(full_sizes, "KEPT", tmp_path_factory.mktemp("counted") / "full-sizes.json")
        full_sizes.full_sizes.cache_clear()
        return full_sizes.full_sizes(), full_sizes.KEPT


def test_they_are_counted_once_and_kept(counted, kept, monkeypatch):
    first, file = counted
    kept.write_bytes(file.read_bytes())
    assert len(first) == 12 and {row["student"] for row in first if row["dataset"] == "coco"} >= {"cbam", "resnet"}
    monkeypatch.setattr("bench.measure.cost.full_size", lambda *_: pytest.fail("counted again"))
    assert full_sizes.full_sizes() == first


FLIPPED = seal({"key": "KEY", "sizes": [123]}).replace("123", "122")
DAMAGED = [
    "",
    "{",
    "[]",
    '{"key": "KEY", "sizes": []}',
    seal({"key": 1}),
    seal({"key": 1}).replace("1", "2", 1),
    FLIPPED,
]


@pytest.mark.parametrize("damaged", DAMAGED)
def test_a_damaged_file_is_counted_again(kept, monkeypatch, damaged):
    kept.write_text(damaged.replace("KEY", full_sizes._key()))
    changed = publication.paper().model_copy(update={"tables": []})
    monkeypatch.setattr(publication, "paper", lambda: changed)
    assert full_sizes.full_sizes() == []
    assert unseal(kept.read_text()) == {"key": full_sizes._key(), "sizes": []}


def test_the_key_follows_the_students_code(kept, monkeypatch, tmp_path):
    before = full_sizes._key()
    (tmp_path / "students").mkdir()
    (tmp_path / "students" / "new.py").write_text("")
    monkeypatch.setattr(full_sizes, "ROOT", tmp_path)
    assert full_sizes._key() != before


def test_only_resnet_and_densenet_run_without_the_teacher(counted):
    for row in counted[0]:
        alone = list(row["deployed"]) == ["none needed"]
        assert alone == (row["student"] in ("resnet", "densenet"))
        if not alone:
            assert all(cost["megabytes"] > 300 > row["size_mb"] for cost in row["deployed"].values())
