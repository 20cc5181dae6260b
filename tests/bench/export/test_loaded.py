"""An export that is loaded: the teacher it needs, the pictures it takes, and damage that is refused."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import teachers
from bench.export import loaded
from bench.kit.errors import UserError
from bench.kit.files import seal, unseal
from tests.bench.export.three import HEAD, PIXELS, TOKENS, flip


@pytest.fixture
def folder(exports, tmp_path):
    """A copy of an export to be damaged."""
    return shutil.copytree(exports[HEAD], tmp_path / "export")


def test_a_student_that_stands_alone_needs_its_teacher_for_captions_only(exports, monkeypatch):
    monkeypatch.setattr(teachers, "POCKET", exports[PIXELS])  # no weights of teachers there
    model = loaded.load(exports[PIXELS])
    assert model.image(torch.zeros(1, 3, 32, 32)).shape == (1, 16)
    with pytest.raises(teachers.WeightsError, match="clip"):
        model.text(["a red circle"])
    with pytest.raises(teachers.WeightsError, match="blip"):
        loaded.load(exports[TOKENS])


def test_another_teacher_is_refused(exports, tmp_path, monkeypatch):
    tensors = load_file(teachers.POCKET / "blip.safetensors")
    name = next(name for name, tensor in tensors.items() if tensor.ndim == 2)
    tensors[name] = tensors[name] * 1.001
    save_file(tensors, tmp_path / "blip.safetensors")
    monkeypatch.setattr(teachers, "POCKET", tmp_path)
    with pytest.raises(UserError, match="teacher 'blip' here is not the one that the student was trained with"):
        loaded.load(exports[TOKENS])


def test_a_head_sees_what_its_teacher_saw_in_training(folder):
    config = unseal((folder / "config.json").read_text())
    assert loaded.load(folder).teacher().transform["short_side"] == 32
    config["training"]["geometry"] = "squash"
    (folder / "config.json").write_text(seal(config))
    with pytest.raises(UserError, match=r"transform \{.*'short_side': None\}, not \{.*'short_side': 32\}"):
        loaded.load(folder)
    config["teacher"]["transform"]["short_side"] = None
    (folder / "config.json").write_text(seal(config))
    assert loaded.load(folder).teacher().transform["short_side"] is None


def test_what_is_no_picture_or_has_no_captions_is_refused_with_the_expected_form(exports):
    model = loaded.load(exports[PIXELS])
    for shape in ((1, 3, 64, 64), (3, 32, 32), (1, 1, 32, 32)):
        with pytest.raises(ValueError, match=r"expected pixels \[B, 3, 32, 32\]"):
            model.image(torch.zeros(shape))
    head = loaded.load(exports[HEAD])
    assert head.image(torch.zeros(1, 3, 48, 64)).shape == (1, 16)  # its teacher resizes
    with pytest.raises(ValueError, match="no text tower"):
        head.text(["a red circle"])


def test_a_configuration_that_cannot_be_used_is_refused(folder, tmp_path):
    config = unseal((folder / "config.json").read_text())
    faults = {"format": 1, "student": "projektion", "dims": [1], "teacher": None, "weights_sha256": "0"}
    texts = [seal(config | {key: value}) for key, value in faults.items()]
    damaged = seal(config).replace('"logit_scale": 1', '"logit_scale": 3')
    for text in [*texts, damaged, json.dumps(config), "", "[]", "{", "\x00", "[" * 10**5]:
        (folder / "config.json").write_text(text)
        with pytest.raises(UserError, match=r"config\.json"):
            loaded.load(folder)
    with pytest.raises(UserError, match=r"No such file.*name a folder that"):
        loaded.load(tmp_path / "nowhere")


def test_damaged_or_missing_weights_are_refused(folder):
    weights = folder / "model.safetensors"
    size = weights.stat().st_size
    for position in (0, 20, size // 2, size - 1):
        flip(weights, position)
        with pytest.raises(UserError, match="is damaged"):
            loaded.load(folder)
        flip(weights, position)
    weights.unlink()
    with pytest.raises(UserError, match="cannot be read"):
        loaded.load(folder)


def test_weights_of_another_width_are_refused(folder):
    config = unseal((folder / "config.json").read_text())
    config["dims"]["embedding"] = 17
    (folder / "config.json").write_text(seal(config))
    with pytest.raises(UserError, match="does not fit the student 'projection'"):
        loaded.load(folder)
