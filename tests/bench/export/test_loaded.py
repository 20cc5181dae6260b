"""An export that is loaded: the teacher it needs, the pictures it takes, and damage that is refused."""

import contextlib
import json
import random
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import teachers
from bench.export import loaded
from bench.kit.checksum import seal, unseal
from bench.kit.errors import UserError
from tests.bench.export.three import HEAD, PIXELS, TOKENS, flip


def test_a_student_that_stands_alone_needs_its_teacher_for_captions_only(exports, monkeypatch):
    alone, head = exports(PIXELS), exports(TOKENS)
    monkeypatch.setattr(teachers, "POCKET", alone)  # no weights of teachers there
    model = loaded.load(alone)
    assert model.image(torch.zeros(1, 3, 32, 32)).shape == (1, 16)
    with pytest.raises(teachers.WeightsError, match="clip"):
        model.text(["a red circle"])
    with pytest.raises(teachers.WeightsError, match="blip"):
        loaded.load(head)


def test_another_teacher_is_refused(exports, tmp_path, monkeypatch):
    tensors = load_file(teachers.POCKET / "blip.safetensors")
    name = next(name for name, tensor in tensors.items() if tensor.ndim == 2)
    tensors[name] = tensors[name] * 1.001
    save_file(tensors, tmp_path / "blip.safetensors")
    monkeypatch.setattr(teachers, "POCKET", tmp_path)
    with pytest.raises(UserError, match="teacher 'blip' that is here is another one than the student was trained with"):
        loaded.load(exports(TOKENS))


def test_what_is_no_picture_or_has_no_captions_is_refused_with_the_expected_form(exports):
    model = loaded.load(exports(PIXELS))
    for shape in ((1, 3, 64, 64), (3, 32, 32), (1, 1, 32, 32)):
        with pytest.raises(ValueError, match=r"expected pixels \[B, 3, 32, 32\]"):
            model.image(torch.zeros(shape))
    head = loaded.load(exports(HEAD))
    assert head.image(torch.zeros(1, 3, 48, 64)).shape == (1, 16)  # its teacher resizes
    with pytest.raises(ValueError, match="no text tower"):
        head.text(["a red circle"])


def test_a_damaged_export_is_refused(exports, tmp_path):
    whole = exports(HEAD)
    config = unseal((whole / "config.json").read_text())
    faults = {"format": 1, "student": "projektion", "dims": [1], "teacher": None, "weights_sha256": "0"}
    texts = [seal(config | {key: value}) for key, value in faults.items()]
    for number, text in enumerate([*texts, json.dumps(config), "", "[]", "{", "\x00", "[" * 10**5]):
        folder = shutil.copytree(whole, tmp_path / f"config-{number}")
        (folder / "config.json").write_text(text)
        with pytest.raises(UserError, match=r"config\.json"):
            loaded.load(folder)
    size = (whole / "model.safetensors").stat().st_size
    for position in (0, 20, size // 2, size - 1):
        folder = shutil.copytree(whole, tmp_path / f"weights-{position}")
        flip(folder / "model.safetensors", position)
        with pytest.raises(UserError, match="is damaged"):
            loaded.load(folder)
    with pytest.raises(UserError, match=r"No such file.*name a folder that"):
        loaded.load(tmp_path / "nowhere")


def test_a_flipped_bit_in_the_configuration_is_refused_or_changes_nothing(exports, tmp_path):
    path, chance = shutil.copytree(exports(HEAD), tmp_path / "export") / "config.json", random.Random(0)
    whole, expected = path.read_bytes(), exported._config(path)
    scale = whole.replace(b'"logit_scale": 1', b'"logit_scale": 3')
    assert scale != whole
    path.write_bytes(scale)
    with pytest.raises(UserError, match="not what its sha256 says"):
        loaded.load(path.parent)
    for _ in range(300):
        place = chance.randrange(len(whole))
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :])
        with contextlib.suppress(UserError):
            assert exported._config(path) == expected


def test_weights_of_another_width_are_refused(exports, tmp_path):
    folder = shutil.copytree(exports(HEAD), tmp_path / "export")
    config = unseal((folder / "config.json").read_text())
    config["dims"]["embedding"] = 17
    (folder / "config.json").write_text(seal(config))
    with pytest.raises(UserError, match="does not fit the student 'projection'"):
        loaded.load(folder)
