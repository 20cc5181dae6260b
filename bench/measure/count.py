"""Counts the full-size students and teachers on the meta device, without weights and without training."""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from bench import catalog, paper
from bench.fullsize import PIXELS, Deployed, FullSize
from bench.measure.flops import macs_without_weights
from bench.measure.size import megabytes, parameters
from students import Dims, Student, build
from teachers import load as load_teacher


def compute() -> list[FullSize]:
    """Every full-size student for each of the paper's tables."""
    return [_full_size(table, student) for table in paper.tables() for student in table.students]


def _full_size(table: paper.Table, name: str) -> FullSize:
    with torch.device("meta"):
        student = build(name, Dims(table.features), table.kind)
    if catalog.constant("student", name, "READS") == "pixels":
        side = PIXELS[table.dataset]
        own = _student_macs(student, torch.empty(1, 3, side, side, device="meta"))
        deployed = {"none needed": Deployed(own, megabytes(parameters(student.image_tower)), own)}
    else:
        reads_tokens = catalog.constant("student", name, "READS") == "tokens"
        deployed = {
            teacher: _with_teacher(student, teacher, table.features, reads_tokens) for teacher in table.teachers
        }
    count = parameters(student)
    return FullSize(table.dataset, name, count, megabytes(count), table.size_mb.get(name), deployed)


def _with_teacher(student: Student, name: str, width: int, reads_tokens: bool) -> Deployed:
    teacher = _teacher(name)
    shape = (1, teacher.tokens, width) if reads_tokens else (1, width)
    own = _student_macs(student, torch.empty(shape, device="meta"))
    count, work = teacher.parameters + parameters(student.image_tower), teacher.macs + own
    if teacher.width != width:
        # Features wider than the student's pass through a PCA, a linear layer, first.
        count += (teacher.width + 1) * width
        work += teacher.width * width * (teacher.tokens if reads_tokens else 1)
    return Deployed(own, megabytes(count), work)


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
