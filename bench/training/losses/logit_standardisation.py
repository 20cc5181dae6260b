"""Logit standardisation: the student's class logits follow the teacher's in order and relation, whatever their size."""

import torch.nn.functional as F
from torch import Tensor

from bench.training.losses import StudentBatch, TeacherBatch, cross_entropy
from bench.training.losses.logit_matching import logit_matching

NEEDS = "classification"
TARGETS = ("labels", "logits")
LABELS, TEACHER, TEMPERATURE = 0.1, 9.0, 2.0


class Loss(cross_entropy.Loss):
    """Hinton's distillation on standardised logits; the labels are learned from logits as they are."""

    def forward(self, student: StudentBatch, teacher: TeacherBatch) -> Tensor:
        return logit_standardisation(self.logits(student), teacher.logits, teacher.labels)


def logit_standardisation(student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    """0.1 CE + 9 T^2 KL(P || Q) of class logits ``[B, C]`` and int64 ``labels [B]``, the KL of their Z-scores, T = 2.

    Sun et al., 2403.01427, algorithm 1, with the weights and the base temperature of the authors' README
    (sunshangquan/logit-standardization-KD, f6e5aa5, mdistiller/distillers/KD.py).
    """
    matched = logit_matching(_standardised(student), _standardised(teacher), TEMPERATURE)
    return LABELS * F.cross_entropy(student, labels) + TEACHER * matched


def _standardised(logits: Tensor) -> Tensor:
    """Z-scores of each row, by the sample standard deviation (C - 1), to which the authors add 1e-7."""
    return (logits - logits.mean(dim=1, keepdim=True)) / (logits.std(dim=1, keepdim=True) + 1e-7)
