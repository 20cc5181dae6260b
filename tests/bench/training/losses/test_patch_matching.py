"""Patch matching: against the authors' formula written out, and as a loss that students with a map are trained by."""

import pytest
import torch
from torch import nn

import students
from bench.plan.fits import unfit
from bench.run.case import needs_of
from bench.training.losses.patch_matching import patch_matching
from students import Dims
from tests.bench.training.losses.drawn import regular_map
from tests.bench.training.runs import case, features, run, step

SAYS = "loss 'patch-matching' needs a student with a map of its own, which 'projection' does not have; expected resnet or densenet"


@pytest.mark.parametrize("side", [2, 4, 5])
def test_it_is_the_mean_squared_error_on_the_teachers_grid(side):
    """LightlyTrain's distillationv2: a linear head, bilinear resizing, MSELoss; here the resizing is PyTorch's matrix of it."""
    generator = torch.Generator().manual_seed(0)
    projected, teacher = torch.randn(3, 4, 4, 6, generator=generator), torch.randn(3, side**2, 6, generator=generator)
    at = ((torch.arange(side) + 0.5) * 4 / side - 0.5).clamp(0, 3)
    weights = torch.clamp(1 - (at[:, None] - torch.arange(4)).abs(), min=0)  # [side, 4]
    resized = torch.einsum("yh,xw,bhwd->byxd", weights, weights, projected).flatten(1, 2)
    expected = nn.MSELoss()(resized, teacher)
    assert patch_matching(projected, teacher).item() == pytest.approx(expected.item(), rel=1e-5)


def test_it_is_the_authors():
    """Value and gradient of LightlyTrain 0.18.0's code, printed by ``authors.py``."""
    last_map, weight, bias, teacher = regular_map()
    loss = patch_matching(nn.functional.linear(last_map.permute(0, 2, 3, 1), weight, bias), teacher)
    (slope,) = torch.autograd.grad(loss, last_map)
    assert loss.item() == pytest.approx(1.0210153041926726, rel=1e-12)
    golden = [-0.012739878956317745, 0.005402136061584698, 0.011352723883673265, -0.014206353512037683]
    assert slope.flatten()[:4].tolist() == pytest.approx(golden, rel=1e-12)


@pytest.mark.parametrize("name", ["resnet", "densenet"])
def test_the_map_is_what_the_embedding_is_made_of(name):
    student = students.build(name, Dims(8, 10, 6, "pocket"), "classification").eval()
    pixels = features(captions=False).split.pixels[:4]
    embeddings, last_map = student.image_and_map(pixels)
    assert torch.equal(embeddings, student.image(pixels)[0])
    assert last_map.shape[:2] == (4, student.image_tower.trunk.num_features)
    changed = student.image_tower.head(last_map.mean(dim=(2, 3)))
    torch.testing.assert_close(nn.functional.normalize(changed, dim=1), embeddings, atol=1e-5, rtol=0)


def test_a_student_learns_the_patches_and_its_projection_is_kept(tmp_path):
    chosen = case("shapes-dino-resnet-5ep", loss="patch-matching", epochs=4)
    training = run(tmp_path, chosen, data=features(captions=False))
    before = training.criterion.loss.patches.weight.clone()
    for _ in range(4):
        step(training)
    losses = [entry["loss"] for entry in training.history[1:]]
    assert losses[-1] < 0.9 * losses[0]
    assert not torch.equal(training.criterion.loss.patches.weight, before)
    again = run(tmp_path, chosen, data=features(captions=False))
    assert torch.equal(again.criterion.loss.patches.weight, training.criterion.loss.patches.weight)


def test_other_students_and_captions_are_refused_with_what_would_do():
    assert unfit("patch-matching", "projection", "classification") == SAYS
    assert "is of images alone" in unfit("patch-matching", "resnet", "captions")
    assert unfit("patch-matching", "densenet", "images") is None


def test_the_teacher_is_asked_for_its_patches():
    plain, patches = case("shapes-dino-resnet-5ep"), case("shapes-dino-resnet-5ep", loss="patch-matching")
    assert [needs_of(one, [one])[0].tokens for one in (plain, patches)] == [False, True]
    assert patches.asks_teacher
