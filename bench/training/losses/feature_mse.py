"""Squared distance between the student's projected embeddings and the teacher's."""

from torch import Tensor, nn

from bench.training.losses import Projector, StudentBatch, TeacherBatch, Widths

NEEDS = "any"
TARGETS = ("joint",)


def feature_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of embeddings ``[B, E]``, summed over an embedding, averaged over the batch.

    FD of CLIP-KD (2307.12732): 1/B sum ||v_T - v_S||^2. Its code takes the mean over elements and weighs it by 2000 (4 sums
    at E = 512) against its other losses; a loss that stands alone needs no weight, as Adam's steps do not depend on one.
    """
    return (student - teacher).square().sum(dim=1).mean()


class Loss(nn.Module):
    """The sum over both towers, as CLIP-KD has it. Projected, but not brought to unit length: then it would be twice the
    cosine's loss."""

    distance = staticmethod(feature_mse)

    def __init__(self, widths: Widths):
        super().__init__()
        self.projector = Projector(widths)

    def forward(self, student: StudentBatch, teacher: TeacherBatch) -> Tensor:
        total = self.distance(self.projector(student.images), teacher.images)
        if student.texts is None:
            return total
        return total + self.distance(self.projector(student.texts), teacher.texts)
