"""Losses on class logits against their authors' code, NumPy, and what they are invariant to."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch.nn import functional

from bench.training.losses.dkd import dkd
from bench.training.losses.logit_matching import logit_matching
from bench.training.losses.logit_standardisation import logit_standardisation
from bench.training.losses.soft_targets import soft_targets
from tests.bench.training.losses.drawn import regular_classes


@pytest.mark.parametrize(
    ("loss", "value", "gradient"),
    [
        (soft_targets, 3.786542959260491, [-0.1528244398322255, 0.11911496300489346, 0.05330608891483054, -0.019596612087498303]),
        (dkd, 34.70066253099303, [-0.2728639481303435, 0.6425626624590617, 0.32292710014166837, -0.6926258144703862]),
        (logit_standardisation, 4.212401335573345, [-0.13740902236189884, 0.09816310001258366, 0.06289223894556197, -0.023646316596246792]),
    ],
)  # fmt: skip
def test_value_and_gradients_are_those_of_the_authors_code(loss, value, gradient):
    """megvii-research/mdistiller, a08d46f, and sunshangquan/logit-standardization-KD, f6e5aa5; printed by authors.py."""
    student, teacher, labels = regular_classes()
    ours = loss(student, teacher, labels)
    assert ours.item() == pytest.approx(value, rel=1e-12)
    assert torch.autograd.grad(ours, student)[0][0].tolist() == pytest.approx(gradient, rel=1e-10)


def test_dkd_with_the_weights_that_couple_its_parts_is_plain_distillation(monkeypatch):
    """Zhao et al., eq. 6: KL = TCKD + (1 - p_t) NCKD, where the teacher is equally sure of each true class."""
    student, _, labels = regular_classes()
    teacher = torch.tensor([3.0, 0.5, -1.0, 0.0]).double()
    teacher = torch.stack([teacher.roll(int(label)) for label in labels])
    others = 1 - (teacher / 4).softmax(dim=1)[0, labels[0]]
    monkeypatch.setattr("bench.training.losses.dkd.OTHER_CLASSES", others)
    expected = functional.cross_entropy(student, labels) + logit_matching(student, teacher, 4.0)
    assert dkd(student, teacher, labels).item() == pytest.approx(expected.item(), rel=1e-12)


def test_dkd_is_finite_where_a_probability_is_too_small_for_a_number():
    student = torch.tensor([[-3000.0, 0.0, 0.0], [3000.0, 0.0, 0.0]], requires_grad=True)
    loss = dkd(student, torch.tensor([[1.0, 2.0, 3.0]] * 2), torch.tensor([0, 0]))
    loss.backward()
    assert loss.isfinite() and student.grad.isfinite().all()


def test_standardised_logits_teach_order_and_relation_and_not_size():
    student, teacher, labels = (tensor.detach() for tensor in regular_classes())
    labels_alone = 0.1 * functional.cross_entropy(3 * teacher - 5, labels)
    assert logit_standardisation(3 * teacher - 5, teacher, labels).item() == pytest.approx(
        labels_alone.item(), abs=1e-6
    )
    logits = [(one - one.mean(1, keepdims=True)) / one.std(1, ddof=1, keepdims=True) for one in (student.numpy(), teacher.numpy())]  # fmt: skip
    guess, target = (log_softmax(one / 2, axis=1) for one in logits)
    matched = 4 * (np.exp(target) * (target - guess)).sum(axis=1).mean()
    expected = 0.1 * functional.cross_entropy(student, labels).item() + 9 * matched
    assert logit_standardisation(student, teacher, labels).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", [soft_targets, dkd])
def test_the_teachers_own_logits_leave_the_labels_alone(loss):
    _, teacher, labels = regular_classes()
    share = 0.1 if loss is soft_targets else 1.0
    expected = share * functional.cross_entropy(teacher, labels).item()
    assert loss(teacher, teacher, labels).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("loss", [soft_targets, logit_standardisation, functional.cross_entropy])
def test_labels_of_mixed_images_count_by_their_shares(loss):
    """Which is mixup's own formula: the sum of both labels' losses, by their shares (Zhang et al., 1710.09412)."""
    student, teacher, labels = regular_classes()
    given = (student,) if loss is functional.cross_entropy else (student, teacher)
    shares = 0.3 * functional.one_hot(labels, 4) + 0.7 * functional.one_hot(labels.flip(0), 4)
    expected = 0.3 * loss(*given, labels) + 0.7 * loss(*given, labels.flip(0))
    torch.testing.assert_close(loss(*given, shares.double()), expected)
