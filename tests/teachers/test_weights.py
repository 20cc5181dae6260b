"""Pocket weights of real images."""

from importlib import import_module

import pytest

import teachers
from teachers import Weights, WeightsError
from tests.teachers.full_size.checkpoints import saved


@pytest.mark.parametrize("name", ["dino", "beit"])
def test_pocket_teachers_of_real_images_have_files_of_their_own(name, tmp_path, monkeypatch):
    monkeypatch.setattr(teachers, "POCKET", tmp_path)
    weights = Weights("pocket", trained_on="tiny-imagenet")
    with pytest.raises(WeightsError, match=f"train {name} --dataset tiny-imagenet"):
        teachers.load(name, weights)
    model = import_module(f"teachers.{name}").build_pocket(64)
    saved(model.state_dict(), tmp_path / f"{name}-tiny-imagenet.safetensors")
    teacher = teachers.load(name, weights)
    assert teacher.size == teacher.transform["size"] == 64
    assert teacher.provenance["file"] == f"{name}-tiny-imagenet.safetensors"
