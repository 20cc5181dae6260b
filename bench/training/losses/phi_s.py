"""PHI-S: squared distance of the student's projected embeddings to the teacher's, standardised by one rotation and one scalar."""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from bench.features.phi_s import fit_phi_s
from bench.training.losses import Projector, StudentBatch, TeacherBatch, Widths

NEEDS = "images"
TARGETS = ("joint",)


class Loss(nn.Module):
    """Mean squared error of elements whose variance is 1 over the training images (Ranzinger et al., 2410.01680).

    The map is fitted once, on the teacher's embeddings of the training images as they are, and kept in the checkpoint. A
    unit-length embedding has a variance of 1 / F in each of F dimensions: the student's is brought to the target's size.
    """

    def __init__(self, widths: Widths):
        super().__init__()
        self.projector = Projector(widths)
        self.standardise = nn.Linear(widths.teacher, widths.teacher).requires_grad_(False)

    def fit(self, teacher: Tensor) -> None:
        """Learn the teacher's statistics of its embeddings of all training images ``[N, F]``."""
        self.standardise.load_state_dict(fit_phi_s(teacher).state_dict())

    def forward(self, student: StudentBatch, teacher: TeacherBatch) -> Tensor:
        guess = math.sqrt(teacher.images.shape[1]) * self.projector(student.images)
        return F.mse_loss(guess, self.standardise(teacher.images))
