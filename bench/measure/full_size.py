"""Counts the full-size students and teachers on the meta device, without weights and without training."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from bench import registry
from bench.measure.flops import macs_without_weights
from bench.measure.size import megabytes, parameters
from students import Dims, Student, build
from teachers import load as load_teacher

PIXELS = {"coco": 224, "tiny-imagenet": 64}  # side of the images that resnet and densenet read


def full_size(dataset: str, kind: str, name: str, width: int, teachers: Iterable[str]) -> dict:
    """A full-size student on features of ``width``: its ``parameters`` and ``size_mb``, and what is ``deployed`` by teacher.

    Deployed is all that must run to embed one image: ``student_macs``, ``megabytes`` and ``macs``. It is plain data.
    """
    with torch.device("meta"):
        student = build(name, Dims(width), kind)
    count = parameters(student)
    sizes = {"parameters": count, "size_mb": megabytes(count)}
    if registry.constant("student", name, "READS") == "pixels":
        side = PIXELS[dataset]
        own = _student_macs(student, torch.empty(1, 3, side, side, device="meta"))
        alone = _deployed(own, parameters(student.image_tower), own)
        return sizes | {"deployed": {"none needed": alone}}
    reads_tokens = registry.constant("student", name, "READS") == "tokens"
    return sizes | {"deployed": {teacher: _with_teacher(student, teacher, width, reads_tokens) for teacher in teachers}}


def _deployed(student_macs: int, count: int, work: int) -> dict:
    return {"student_macs": student_macs, "megabytes": megabytes(count), "macs": work}


def _with_teacher(student: Student, name: str, width: int, reads_tokens: bool) -> dict:
    teacher = _teacher(name)
    shape = (1, teacher.tokens, width) if reads_tokens else (1, width)
    own = _student_macs(student, torch.empty(shape, device="meta"))
    count, work = teacher.parameters + parameters(student.image_tower), teacher.macs + own
    if teacher.width != width:
        # Features wider than the student's pass through a PCA, a linear layer, first.
        count += (teacher.width + 1) * width
        work += teacher.width * width * (teacher.tokens if reads_tokens else 1)
    return _deployed(own, count, work)


def _student_macs(student: Student, inputs: Tensor) -> int:
    return macs_without_weights(student.eval().image, inputs)


@dataclass(frozen=True)
class _TeacherSize:
    parameters: int
    width: int
    tokens: int
    macs: int


@cache
def _teacher(name: str) -> _TeacherSize:
    """A full-size teacher's image side, built on the meta device."""
    with torch.device("meta"):
        teacher = load_teacher(name, "random")
        image = torch.empty(1, 3, teacher.size, teacher.size)
        patches = teacher.image(image).patches
        work = macs_without_weights(teacher.image, image)
    return _TeacherSize(parameters(teacher.vision()), patches.shape[2], 1 + patches.shape[1], work)
