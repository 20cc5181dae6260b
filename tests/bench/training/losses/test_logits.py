"""Losses of logits and of similarities, against hand computations, NumPy, SciPy, scikit-learn and open_clip."""

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax
from torch.nn import functional

from bench.training.losses import without_diagonal
from bench.training.losses.contrastive import contrastive
from bench.training.losses.cross_entropy import class_logits
from bench.training.losses.icl import icl
from bench.training.losses.logit_matching import image_text_matching, logit_matching
from tests.bench.training.losses.drawn import embeddings


def kl(p, q):
    return float((p * np.log(p / q)).sum(axis=1).mean())


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_logit_matching_against_numpy(temperature):
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(2, 7, 5))
    expected = temperature**2 * kl(softmax(teacher / temperature, 1), softmax(student / temperature, 1))
    ours = logit_matching(torch.tensor(student), torch.tensor(teacher), temperature).item()
    assert ours == pytest.approx(expected, rel=1e-9)


def test_temperature_keeps_the_size_of_the_gradient():
    """Hinton et al.: for large T the gradient tends to (z_S - z_T) / N, T^2 cancelling 1 / T^2."""
    student = torch.tensor([[0.3, -0.1, -0.2]], dtype=torch.float64, requires_grad=True)
    teacher = torch.tensor([[-0.2, 0.4, -0.2]], dtype=torch.float64)
    logit_matching(student, teacher, temperature=1000.0).backward()
    assert torch.allclose(student.grad, (student.detach() - teacher) / 3, atol=1e-3)


def test_image_text_matching_is_the_mean_of_both_directions():
    rng = np.random.default_rng(1)
    student, teacher = rng.normal(size=(2, 6, 6))
    rows = kl(softmax(teacher, 1), softmax(student, 1))
    columns = kl(softmax(teacher.T, 1), softmax(student.T, 1))
    ours = image_text_matching(torch.tensor(student), torch.tensor(teacher)).item()
    assert ours == pytest.approx((rows + columns) / 2, rel=1e-9)


def test_without_diagonal():
    square = torch.arange(9.0).view(3, 3)
    assert without_diagonal(square).tolist() == [[1, 2], [3, 5], [6, 7]]


def test_contrastive_against_open_clip():
    """open_clip's ClipLoss is another implementation of the symmetric InfoNCE."""
    from open_clip.loss import ClipLoss

    torch.manual_seed(0)
    images, texts = (functional.normalize(torch.randn(8, 5), dim=-1) for _ in range(2))
    expected = ClipLoss()(images, texts, logit_scale=torch.tensor(14.0)).item()
    assert contrastive(14.0 * images @ texts.T).item() == pytest.approx(expected, rel=1e-6)


def test_icl_against_scipy():
    student, teacher = embeddings(7, 5, seed=1), embeddings(7, 5, seed=2)
    logits = 14.0 * student.numpy() @ teacher.numpy().T
    expected = (logsumexp(logits, axis=1) - np.diag(logits)).mean()
    assert icl(student, teacher, 14.0).item() == pytest.approx(expected, rel=1e-9)


def test_cross_entropy_by_hand():
    """Cosines 1, 0 and 0, 1 with class vectors of any length, scaled by 2: log(1 + e^-2) when right, + 2 when wrong."""
    student, classes = torch.eye(2), torch.tensor([[5.0, 0.0], [0.0, 0.3]])
    right = math.log(1 + math.exp(-2))
    logits = class_logits(student, classes, 2.0)
    assert functional.cross_entropy(logits, torch.tensor([0, 1])).item() == pytest.approx(right, rel=1e-5)
    wrong = functional.cross_entropy(logits, torch.tensor([1, 0])).item()
    assert wrong == pytest.approx(right + 2, rel=1e-5)
