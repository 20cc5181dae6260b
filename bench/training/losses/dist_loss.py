"""DIST: the student's similarities correlate with the teacher's, along rows and along columns."""

import math

import torch
from torch import Tensor

from bench.training.losses import StudentBatch, TeacherBatch, Untrained, similarities, without_diagonal

NEEDS = "any"
TARGETS = ("joint",)


class Loss(Untrained):
    """Between images and captions, the mean of both directions; without captions among the images."""

    def forward(self, student: StudentBatch, teacher: TeacherBatch) -> Tensor:
        guess, target = similarities(student, teacher)
        if student.texts is None:
            return dist_to_each_other(guess, target)
        return (dist(guess, target) + dist(guess.T, target.T)) / 2


def dist(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """T^2 (inter + intra) of scaled similarities ``[B, N]``: 1 - Pearson's correlation of P and Q, averaged over rows
    (inter) and over columns (intra).

    DIST, Huang et al., 2205.10536, both weights 1 as in the authors' code.
    """
    guess, target = ((logits / temperature).softmax(dim=1) for logits in (student, teacher))
    return temperature**2 * (pearson_distance(guess, target) + pearson_distance(guess.T, target.T))


def dist_to_each_other(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """:func:`dist` of a batch's scaled similarities with itself ``[B, B]``, neither softmax nor correlation seeing the
    diagonal."""
    itself = torch.eye(len(student), dtype=torch.bool, device=student.device)
    masked = [(logits / temperature).masked_fill(itself, -math.inf) for logits in (student, teacher)]
    guess, target = (logits.softmax(dim=1) for logits in masked)
    inter = pearson_distance(without_diagonal(guess), without_diagonal(target))
    return temperature**2 * (inter + pearson_distance(without_diagonal(guess.T), without_diagonal(target.T)))


def pearson_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - Pearson's correlation of rows ``[R, N]``, averaged; a row that is constant correlates with nothing."""
    return 1 - (_standardised(student) * _standardised(teacher)).sum(dim=1).mean()


def _standardised(rows: Tensor) -> Tensor:
    """Rows less their mean, with unit length; zero where only rounding tells them from a constant. NaN stays NaN."""
    centred = rows - rows.mean(dim=1, keepdim=True)
    lengths = centred.norm(dim=1, keepdim=True)
    constant = lengths <= 64 * torch.finfo(rows.dtype).eps * rows.norm(dim=1, keepdim=True)
    return torch.where(constant, 0, centred / torch.where(constant, 1, lengths))
