"""Pictures that cannot be used: each is named and listed, so many are skipped and no more."""

import json

import pytest

from bench import data
from bench.data import tiny_imagenet
from tests.bench.prepare import made
from tests.bench.prepare.made import ROOT, WNIDS
from tests.bench.prepare.outcome import TINY, refused, with_bad


@pytest.mark.parametrize(("bad", "reason"), [(made.picture(1)[:-200], "truncated"), (None, "missing")])
def test_a_bad_image_in_a_thousand_is_named_and_skipped(place, tmp_path, monkeypatch, bad, reason):
    monkeypatch.setattr(tiny_imagenet, "EXPECTED", {"train": 1000, "test": 10})
    name = f"{ROOT}/train/{WNIDS[3]}/images/{WNIDS[3]}_2.JPEG"
    content = with_bad(made.tiny_imagenet(train=5, size=(8, 8)), bad, [name])
    log = made.prepared(TINY, made.unpacked(tmp_path / "given", content), subset=False)
    (skipped,) = json.loads((place / "manifest.json").read_text())["skipped"]
    assert skipped["file"] == name and reason in skipped["reason"]
    assert "  train: 999 images" in log and f"    skipped {name}: {skipped['reason']}" in log
    assert f"  train: 1 skipped in all, listed in {place / 'bad-train.txt'}" in log
    split = data.load(TINY, "train", None)
    assert len(split) == 999 and split.labels.bincount().tolist() == [5, 5, 5, 4] + [5] * 196


def test_more_bad_images_than_tolerated_are_refused_by_name_and_all_are_listed(place, tmp_path, capsys):
    content = made.tiny_imagenet(size=(8, 8))

    def refuse(name, names):
        given = made.archives(tmp_path / name, with_bad(content, b"", names))
        return refused(capsys, TINY, "--archives", given, "--subset")

    assert "1 of 10 images of test are bad" in refuse("test", [f"{ROOT}/val/images/val_1.JPEG"])
    assert [path.name for path in place.glob("bad-*")] == ["bad-test.txt"]
    names = [f"{ROOT}/train/{wnid}/images/{wnid}_0.JPEG" for wnid in WNIDS[:25]]
    error = refuse("train", names)  # stops before it looks at the test split
    assert "25 of 200 images of train are bad, more than 0.1 %: " in error and names[20] not in error
    assert f"{names[19]} (empty) and 5 more; all are listed in {place / 'bad-train.txt'};" in error
    assert [path.name for path in place.glob("bad-*")] == ["bad-train.txt"]
    assert (place / "bad-train.txt").read_text() == "".join(f"{name}\tempty\n" for name in names)
    assert not (place / "manifest.json").exists()
    made.prepared(TINY, made.archives(tmp_path / "good", content))
    assert not list(place.glob("bad-*"))
