"""Counts the full-size students and teachers on the meta device, without weights and without training."""

from collections.abc import Iterable
from functools import cache

import torch
from torch import Tensor, nn

from bench import registry
from bench.measure.deployed import Deployed
from bench.measure.flops import macs_without_weights
from bench.measure.size import megabytes, parameters
from students import Dims, Student, build
from teachers import ImageFeatures, Teacher
from teachers import load as load_teacher


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
            deployed = {"none needed": _counts(Deployed(student, reads), image, student, image)}
        else:
            deployed = {teacher: _with_teacher(student, reads, width, *_teacher(teacher)) for teacher in teachers}
    count = parameters(student)
    return {"parameters": count, "size_mb": megabytes(count), "deployed": deployed}


def _with_teacher(student: Student, reads: str, width: int, teacher: Teacher, features: ImageFeatures) -> dict:
    _, patches, own = features.patches.shape
    # Features wider than the student's pass through a PCA, a linear layer, first.
    reduction = None if own == width else nn.Linear(own, width)
    image = torch.empty(1, 3, teacher.size, teacher.size)
    inputs = torch.empty((1, 1 + patches, width) if reads == "tokens" else (1, width))
    return _counts(Deployed(student, reads, teacher, reduction), image, student, inputs)


def _counts(deployed: Deployed, image: Tensor, student: Student, inputs: Tensor) -> dict:
    return {
        "student_macs": macs_without_weights(student.image, inputs),
        "megabytes": deployed.megabytes,
        "macs": macs_without_weights(deployed, image),
    }


@cache
def _teacher(name: str) -> tuple[Teacher, ImageFeatures]:
    """A full-size teacher on the meta device, and its features of one image."""
    teacher = load_teacher(name, "random")
    return teacher, teacher.image(torch.empty(1, 3, teacher.size, teacher.size))
