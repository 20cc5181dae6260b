"""Queue matching: similarities to what the teacher said of earlier batches serve as pseudo-labels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.training.losses import Projector, StudentBatch, TeacherBatch, Widths, as_points
from bench.training.losses.logit_matching import logit_matching

NEEDS = "any"
TARGETS = ("joint",)
SIZE = 1024  # LightlyTrain's own for 2,000 to 4,000 images; 4,096 for 10,000 to 20,000
TEMPERATURE = 0.07


class Loss(nn.Module):
    """``queue [1024, F]`` is part of the checkpoint: the teacher's latest embeddings, newest batch first, with this batch's
    own among them. Images and captions are one set of 2B points, so a full queue keeps both.

    It starts with zeros, as LightlyTrain's: a row that is not filled yet counts as a class with similarity 0.
    """

    queue: Tensor

    def __init__(self, widths: Widths):
        super().__init__()
        self.projector = Projector(widths)
        self.register_buffer("queue", torch.zeros(SIZE, widths.teacher))

    def forward(self, student: StudentBatch, teacher: TeacherBatch) -> Tensor:
        target = as_points(teacher.images, teacher.texts)
        self.queue = torch.cat([target, self.queue])[:SIZE]
        guess = F.normalize(self.projector(as_points(student.images, student.texts)), dim=1)
        return queue_matching(guess, target, self.queue)


def queue_matching(student: Tensor, teacher: Tensor, queue: Tensor) -> Tensor:
    """KL(P || Q) of the cosines of unit-length embeddings ``[B, F]`` to the ``queue [N, F]``, over the temperature 0.07.

    LightlyTrain's distillation (lightly-ai/lightly-train, src/lightly_train/_methods/distillationv3), the part of whole
    images; no paper has it. Unlike Hinton's there is no T^2, and the student's temperature is not trained. Its own
    projector has a bias and starts near zero, and its images are mixed (mixup).
    """
    return logit_matching(student @ queue.T / TEMPERATURE, teacher @ queue.T / TEMPERATURE)
