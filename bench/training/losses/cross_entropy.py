"""The task's own loss of labels: a linear classifier of the embeddings."""

import torch.nn.functional as F
from torch import Tensor, nn

from bench.training.losses import StudentBatch, TeacherBatch, Widths

NEEDS = "classification"
TARGETS = ("labels",)


class Loss(nn.Module):
    """A linear classifier without bias, trained beside the student; nothing is distilled.

    Losses on class logits share it. Their authors have a plain linear one, on features of any length; on unit-length
    embeddings its logits would lie within a fraction of 1 at first, and a student is evaluated by its cosines.
    """

    def __init__(self, widths: Widths):
        super().__init__()
        self.classifier = nn.Linear(widths.student, widths.classes, bias=False)

    def forward(self, student: StudentBatch, teacher: TeacherBatch) -> Tensor:
        return F.cross_entropy(self.logits(student), teacher.labels)

    def logits(self, student: StudentBatch) -> Tensor:
        """The student's class logits ``[B, C]``."""
        return class_logits(student.images, self.classifier.weight, student.scale)


def class_logits(student: Tensor, classes: Tensor, scale: Tensor | float) -> Tensor:
    """Scaled cosines ``[B, C]`` of unit-length embeddings ``[B, E]`` to class vectors ``[C, E]``.

    NormFace, Wang et al., 1704.06369: no bias, as embeddings are compared by direction.
    """
    return scale * student @ F.normalize(classes, dim=1).T
