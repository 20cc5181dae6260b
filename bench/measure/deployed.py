"""All that must run to embed one image, as one module: latency, MACs, memory, the export and its ONNX graph use it.

A student that reads pixels is deployed alone. A head needs its teacher's vision and, where the teacher's features were
reduced, the reduction. Its size is that of its float32 parameters, in MB of 2^20 bytes, as the paper counts a student's.
"""

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from bench.features.device import Device
from students import Student
from teachers import Teacher


def parameters(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in module.parameters())


def megabytes(module: nn.Module) -> float:
    """MB (2^20 bytes) of all parameters in float32."""
    return parameters(module) * 4 / 2**20


class Deployed(nn.Module):
    """Pixels ``[B, 3, H, W]``, uint8 or float in [0, 255], to unit-length embeddings ``[B, E]``.

    Its parameters are those that run for an image, and no others: neither the student's nor the teacher's text side.
    ``reads`` is the student's ``READS``. With a ``device`` the forward passes run in that device's precisions.
    """

    def __init__(
        self,
        student: Student,
        reads: str,
        teacher: Teacher | None = None,
        reduction: nn.Module | None = None,
        device: Device | None = None,
    ):
        super().__init__()
        self.reads, self.device = reads, device
        self.tower = student.image_tower
        self.vision = None if reads == "pixels" else teacher.vision()
        self.reduction = None if reads == "pixels" else reduction
        self._whole = student, teacher  # in a tuple, which registers none of their parameters

    def forward(self, pixels: Tensor) -> Tensor:
        student, _ = self._whole
        inputs = pixels if self.reads == "pixels" else self._features(pixels)
        with self.device.student_autocast() if self.device else nullcontext():
            return student.image(inputs)[0]

    def _features(self, pixels: Tensor) -> Tensor:
        """What the student reads of the teacher's features, ``[B, D]`` or ``[B, 1 + P, D]``."""
        _, teacher = self._whole
        with self.device.teacher_autocast() if self.device else nullcontext():
            features = teacher.image(pixels)
        inputs = features.pooled
        if self.reads == "tokens":
            inputs = torch.cat([inputs[:, None], features.patches], dim=1)
        return self.reduction(inputs.float()) if self.reduction is not None else inputs.float()


class TeacherAlone(nn.Module):
    """The same of a teacher's image side: its pooled feature ``[B, D]``."""

    def __init__(self, teacher: Teacher, device: Device):
        super().__init__()
        self.vision, self.device, self._whole = teacher.vision(), device, (teacher,)

    def forward(self, pixels: Tensor) -> Tensor:
        with self.device.teacher_autocast():
            return self._whole[0].image(pixels).pooled
