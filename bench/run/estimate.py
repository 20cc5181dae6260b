"""How long a case will take, from trial steps of its teacher and its student on this machine."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from bench.features.device import Device
from bench.measure.timing import synchronise
from bench.plan.case import Case
from students import Dims, build
from teachers import load

IMAGES = 8  # of a trial step
ROUNDS = 3


@dataclass(frozen=True)
class Estimate:
    """Seconds of the teacher's pass, of an epoch with its scoring, and of all of a case. Decoding runs beside the teacher;
    the probe and the controls come on top."""

    teacher_pass: float
    epoch: float
    total: float


def estimate(case: Case, train: int, test: int, device: Device) -> Estimate:
    """Times ``IMAGES`` random images of the right size; the case has ``train`` and ``test`` images of one's own.

    The teacher has random weights: they cost what trained ones cost, and need not be fetched.
    """
    teacher = load(case.teacher, "random", case.geometry, case.teacher_model).to(device.torch)
    shown = torch.randint(256, (IMAGES, 3, teacher.size, teacher.size), dtype=torch.uint8, device=device.torch)

    def look():
        with device.teacher_autocast():
            return teacher.image(shown)

    looking, features = _seconds(look, device)
    dims = Dims(teacher.reduce_to or features.pooled.shape[1], case.embedding, case.bottleneck, case.trunk)
    student = build(
        case.student, dims, "classification", case.seed, case.student_model and case.student_model.at(case.images.size)
    ).to(device.torch)
    inputs = _inputs(case, features, device)

    def embed():
        with torch.no_grad(), device.student_autocast():
            return student.eval().image(inputs)[0]

    def step():
        with device.student_autocast():
            student.train().image(inputs)[0].square().sum().backward()

    stepping, embedding = _seconds(step, device)[0], _seconds(embed, device)[0]
    once = looking * (train + test)
    epoch = stepping * train + embedding * (train + test)
    return Estimate(once, epoch, once + case.epochs * epoch)


def _inputs(case: Case, features, device: Device) -> torch.Tensor:
    if case.reads == "pixels":
        side = case.images.size
        return torch.randint(256, (IMAGES, 3, side, side), dtype=torch.uint8, device=device.torch)
    pooled = features.pooled.float()
    return pooled if case.reads == "pooled" else torch.cat([pooled[:, None], features.patches.float()], dim=1)


def _seconds(call: Callable, device: Device) -> tuple[float, object]:
    """Median seconds an image, after a call to warm up, and what the call returns."""
    result, seconds = call(), []
    for _ in range(ROUNDS):
        synchronise(device.torch)
        start = time.perf_counter()
        call()
        synchronise(device.torch)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds) / IMAGES, result
