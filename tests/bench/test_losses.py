"""Losses against hand computations and other implementations."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax
from scipy.stats import ortho_group, pearsonr
from torch.nn import functional

from bench import losses


def embeddings(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


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


def test_feature_mse_by_hand():
    """Rows are 3 and 5 apart: (9 + 25) / 2, whatever the width."""
    student, teacher = torch.tensor([[1.0, 0, 2], [3, 1, 4]]), torch.tensor([[1.0, 3, 2], [0, 1, 0]])
    assert losses.feature_mse(student, teacher).item() == 17.0


def test_feature_mse_is_clip_kds_element_mean_times_the_width():
    student, teacher = embeddings(8, 512, seed=1), embeddings(8, 512, seed=2)
    element_mean = float(np.mean((student.numpy() - teacher.numpy()) ** 2))
    assert losses.feature_mse(student, teacher).item() == pytest.approx(512 * element_mean, rel=1e-12)


def test_feature_cosine_by_hand():
    """Equal directions 0, orthogonal ones 1, opposite ones 2, whatever the lengths."""
    student, teacher = torch.tensor([[2.0, 0], [3, 0], [1, 1]]), torch.tensor([[5.0, 0], [0, 1], [-4, -4]])
    assert losses.feature_cosine(student, teacher).item() == pytest.approx(1.0, rel=1e-6)
    assert losses.feature_cosine(student[:1], teacher[:1]).item() == pytest.approx(0, abs=1e-6)


def test_of_unit_vectors_the_squared_distance_is_twice_the_cosines_loss():
    student, teacher = embeddings(8, 5, seed=1), embeddings(8, 5, seed=2)
    expected = 2 * losses.feature_cosine(student, teacher).item()
    assert losses.feature_mse(student, teacher).item() == pytest.approx(expected, rel=1e-9)


def huber(difference):
    return difference**2 / 2 if abs(difference) < 1 else abs(difference) - 0.5


def cosine_of_angle(points, first, vertex, last):
    one, other = points[first] - points[vertex], points[last] - points[vertex]
    lengths = np.linalg.norm(one) * np.linalg.norm(other)
    return one @ other / lengths if lengths else 0.0


def rkd_by_loops(student, teacher):
    """Straight from the paper's equations, one pair and one triple at a time."""
    count = len(student)
    distances = []
    for points in (student, teacher):
        found = [float(np.linalg.norm(points[i] - points[j])) for i, j in product(range(count), repeat=2)]
        positive = [distance for distance in found if distance > 0]
        distances.append([distance / np.mean(positive) for distance in found])
    distance = np.mean([huber(one - other) for one, other in zip(*distances, strict=True)])
    angles = [
        huber(cosine_of_angle(student, *triple) - cosine_of_angle(teacher, *triple))
        for triple in product(range(count), repeat=3)
    ]
    return 25 * distance + 50 * np.mean(angles)


def test_rkd_by_hand():
    """The points 0, 1, 2 of a line against a right angle with legs of 1.

    Distances of the line: 1, 1, 2, mean 4/3; of the angle: 1, 1, r = sqrt 2, mean (2 + r) / 3.
    Cosines at 0, 1, 2 of the line: 1, -1, 1; of the angle, its vertex being 1: 1 / r, 0, 1 / r.
    """
    line = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
    corner = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    root, mean = math.sqrt(2), (2 + math.sqrt(2)) / 3
    short, long = (3 / 4 - 1 / mean) ** 2 / 2, (3 / 2 - root / mean) ** 2 / 2
    distance = 2 * (2 * short + long) / 9
    angle = 2 * (2 * (1 - 1 / root) ** 2 / 2 + 0.5) / 27  # the Huber loss of a difference of 1 is 1/2
    assert losses.rkd(line, corner).item() == pytest.approx(25 * distance + 50 * angle, rel=1e-12)


