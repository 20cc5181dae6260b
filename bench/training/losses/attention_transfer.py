"""Logit matching plus attention transfer: the student looks where the teacher looks."""

import math

import torch.nn.functional as F
from torch import Tensor

from bench.training.losses import StudentBatch, TeacherBatch, logit_matching

NEEDS = "attention"
TARGETS = ("attention", "joint")


class Loss(logit_matching.Loss):
    """Logit matching, to which the distance of the attention maps is added."""

    def forward(self, student: StudentBatch, teacher: TeacherBatch) -> Tensor:
        return super().forward(student, teacher) + attention_transfer(student.attention, teacher.attention)


def attention_transfer(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over the batch of || Q_S / ||Q_S|| - Q_T / ||Q_T|| ||, Q the flattened maps ``[B, P]``.

    Zagoruyko and Komodakis, 1612.03928, eq. 2, one layer. Square grids that differ are average-pooled to the
    smaller one first.
    """
    student, teacher = _same_grid(student, teacher)
    difference = F.normalize(student, dim=1) - F.normalize(teacher, dim=1)
    return difference.norm(dim=1).mean()


def _same_grid(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    side = min(math.isqrt(first.shape[1]), math.isqrt(second.shape[1]))

    def pooled(attention: Tensor) -> Tensor:
        own = math.isqrt(attention.shape[1])
        if own == side:
            return attention
        return F.adaptive_avg_pool2d(attention.view(-1, 1, own, own), side).flatten(1)

    return pooled(first), pooled(second)
