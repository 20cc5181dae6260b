"""DIST against hand computations and SciPy."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import pearsonr

from bench.training.losses.dist_loss import dist, dist_to_each_other, pearson_distance
from tests.bench.training.losses.drawn import embeddings


def mean_pearson(one, other):
    return np.mean([pearsonr(first, second).statistic for first, second in zip(one, other, strict=True)])


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_dist_against_scipy(temperature):
    rng = np.random.default_rng(0)
    student, teacher = 3 * rng.normal(size=(2, 7, 5))
    guess, target = softmax(student / temperature, 1), softmax(teacher / temperature, 1)
    expected = temperature**2 * (2 - mean_pearson(guess, target) - mean_pearson(guess.T, target.T))
    ours = dist(torch.tensor(student), torch.tensor(teacher), temperature).item()
    assert ours == pytest.approx(expected, rel=1e-9)


def test_pearsons_distance_sees_no_positive_affine_map_of_a_row():
    """The reason for DIST: a student need not match the teacher's values, only their relations."""
    rng = np.random.default_rng(0)
    student, teacher = (torch.from_numpy(rows) for rows in rng.normal(size=(2, 6, 5)))
    factors, shifts = torch.from_numpy(rng.uniform(0.1, 3, size=(6, 1))), torch.from_numpy(rng.normal(size=(6, 1)))
    expected = pearson_distance(student, teacher).item()
    assert pearson_distance(factors * student + shifts, teacher).item() == pytest.approx(expected, rel=1e-9)
    assert pearson_distance(-student, teacher).item() == pytest.approx(2 - expected, rel=1e-9)


def test_a_constant_row_correlates_with_nothing():
    """SciPy says nan; nan in one row of a batch would end the training."""
    student = torch.tensor([[1.0, 1.0, 1.0], [1.0, 2.0, 3.0]], requires_grad=True)
    teacher = torch.tensor([[1.0, 2.0, 5.0], [2.0, 4.0, 6.0]])
    loss = pearson_distance(student, teacher)
    loss.backward()
    assert loss.item() == pytest.approx(0.5, rel=1e-5)
    assert student.grad.isfinite().all() and student.grad[0].abs().max() == 0


@pytest.mark.parametrize("count", [6, 7, 64, 101])
@pytest.mark.parametrize("value", [0.0, 0.1, 7.7])
def test_dist_of_equal_similarities_has_no_gradient_made_of_rounding(value, count):
    """All similarities alike: each softmax row is constant but for rounding, and divided by that it would explode."""
    student = torch.full((count, count), value, requires_grad=True)
    for function in (dist, dist_to_each_other):
        (gradient,) = torch.autograd.grad(function(student, embeddings(count, count).float()), student)
        assert gradient.isfinite().all() and gradient.abs().max() < 1


def test_dist_to_each_other_leaves_the_diagonal_out():
    """Each row and column of the softmax of the others is compared with the teacher's by scipy, the diagonal cut out."""
    rng = np.random.default_rng(0)
    student, teacher = 3 * rng.normal(size=(2, 6, 6))
    others = ~np.eye(6, dtype=bool)
    tables = []
    for logits in (student, teacher):
        table = np.zeros((6, 6))
        for row in range(6):
            table[row, others[row]] = softmax(logits[row, others[row]])
        tables.append(table)
    rows, columns = ([[part[i, others[i]] for i in range(6)] for part in pair] for pair in
                     (tables, [table.T for table in tables]))  # fmt: skip
    expected = 2 - mean_pearson(*rows) - mean_pearson(*columns)
    ours = dist_to_each_other(torch.tensor(student), torch.tensor(teacher)).item()
    assert ours == pytest.approx(expected, rel=1e-9)
    student[np.arange(6), np.arange(6)] = 50.0
    assert dist_to_each_other(torch.tensor(student), torch.tensor(teacher)).item() == pytest.approx(ours)
