"""Contrastive plus logit matching, as CNN students of the paper are trained on captions."""

from torch import Tensor

from bench.training.losses import StudentBatch, TeacherBatch, Untrained, similarities
from bench.training.losses.contrastive import contrastive
from bench.training.losses.logit_matching import image_text_matching

NEEDS = "captions"
TARGETS = ("joint",)


class Loss(Untrained):
    """The sum of both."""

    def forward(self, student: StudentBatch, teacher: TeacherBatch) -> Tensor:
        guess, target = similarities(student, teacher)
        return contrastive(guess) + image_text_matching(guess, target)
