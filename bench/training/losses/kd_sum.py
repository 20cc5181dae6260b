"""CLIP-KD's sum: the task's own loss, logit matching, ICL and feature distance, at once."""

import torch.nn.functional as F
from torch import Tensor, nn

from bench.training.losses import StudentBatch, TeacherBatch, Widths, projector_between, similarities
from bench.training.losses.contrastive import contrastive
from bench.training.losses.icl import icl
from bench.training.losses.logit_matching import image_text_matching

NEEDS = "captions"
TARGETS = ("joint",)
FEATURE_WEIGHT = 2000.0


class Loss(nn.Module):
    """A projector stands between where the widths differ. The authors have one for each tower, with a bias."""

    def __init__(self, widths: Widths):
        super().__init__()
        self.projector = projector_between(widths)

    def forward(self, student: StudentBatch, teacher: TeacherBatch) -> Tensor:
        guess, target = similarities(student, teacher)
        projected = [F.normalize(self.projector(side), dim=1) for side in (student.images, student.texts)]
        across = transfer(*projected, teacher.images, teacher.texts, student.scale)
        return contrastive(guess) + image_text_matching(guess, target) + across


def transfer(images: Tensor, texts: Tensor, teacher_images: Tensor, teacher_texts: Tensor, scale: Tensor) -> Tensor:
    """ICL + 2000 FD of unit-length embeddings ``[B, F]``, the student's projected ones and the teacher's.

    The sum's other parts, the task's own loss and CRD, compare similarities. CLIP-KD, Yang et al., 2307.12732, with the
    weights of its experiments: 1, 1 and 2000; masked features, gradients and fusion are not part of its recommended sum.
    Its code (winycg/CLIP-KD, f3ae18b, src/open_clip/loss.py) differs from its formulas twice:

    * FD is 1/B sum ||v_T - v_S||^2 in the paper, and the mean over all elements, 1/F of that, in the code. The weight
      2000 belongs to the code's, which is used here.
    * ICL's factor is e^t of the student's trainable t in the paper, which is used here; in the code it is t itself, of
      a second t: 2.66 instead of 14.3 at first.
    """
    distance = F.mse_loss(images, teacher_images) + F.mse_loss(texts, teacher_texts)
    return (icl(images, teacher_texts, scale) + icl(texts, teacher_images, scale)) / 2 + FEATURE_WEIGHT * distance
