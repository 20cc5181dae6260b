"""The task's own loss of labels: a linear classifier of the embeddings."""

import torch.nn.functional as F
from torch import Tensor, nn

from bench.training.losses import StudentBatch, TeacherBatch, Widths

NEEDS = "classification"
TARGETS = ("labels",)


class Loss(nn.Module):
    """A linear classifier without bias, trained beside the student; nothing is distilled."""

    def __init__(self, widths: Widths):
        super().__init__()
        self.classifier = nn.Linear(widths.student, widths.classes, bias=False)

    def forward(self, student: StudentBatch, teacher: TeacherBatch) -> Tensor:
        return cross_entropy(student.images, self.classifier.weight, teacher.labels, student.scale)


def cross_entropy(student: Tensor, classes: Tensor, labels: Tensor, scale: Tensor | float) -> Tensor:
    """Classification of unit-length embeddings ``[B, E]`` by their scaled cosines to class vectors ``[C, E]``.

    ``labels`` are int64 ``[B]``. NormFace, Wang et al., 1704.06369: no bias, as embeddings are compared by direction.
    """
    return F.cross_entropy(scale * student @ F.normalize(classes, dim=1).T, labels)
