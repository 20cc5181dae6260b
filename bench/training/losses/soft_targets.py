"""Hinton's distillation: the labels, and the teacher's softened probabilities of the classes."""

import torch.nn.functional as F
from torch import Tensor

from bench.training.losses import StudentBatch, TeacherBatch, cross_entropy
from bench.training.losses.logit_matching import logit_matching

NEEDS = "classification"
TARGETS = ("labels", "logits")
LABELS, TEMPERATURE = 0.1, 4.0


class Loss(cross_entropy.Loss):
    """On the classifier of cross-entropy, so that what a student gains over labels alone is due to the teacher."""

    def forward(self, student: StudentBatch, teacher: TeacherBatch) -> Tensor:
        return soft_targets(self.logits(student), teacher.logits, teacher.labels)


def soft_targets(student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    """0.1 CE + 0.9 T^2 KL(P || Q) of class logits ``[B, C]`` and int64 ``labels [B]``, T = 4.

    Hinton et al., 1503.02531, section 2, with the weights and the temperature that mdistiller has for CIFAR-100
    (megvii-research/mdistiller, a08d46f, mdistiller/distillers/KD.py and engine/cfg.py).
    """
    return LABELS * F.cross_entropy(student, labels) + (1 - LABELS) * logit_matching(student, teacher, TEMPERATURE)
