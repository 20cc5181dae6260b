"""Patch matching: the student's last map follows the teacher's patch tokens, place by place."""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from bench.training.losses import StudentBatch, TeacherBatch, Widths, feature_mse

NEEDS = "map"
TARGETS = ("joint", "tokens")


class Loss(feature_mse.Loss):
    """To the distance of whole images, which trains what comes after the map, that of patches is added."""

    def __init__(self, widths: Widths):
        super().__init__(widths)
        self.patches = nn.Linear(widths.map, widths.tokens)
        nn.init.trunc_normal_(self.patches.weight, std=0.02)

    def forward(self, student: StudentBatch, teacher: TeacherBatch) -> Tensor:
        projected = self.patches(student.map.permute(0, 2, 3, 1))
        return super().forward(student, teacher) + patch_matching(projected, teacher.tokens[:, 1:])


def patch_matching(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared error of a projected map ``[B, H, W, D]`` at the teacher's patches ``[B, P, D]``, a square grid row by row.

    LightlyTrain's distillationv2 (lightly-ai/lightly-train, src/lightly_train/_methods/distillationv2): projected, then
    resized bilinearly to the teacher's grid, and compared as it is, with the last of its two blocks here.
    """
    side = math.isqrt(teacher.shape[1])
    resized = F.interpolate(student.permute(0, 3, 1, 2), size=(side, side), mode="bilinear", align_corners=False)
    return F.mse_loss(resized.flatten(2).transpose(1, 2), teacher)
