"""Logit matching: the student's similarities within a batch follow the teacher's."""

import torch.nn.functional as F
from torch import Tensor

from bench.training.losses import StudentBatch, TeacherBatch, Untrained, similarities, without_diagonal

NEEDS = "any"
TARGETS = ("joint",)


class Loss(Untrained):
    """Between images and captions, in both directions; without captions among the images, without the diagonal."""

    def forward(self, student: StudentBatch, teacher: TeacherBatch) -> Tensor:
        if student.texts is not None:
            return image_text_matching(*similarities(student, teacher))
        # Scaled last: the order of the sums in the scale's gradient, and with it the last digit, is that of older results.
        guess = student.scale * without_diagonal(student.images @ student.images.T)
        return logit_matching(guess, teacher.scale * without_diagonal(teacher.images @ teacher.images.T))


def logit_matching(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """T^2 KL(P || Q) of scaled similarities ``[B, N]``, summed over a row, averaged over rows.

    Hinton et al., 1503.02531: P = softmax(teacher / T), Q = softmax(student / T); T^2 keeps the gradient's size.
    """
    target = (teacher / temperature).log_softmax(dim=1)
    guess = (student / temperature).log_softmax(dim=1)
    return temperature**2 * F.kl_div(guess, target, reduction="batchmean", log_target=True)


def image_text_matching(student: Tensor, teacher: Tensor) -> Tensor:
    """Logit matching in both directions, averaged: rows are images, columns their captions, ``[B, B]``.

    Affinity mimicking of TinyCLIP (2309.12314) up to the entropy of the teacher, which has no gradient.
    """
    return (logit_matching(student, teacher) + logit_matching(student.T, teacher.T)) / 2
