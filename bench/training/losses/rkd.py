"""Relational distillation: distances and angles between the student's embeddings follow the teacher's."""

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.training.losses import StudentBatch, TeacherBatch, Untrained, as_points

NEEDS = "any"
TARGETS = ("joint",)
# Of the angles, whose number grows with the cube of the points: 64 points have 262,144 of them (1 MB), 512 have
# 134 million (0.5 GB). A larger batch gives its first points, which are as random as any.
ANGLE_POINTS = 64


class Loss(Untrained):
    """Images and captions are one set of 2B points, so that relations between the modalities count."""

    def forward(self, student: StudentBatch, teacher: TeacherBatch) -> Tensor:
        return rkd(as_points(student.images, student.texts), as_points(teacher.images, teacher.texts))


def rkd(student: Tensor, teacher: Tensor) -> Tensor:
    """Relational distillation of points ``[B, E]`` to points ``[B, F]``: 25 * distances + 50 * angles.

    Park et al., 1904.05068, with its weights for classification. Huber losses (smooth L1) of all B^2 distances, in units
    of the mean of those that are not zero, and of the B^3 cosines of the angles between the differences to each point
    (of the first ``ANGLE_POINTS``); both are means over all pairs and triples, as in the authors' code.
    """
    distance = F.smooth_l1_loss(_relative_distances(student), _relative_distances(teacher))
    angle = F.smooth_l1_loss(_angles(student[:ANGLE_POINTS]), _angles(teacher[:ANGLE_POINTS]))
    return 25 * distance + 50 * angle


def _relative_distances(points: Tensor) -> Tensor:
    # Not by a matrix product, whose rounding sets duplicates apart. The gradient of a zero distance is zero.
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    mean = distances.sum() / (distances > 0).sum().clamp(min=1)
    return distances / torch.where(mean > 0, mean, 1)


def _angles(points: Tensor) -> Tensor:
    """Cosines at each point between the directions to each two others: ``[B, B, B]``."""
    differences = points[None] - points[:, None]
    lengths = differences.norm(dim=2, keepdim=True)
    # The direction between equal points is noise with a gradient of 1 / length: it has none. NaN stays NaN.
    equal = lengths <= 1e-5 * lengths.detach().mean()
    directions = torch.where(equal, 0, differences / torch.where(equal, 1, lengths))
    return directions @ directions.mT
