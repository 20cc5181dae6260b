"""RKD against a hand computation and plain loops over the paper's equations."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import ortho_group

from bench.training.losses.rkd import ANGLE_POINTS, rkd
from tests.bench.training.losses.drawn import embeddings


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
        lengths = np.array([np.linalg.norm(points[i] - points[j]) for i, j in product(range(count), repeat=2)])
        distances.append(lengths / lengths[lengths > 0].mean())
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
    assert rkd(line, corner).item() == pytest.approx(25 * distance + 50 * angle, rel=1e-12)


@pytest.mark.parametrize("duplicates", [False, True])
def test_rkd_against_plain_loops(duplicates):
    student, teacher = embeddings(7, 5, seed=1), embeddings(7, 9, seed=2)
    if duplicates:
        student[3], teacher[5] = student[0], teacher[2]
    expected = rkd_by_loops(student.numpy(), teacher.numpy())
    assert rkd(student, teacher).item() == pytest.approx(expected, rel=1e-9)


def test_rkd_sees_neither_rotation_nor_scale_nor_place():
    teacher = embeddings(9, 6)
    rotation = torch.from_numpy(ortho_group.rvs(6, random_state=0))
    assert rkd(3.5 * teacher @ rotation + 2, teacher).item() == pytest.approx(0, abs=1e-12)
    student = embeddings(9, 4, seed=1)
    moved = rkd(0.2 * student - 1, teacher @ rotation).item()
    assert moved == pytest.approx(rkd(student, teacher).item(), rel=1e-9)


def test_rkd_takes_angles_of_the_first_points_only():
    """Moving a point beyond them changes distances alone."""
    student, teacher = embeddings(ANGLE_POINTS + 3, 5, seed=1), embeddings(ANGLE_POINTS + 3, 5, seed=2)
    first = slice(ANGLE_POINTS)
    angles = rkd(student[first], teacher[first]) - 25 * distances_only(student[first], teacher[first])
    expected = 25 * distances_only(student, teacher) + angles.item()
    assert rkd(student, teacher).item() == pytest.approx(expected, rel=1e-9)


def distances_only(student, teacher):
    lengths = (np.linalg.norm(points[:, None] - points[None], axis=2) for points in (student.numpy(), teacher.numpy()))
    one, other = (distances / distances[distances > 0].mean() for distances in lengths)
    return np.vectorize(huber)(one - other).mean()


@pytest.mark.parametrize("apart", [0.0, 1e-7])
def test_duplicates_do_not_blow_up_the_gradient_of_rkd(apart):
    """A student that has two images in one place, exactly or but for rounding, where the teacher has not."""
    student, teacher = embeddings(6, 5, seed=1).float(), embeddings(6, 9, seed=2).float()
    usual = student.clone().requires_grad_()
    rkd(usual, teacher).backward()
    student[3] = student[0] + apart
    for collapsed in (student, torch.ones(6, 5)):
        collapsed.requires_grad_()
        rkd(collapsed, teacher).backward()
        assert collapsed.grad.isfinite().all() and collapsed.grad.norm() < 10 * usual.grad.norm()
