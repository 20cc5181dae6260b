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
    side = min(math.isqrt(maps.shape[1]) for maps in (student, teacher))
    student, teacher = (F.normalize(_pooled(maps, side), dim=1) for maps in (student, teacher))
    return (student - teacher).norm(dim=1).mean()


def _pooled(maps: Tensor, side: int) -> Tensor:
    own = math.isqrt(maps.shape[1])
    return maps if own == side else F.adaptive_avg_pool2d(maps.view(-1, 1, own, own), side).flatten(1)
