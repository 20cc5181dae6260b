"""PHI-S against its authors' code, and that its statistics are those of the training images and stay."""

import math

import pytest
import torch
import torch.nn.functional as F

from bench.plan.fits import unfit
from bench.training import checkpoint
from bench.training.losses import StudentBatch, TeacherBatch, Widths, phi_s
from tests.bench.training.losses.drawn import embeddings, regular
from tests.bench.training.runs import case, features, run, step


def test_value_and_gradient_are_those_of_the_authors_code():
    """NVlabs/RADIO, c0f3701, examples/common/phi_s.py, each eigenvector's largest entry positive; printed by authors.py."""
    images, _, teacher, _ = regular(4, 6, 4)
    loss = phi_s.Loss(Widths(4, 4)).double()
    loss.fit(teacher)
    with torch.no_grad():
        loss.projector.weight.copy_(torch.eye(4))
    student = StudentBatch(F.normalize(images.requires_grad_(), dim=1), None, None, torch.tensor(1.0))
    value = loss(student, TeacherBatch(teacher, None, None, 20.0))
    assert value.item() == pytest.approx(1.7543784078803455, rel=1e-12)
    expected = [-0.175693533196876, 0.07563883850093478, 0.050001186323098246]
    assert torch.autograd.grad(value, images)[0][0, :3].tolist() == pytest.approx(expected, rel=1e-10)


def test_a_student_of_no_information_has_the_loss_of_the_mean():
    """The variance of a standardised element, and that of a projected embedding of unit length."""
    teacher = embeddings(500, 16).float()
    loss = phi_s.Loss(Widths(16, 16))
    loss.fit(teacher)
    value = loss(
        StudentBatch(embeddings(500, 16, seed=1).float(), None, None, None), TeacherBatch(teacher, None, None, 1)
    )
    assert value.item() == pytest.approx(2, rel=0.05)


def test_statistics_are_of_all_training_images_and_part_of_the_checkpoint(tmp_path):
    data, chosen = features(captions=False), case("shapes-dino-projection-5ep", loss="phi-s", epochs=2)
    training = run(tmp_path, chosen, data=data)
    rows = data.joint
    standardised = training.criterion.loss.standardise(rows)
    assert standardised.var(dim=0).mean().item() == pytest.approx(1, abs=1e-4)
    before = training.criterion.loss.standardise.weight.clone()
    step(training)
    assert torch.equal(training.criterion.loss.standardise.weight, before)
    tensors, _ = checkpoint.read(training._path(1))
    assert torch.equal(tensors["criterion.loss.standardise.weight"], before)
    assert math.isfinite(training.history[-1]["loss"])


def test_captions_are_refused_with_what_would_do():
    assert unfit("phi-s", "resnet", "captions") == "loss 'phi-s' is of images alone, expected a loss for captions"
    assert unfit("phi-s", "resnet", "classification") is unfit("phi-s", "resnet", "images") is None
