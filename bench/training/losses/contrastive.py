"""The task's own loss of captions: each image is to find its caption in the batch, and each caption its image."""

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.training.losses import StudentBatch, TeacherBatch, Untrained

NEEDS = "captions"
TARGETS = ()


class Loss(Untrained):
    """InfoNCE of the student's own similarities; nothing is distilled."""

    def forward(self, student: StudentBatch, teacher: TeacherBatch) -> Tensor:
        return contrastive(student.scale * student.images @ student.texts.T)


def contrastive(logits: Tensor) -> Tensor:
    """Symmetric InfoNCE of scaled image-text similarities ``[B, B]`` (Radford et al., 2103.00020)."""
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
