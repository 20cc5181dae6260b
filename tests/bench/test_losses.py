"""Losses against hand computations and other implementations."""

import math

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch.nn import functional

from bench import losses


def kl(p, q):
    return float((p * np.log(p / q)).sum(axis=1).mean())


def test_logit_matching_by_hand():
    """Two rows worked out on paper: P = (3/4, 1/4) and (1/2, 1/2), Q = (1/2, 1/2) both times."""
    teacher = torch.tensor([[math.log(3.0), 0.0], [1.0, 1.0]])
    student = torch.zeros(2, 2)
    expected = (0.75 * math.log(1.5) + 0.25 * math.log(0.5)) / 2  # = 0.0654, the second row adds nothing
    assert losses.logit_matching(student, teacher).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_logit_matching_against_numpy(temperature):
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(2, 7, 5))
    expected = temperature**2 * kl(softmax(teacher / temperature, 1), softmax(student / temperature, 1))
    ours = losses.logit_matching(torch.tensor(student), torch.tensor(teacher), temperature).item()
    assert ours == pytest.approx(expected, rel=1e-9)


def test_temperature_keeps_the_size_of_the_gradient():
    """Hinton et al.: for large T the gradient tends to (z_S - z_T) / N, T^2 cancelling 1 / T^2."""
    student = torch.tensor([[0.3, -0.1, -0.2]], dtype=torch.float64, requires_grad=True)
    teacher = torch.tensor([[-0.2, 0.4, -0.2]], dtype=torch.float64)
    losses.logit_matching(student, teacher, temperature=1000.0).backward()
    assert torch.allclose(student.grad, (student.detach() - teacher) / 3, atol=1e-3)


def test_image_text_matching_is_the_mean_of_both_directions():
    rng = np.random.default_rng(1)
    student, teacher = rng.normal(size=(2, 6, 6))
    rows = kl(softmax(teacher, 1), softmax(student, 1))
    columns = kl(softmax(teacher.T, 1), softmax(student.T, 1))
    ours = losses.image_text_matching(torch.tensor(student), torch.tensor(teacher)).item()
    assert ours == pytest.approx((rows + columns) / 2, rel=1e-9)


def test_without_diagonal():
    square = torch.arange(9.0).view(3, 3)
    assert losses.without_diagonal(square).tolist() == [[1, 2], [3, 5], [6, 7]]


def test_contrastive_against_open_clip():
    """open_clip's ClipLoss is another implementation of the symmetric InfoNCE."""
    from open_clip.loss import ClipLoss

    torch.manual_seed(0)
    images, texts = (functional.normalize(torch.randn(8, 5), dim=-1) for _ in range(2))
    expected = ClipLoss()(images, texts, logit_scale=torch.tensor(14.0)).item()
    assert losses.contrastive(14.0 * images @ texts.T).item() == pytest.approx(expected, rel=1e-6)


def test_attention_transfer_by_hand():
    """Orthogonal maps are sqrt(2) apart, equal ones 0, whatever their scale."""
    student = torch.tensor([[5.0, 0, 0, 0], [0, 0, 2.0, 0]])
    teacher = torch.tensor([[0, 0.1, 0, 0], [0, 0, 7.0, 0]])
    assert losses.attention_transfer(student, teacher).item() == pytest.approx(math.sqrt(2) / 2, rel=1e-6)


def test_attention_transfer_pools_the_larger_grid():
    """A 4 x 4 map whose quarters have means 1, 2, 3, 4 equals the 2 x 2 map of these means."""
    large = torch.tensor([[1.0, 2], [3, 4]]).repeat_interleave(2, 0).repeat_interleave(2, 1)
    large[0, 0], large[0, 1] = 0.5, 1.5  # the mean of the quarter stays 1
    small = torch.tensor([[1.0, 2, 3, 4]])
    assert losses.attention_transfer(small, large.reshape(1, 16)).item() == pytest.approx(0, abs=1e-6)
    assert losses.attention_transfer(large.reshape(1, 16), small).item() == pytest.approx(0, abs=1e-6)


def teacher_batch(texts=True):
    torch.manual_seed(1)
    images, captions = (functional.normalize(torch.randn(6, 9), dim=-1) for _ in range(2))
    return losses.TeacherBatch(images, captions if texts else None, torch.rand(6, 16), 20.0)


@pytest.mark.parametrize(
    ("name", "texts"),
    [(name, True) for name in losses.NAMES] + [("logit-matching", False), ("attention-transfer", False)],
)
def test_gradients_of_every_criterion(name, texts):
    """Autograd against finite differences, in float64."""
    criterion = losses.Criterion(name).double()
    torch.manual_seed(2)
    images, captions = torch.randn(2, 6, 4, dtype=torch.float64)
    attention = torch.rand(6, 16, dtype=torch.float64)
    said = teacher_batch(texts)
    said = losses.TeacherBatch(
        said.images.double(), said.texts.double() if texts else None, said.attention.double(), said.scale
    )

    def loss(x, y, a):
        unit = functional.normalize
        return criterion(unit(x, dim=-1), unit(y, dim=-1) if texts else None, a, said)

    inputs = [tensor.requires_grad_() for tensor in (images, captions, attention)]
    assert torch.autograd.gradcheck(loss, inputs)
    assert torch.autograd.grad(loss(*inputs), criterion.log_scale)[0].abs() > 0


def test_combined_is_contrastive_plus_matching():
    said, criterion = teacher_batch(), losses.Criterion("combined")
    images, texts = said.texts, said.images  # any unit vectors
    guess = images @ texts.T / 0.07
    target = 20.0 * said.images @ said.texts.T
    expected = losses.contrastive(guess) + losses.image_text_matching(guess, target)
    assert criterion(images, texts, None, said).item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_vision_only_student_is_taught_by_what_is_off_the_diagonal():
    """With the diagonal left in, the same pair of models would have a loss near zero."""
    said = teacher_batch(texts=False)
    torch.manual_seed(3)
    images = functional.normalize(torch.randn(6, 9), dim=-1)
    masked = losses.Criterion("logit-matching")(images, None, None, said).item()
    unmasked = losses.logit_matching(images @ images.T / 0.07, said.images @ said.images.T / 0.07).item()
    assert masked > 1.0 > 0.2 > unmasked


def test_the_scale_starts_at_clips_and_is_clamped():
    criterion = losses.Criterion("contrastive")
    assert criterion.log_scale.exp().item() == pytest.approx(1 / 0.07)
    with torch.no_grad():
        criterion.log_scale.fill_(10.0)
    criterion.clamp()
    assert criterion.log_scale.exp().item() == pytest.approx(100.0)


def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match="unknown loss 'hinton'"):
        losses.Criterion("hinton")
