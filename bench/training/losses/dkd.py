"""Decoupled distillation: the teacher's certainty of the true class, and its opinion of the others, each weighed alone."""

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.training.losses import StudentBatch, TeacherBatch, cross_entropy
from bench.training.losses.logit_matching import logit_matching

NEEDS = "classification"
TARGETS = ("labels", "logits")
ONE_CLASS = True
TARGET_CLASS, OTHER_CLASSES, TEMPERATURE = 1.0, 8.0, 4.0


class Loss(cross_entropy.Loss):
    """Left out on purpose: the authors let all but CE rise from 0 over the first 20 of 240 epochs."""

    def forward(self, student: StudentBatch, teacher: TeacherBatch) -> Tensor:
        return dkd(self.logits(student), teacher.logits, teacher.labels)


def dkd(student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    """CE + TCKD + 8 NCKD of class logits ``[B, C]`` and int64 ``labels [B]``: T^2 KL of the true class against all others
    together, and of the others among themselves, T = 4.

    Zhao et al., 2203.08679, eq. 7, with the authors' weights for CIFAR-100 (megvii-research/mdistiller, a08d46f,
    mdistiller/distillers/DKD.py and engine/cfg.py). Theirs takes the logarithm of a probability, and is infinite where that
    is 0; this one stays in logarithms. Two classes at least.
    """
    guess, other_guesses = _decoupled(student, labels)
    target, other_targets = _decoupled(teacher, labels)
    of_target = TARGET_CLASS * logit_matching(guess, target, TEMPERATURE)
    of_others = OTHER_CLASSES * logit_matching(other_guesses, other_targets, TEMPERATURE)
    return F.cross_entropy(student, labels) + of_target + of_others


def _decoupled(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of the true class and of all others together ``[B, 2]``, and of each other class ``[B, C - 1]``."""
    classes = torch.arange(logits.shape[1] - 1, device=logits.device).expand(len(logits), -1)
    others = logits.gather(1, classes + (classes >= labels[:, None]))
    together = TEMPERATURE * (others / TEMPERATURE).logsumexp(dim=1, keepdim=True)
    return torch.cat([logits.gather(1, labels[:, None]), together], dim=1), others