@pytest.mark.parametrize("duplicates", [False, True])
def test_rkd_against_plain_loops(duplicates):
    student, teacher = embeddings(7, 5, seed=1), embeddings(7, 9, seed=2)
    if duplicates:
        student[3], teacher[5] = student[0], teacher[2]
    expected = rkd_by_loops(student.numpy(), teacher.numpy())
    assert losses.rkd(student, teacher).item() == pytest.approx(expected, rel=1e-9)


def test_rkd_sees_neither_rotation_nor_scale_nor_place():
    teacher = embeddings(9, 6)
    rotation = torch.from_numpy(ortho_group.rvs(6, random_state=0))
    assert losses.rkd(3.5 * teacher @ rotation + 2, teacher).item() == pytest.approx(0, abs=1e-12)
    student = embeddings(9, 4, seed=1)
    moved = losses.rkd(0.2 * student - 1, teacher @ rotation).item()
    assert moved == pytest.approx(losses.rkd(student, teacher).item(), rel=1e-9)


def test_rkd_takes_angles_of_the_first_points_only():
    """Moving a point beyond them changes distances alone, 25 times the loss of which is at most the loss of all."""
    student, teacher = embeddings(losses.ANGLE_POINTS + 3, 5, seed=1), embeddings(losses.ANGLE_POINTS + 3, 5, seed=2)
    first = slice(losses.ANGLE_POINTS)
    angles = losses.rkd(student[first], teacher[first]) - 25 * distances_only(student[first], teacher[first])
    expected = 25 * distances_only(student, teacher) + angles.item()
    assert losses.rkd(student, teacher).item() == pytest.approx(expected, rel=1e-9)


def distances_only(student, teacher):
    found = [np.linalg.norm(points[:, None] - points[None], axis=2) for points in (student.numpy(), teacher.numpy())]
    one, other = (distances / distances[distances > 0].mean() for distances in found)
    return np.vectorize(huber)(one - other).mean()


@pytest.mark.parametrize("apart", [0.0, 1e-7])
def test_duplicates_do_not_blow_up_the_gradient_of_rkd(apart):
    """A student that has two images in one place, exactly or but for rounding, where the teacher has not."""
    student, teacher = embeddings(6, 5, seed=1).float(), embeddings(6, 9, seed=2).float()
    usual = student.clone().requires_grad_()
    losses.rkd(usual, teacher).backward()
    student[3] = student[0] + apart
    student.requires_grad_()
    losses.rkd(student, teacher).backward()
    assert student.grad.isfinite().all()
    assert student.grad.norm() < 10 * usual.grad.norm()


def test_rkd_of_a_collapsed_student_is_finite():
    student = torch.ones(6, 5, requires_grad=True)
    loss = losses.rkd(student, embeddings(6, 9).float())
    loss.backward()
    assert loss.isfinite() and student.grad.isfinite().all()


def test_icl_by_hand():
    """Cosines 0.6 and 0.8, and 0 and 1, scaled by 5: log(1 + e) and log(1 + e^-5), averaged."""
    student, texts = torch.tensor([[0.6, 0.8], [0.0, 1.0]]), torch.eye(2)
    expected = (math.log(1 + math.e) + math.log(1 + math.exp(-5))) / 2
    assert losses.icl(student, texts, 5.0).item() == pytest.approx(expected, rel=1e-5)


def test_icl_against_scipy():
    student, teacher = embeddings(7, 5, seed=1), embeddings(7, 5, seed=2)
    logits = 14.0 * student.numpy() @ teacher.numpy().T
    expected = (logsumexp(logits, axis=1) - np.diag(logits)).mean()
    assert losses.icl(student, teacher, 14.0).item() == pytest.approx(expected, rel=1e-9)


def mean_pearson(one, other):
    return np.mean([pearsonr(first, second).statistic for first, second in zip(one, other, strict=True)])


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_dist_against_scipy(temperature):
    rng = np.random.default_rng(0)
    student, teacher = 3 * rng.normal(size=(2, 7, 5))
    guess, target = softmax(student / temperature, 1), softmax(teacher / temperature, 1)
    expected = temperature**2 * (2 - mean_pearson(guess, target) - mean_pearson(guess.T, target.T))
    ours = losses.dist(torch.tensor(student), torch.tensor(teacher), temperature).item()
    assert ours == pytest.approx(expected, rel=1e-9)


