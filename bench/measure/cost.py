"""What a student and its teacher cost to run: size, MACs, latency, throughput, memory and energy.

All that must run to embed one image is one module, which the export and its ONNX graph use too. A student that reads
pixels is deployed alone. A head needs its teacher's vision and, where the teacher's features were reduced, the reduction.

The student's own size and MACs stand beside those of all that must run to embed an image, the deployed path. The rest is
the deployed path's alone, from uint8 pixels on the device to embeddings, in the session's precision. Throughput, memory
and energy are those of batches of 64. Left out on purpose, as the same for all students: decoding images and bringing
them to the device.

Full-size students and teachers are counted on the meta device, without weights and without training.
"""

from collections.abc import Iterable
from contextlib import nullcontext
from functools import cache

import torch
from torch import Tensor, nn

from bench import registry
from bench.features.columns import Rows
from bench.features.device import Device
from bench.features.extract import TeacherFeatures
from bench.measure.flops import macs, macs_without_weights
from bench.measure.timing import energy_mj_per_image, images_per_second, inference_memory_mb, latency_ms
from bench.plan.case import Case
from students import Dims, Student, build
from teachers import ImageFeatures, Teacher
from teachers import load as load_teacher

BATCH = 64


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


def student_cost(
    case: Case, student: Student, teacher: Teacher, features: TeacherFeatures, device: Device
) -> dict[str, float | None]:
    """Size and MACs of the student, and of all that must run to embed one image; what that takes to run."""
    pixels = features.test.split.pixels[:BATCH].to(device.torch)
    own = features.test.images(Rows(torch.arange(1), device.torch), case.reads)
    deployed = Deployed(student, case.reads, teacher, features.image_pca, device)
    return {
        "parameters": parameters(student),
        "size_mb": megabytes(student),
        "deployed_mb": megabytes(deployed),
        "macs": macs(lambda x: student.image(x)[0], [student.image_tower], own),
        "deployed_macs": macs(deployed, [deployed], pixels[:1]),
    } | _running_cost(deployed, pixels, device)


def teacher_cost(teacher: Teacher, features: TeacherFeatures, device: Device) -> dict[str, float | None]:
    """The same of the teacher's image side."""
    pixels, alone = features.test.split.pixels[:BATCH].to(device.torch), TeacherAlone(teacher, device)
    work = macs(lambda x: teacher.image(x).pooled, [alone.vision], pixels[:1])
    return {
        "parameters": parameters(alone),
        "size_mb": megabytes(alone),
        "deployed_mb": megabytes(alone),
        "macs": work,
        "deployed_macs": work,
    } | _running_cost(alone, pixels, device)


@torch.no_grad()
def _running_cost(deployed: nn.Module, pixels: Tensor, device: Device) -> dict[str, float | None]:
    """Memory, latency, throughput and energy of ``deployed`` on pixels that are on the device."""
    batch = pixels.repeat(-(-BATCH // len(pixels)), 1, 1, 1)[:BATCH]  # images repeated where there are fewer
    # First, because it warms up what comes after. It makes its input, so that this counts too.
    memory = inference_memory_mb(lambda: deployed(batch.clone()), [deployed], device.torch)
    latency = latency_ms(lambda: deployed(batch), device.torch, repeats=5)
    work = (lambda: deployed(batch), BATCH, latency / 1000, device.torch)
    return {
        "latency_ms_batch_1": latency_ms(lambda: deployed(pixels[:1]), device.torch, repeats=15),
        "latency_ms_batch_64": latency,
        "images_per_second": images_per_second(*work),
        "inference_memory_mb": memory,
        "energy_mj_per_image": energy_mj_per_image(*work),
    }


def full_size(dataset: str, kind: str, name: str, width: int, teachers: Iterable[str]) -> dict:
    """A full-size student on features of ``width``: its ``parameters`` and ``size_mb``, and what is ``deployed`` by teacher.

    Deployed is all that must run to embed one image: ``student_macs``, ``megabytes`` and ``macs``. It is plain data.
    """
    with torch.device("meta"):
        student = build(name, Dims(width), kind).eval()
        reads = registry.constant("student", name, "READS")
        if reads == "pixels":
            side = registry.constant("dataset", dataset, "SIDE")
            image = torch.empty(1, 3, side, side)
            deployed = {"none needed": _counts(Deployed(student, reads), student, image, image)}
        else:
            deployed = {teacher: _with_teacher(student, reads, width, teacher) for teacher in teachers}
    return {"parameters": parameters(student), "size_mb": megabytes(student), "deployed": deployed}


def _with_teacher(student: Student, reads: str, width: int, name: str) -> dict:
    asked = _asked(name)
    _, patches, own = asked.features.patches.shape
    # Features wider than the student's pass through a PCA, a linear layer, first.
    reduction = None if own == width else nn.Linear(own, width)
    inputs = torch.empty((1, 1 + patches, width) if reads == "tokens" else (1, width))
    counts = _counts(Deployed(student, reads, asked, reduction), student, inputs, asked.pixels)
    return counts | {"macs": asked.macs + counts["macs"]}


def _counts(deployed: Deployed, student: Student, inputs: Tensor, image: Tensor) -> dict:
    work = macs_without_weights(deployed, image)
    return {"student_macs": macs_without_weights(student.image, inputs), "megabytes": megabytes(deployed), "macs": work}


class _Asked:
    """A teacher on the meta device that was asked once: its ``features`` of an image and their ``macs`` serve all students."""

    def __init__(self, teacher: Teacher):
        self.vision, self.pixels = teacher.vision, torch.empty(1, 3, teacher.size, teacher.size)
        self.macs = macs_without_weights(self._ask, teacher)

    def _ask(self, teacher: Teacher) -> None:
        self.features = teacher.image(self.pixels)

    def image(self, pixels: Tensor) -> ImageFeatures:
        return self.features


@cache
def _asked(name: str) -> _Asked:
    return _Asked(load_teacher(name, weights="random"))
