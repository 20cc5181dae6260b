"""Counts the full-size students and teachers on the meta device, without weights and without training."""

from collections.abc import Iterable
from functools import cache, partial

import torch
from torch import Tensor, nn

from bench import registry
from bench.measure.deployed import Deployed, megabytes, parameters
from bench.measure.flops import macs_without_weights
from students import Dims, Student, build
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
            deployed = {"none needed": _counts(Deployed(student, reads), student, image, image)}
        else:
            deployed = {teacher: _with_teacher(student, reads, width, teacher) for teacher in teachers}
    return {"parameters": parameters(student), "size_mb": megabytes(student), "deployed": deployed}


def _with_teacher(student: Student, reads: str, width: int, name: str) -> dict:
    teacher = _teacher(name)
    image = torch.empty(1, 3, teacher.size, teacher.size)
    _, patches, own = teacher.image(image).patches.shape
    # Features wider than the student's pass through a PCA, a linear layer, first.
    reduction = None if own == width else nn.Linear(own, width)
    inputs = torch.empty((1, 1 + patches, width) if reads == "tokens" else (1, width))
    return _counts(Deployed(student, reads, teacher, reduction), student, inputs, image)


def _counts(deployed: Deployed, student: Student, inputs: Tensor, image: Tensor) -> dict:
    work = macs_without_weights(deployed, image)
    return {"student_macs": macs_without_weights(student.image, inputs), "megabytes": megabytes(deployed), "macs": work}


_teacher = cache(partial(load_teacher, weights="random"))  # on the meta device