def test_dist_by_hand():
    """Softmax rows (3/4, 1/4), (1/4, 3/4) against the reverse: every correlation is -1. Against themselves, 1."""
    rows = torch.tensor([[3.0, 1.0], [1.0, 3.0]]).log()
    assert losses.dist(rows, rows.flip(1)).item() == pytest.approx(4.0, rel=1e-5)
    assert losses.dist(rows, rows).item() == pytest.approx(0.0, abs=1e-5)
    assert losses.dist(rows, 2 * rows, temperature=2.0).item() == pytest.approx(0.0, abs=1e-5)


def test_pearsons_distance_sees_no_positive_affine_map_of_a_row():
    """The reason for DIST: a student need not match the teacher's values, only their relations."""
    rng = np.random.default_rng(0)
    student, teacher = (torch.from_numpy(rows) for rows in rng.normal(size=(2, 6, 5)))
    factors, shifts = torch.from_numpy(rng.uniform(0.1, 3, size=(6, 1))), torch.from_numpy(rng.normal(size=(6, 1)))
    expected = losses.pearson_distance(student, teacher).item()
    assert losses.pearson_distance(factors * student + shifts, teacher).item() == pytest.approx(expected, rel=1e-9)
    assert losses.pearson_distance(-student, teacher).item() == pytest.approx(2 - expected, rel=1e-9)


def test_a_constant_row_correlates_with_nothing():
    """SciPy says nan; nan in one row of a batch would end the training."""
    student = torch.tensor([[1.0, 1.0, 1.0], [1.0, 2.0, 3.0]], requires_grad=True)
    teacher = torch.tensor([[1.0, 2.0, 5.0], [2.0, 4.0, 6.0]])
    loss = losses.pearson_distance(student, teacher)
    loss.backward()
    assert loss.item() == pytest.approx(0.5, rel=1e-5)
    assert student.grad.isfinite().all() and student.grad[0].abs().max() == 0


@pytest.mark.parametrize("count", [6, 7, 64, 101])
@pytest.mark.parametrize("value", [0.0, 0.1, 7.7])
def test_dist_of_equal_similarities_has_no_gradient_made_of_rounding(value, count):
    """All similarities alike: each softmax row is constant but for rounding, and divided by that it would explode."""
    student = torch.full((count, count), value, requires_grad=True)
    for function in (losses.dist, losses.dist_to_each_other):
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
    ours = losses.dist_to_each_other(torch.tensor(student), torch.tensor(teacher)).item()
    assert ours == pytest.approx(expected, rel=1e-9)
    student[np.arange(6), np.arange(6)] = 50.0
    assert losses.dist_to_each_other(torch.tensor(student), torch.tensor(teacher)).item() == pytest.approx(ours)


def test_cross_entropy_by_hand():
    """Cosines 1, 0 and 0, 1 with class vectors of any length, scaled by 2: log(1 + e^-2) when right, + 2 when wrong."""
    student, classes = torch.eye(2), torch.tensor([[5.0, 0.0], [0.0, 0.3]])
    right = math.log(1 + math.exp(-2))
    assert losses.cross_entropy(student, classes, torch.tensor([0, 1]), 2.0).item() == pytest.approx(right, rel=1e-5)
    wrong = losses.cross_entropy(student, classes, torch.tensor([1, 0]), 2.0).item()
    assert wrong == pytest.approx(right + 2, rel=1e-5)


def test_cross_entropy_against_scikit_learn():
    from sklearn.metrics import log_loss

    student, classes, labels = embeddings(9, 5, seed=1), 4 * embeddings(3, 5, seed=2), torch.arange(9) % 3
    chances = softmax(14.0 * student.numpy() @ (classes.numpy() / 4).T, 1)
    ours = losses.cross_entropy(student, classes, labels, 14.0).item()
    assert ours == pytest.approx(log_loss(labels.numpy(), chances), rel=1e-9)
