"""Angle between the student's projected embeddings and the teacher's."""

import torch.nn.functional as F
from torch import Tensor, nn

from bench.training.losses import Projector, StudentBatch, TeacherBatch, Widths

NEEDS = "any"
TARGETS = ("joint",)


class Loss(nn.Module):
    """The sum over both towers, as CLIP-KD has it."""

    def __init__(self, widths: Widths):
        super().__init__()
        self.projector = Projector(widths)

    def forward(self, student: StudentBatch, teacher: TeacherBatch) -> Tensor:
        total = feature_cosine(self.projector(student.images), teacher.images)
        if student.texts is None:
            return total
        return total + feature_cosine(self.projector(student.texts), teacher.texts)


def feature_cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cosine of embeddings ``[B, E]``, averaged over the batch: half of FD where both have unit length."""
    return (1 - F.cosine_similarity(student, teacher, dim=1)).mean()
