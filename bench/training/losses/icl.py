"""Interactive contrastive learning: the student's embeddings find their match among the teacher's of the other modality."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.training.losses import StudentBatch, TeacherBatch, Widths, projector_between

NEEDS = "captions"
TARGETS = ("joint",)


class Loss(nn.Module):
    """The mean of both directions; a projector stands between where the widths differ."""

    def __init__(self, widths: Widths):
        super().__init__()
        self.projector = projector_between(widths)

    def forward(self, student: StudentBatch, teacher: TeacherBatch) -> Tensor:
        images, texts = (F.normalize(self.projector(side), dim=1) for side in (student.images, student.texts))
        return (icl(images, teacher.texts, student.scale) + icl(texts, teacher.images, student.scale)) / 2


def icl(student: Tensor, teacher_other: Tensor, scale: Tensor | float) -> Tensor:
    """Interactive contrastive learning: -log softmax of student embeddings ``[B, E]`` against the teacher's of the other
    modality ``[B, E]``, row i matching row i.

    CLIP-KD, 2307.12732. ``scale`` is e^t of the trainable t; the authors' code multiplies by t itself.
    """
    return F.cross_entropy(scale * student @ teacher_other.T, torch.arange(len(student), device=student.device))
