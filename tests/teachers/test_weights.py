"""What may be asked for: weights that contradict themselves, and pocket weights of real images."""

from importlib import import_module
from pathlib import Path

import pytest

import teachers
from teachers import Weights, WeightsError
from tests.teachers.full_size.checkpoints import saved


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "pretrianed"}, "'pretrianed' is not one of pocket, untrained, pretrained, random"),
        ({"kind": "random", "trained_on": "tiny-imagenet"}, "for pocket weights, not for random ones"),
        ({"kind": "pocket", "path": Path("x")}, "for pretrained weights, not for pocket ones"),
        ({"kind": "random", "revision": "main"}, "for pretrained weights, not for random ones"),
        ({"kind": "pretrained", "path": Path("x"), "revision": "main"}, "not from both"),
    ],
)
def test_weights_that_contradict_themselves_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Weights(**wrong)


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


@pytest.mark.parametrize("name", ["clip", "blip"])
def test_there_are_no_pocket_teachers_of_real_captions(name):
    with pytest.raises(ValueError, match=f"teacher {name} has no pocket weights trained on 'tiny-imagenet'"):
        teachers.load(name, Weights("pocket", trained_on="tiny-imagenet"))
