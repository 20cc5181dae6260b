"""Angle between the student's projected embeddings and the teacher's."""

import torch.nn.functional as F
from torch import Tensor

from bench.training.losses import feature_mse

NEEDS = "any"
TARGETS = ("joint",)


def feature_cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cosine of embeddings ``[B, E]``, averaged over the batch: half of FD where both have unit length."""
    return (1 - F.cosine_similarity(student, teacher, dim=1)).mean()


class Loss(feature_mse.Loss):
    """The sum over both towers, as CLIP-KD has it."""

    distance = staticmethod(feature_cosine)
