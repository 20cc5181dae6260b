"""How long cases will take, from trial steps of their teachers and students on this machine."""

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bench import data
from bench.features.device import Device
from bench.features.extract import Needs, weights_of
from bench.kit.errors import UserError
from bench.measure.cost import BATCH
from bench.measure.timing import synchronise
from bench.plan.case import Case
from bench.run.case import needs_of
from bench.run.job import key_of
from bench.run.lengths import CASE_SECONDS
from bench.run.scoring import images_of, scoring_seconds
from students import Dims, build
from teachers import ImageFeatures, WeightsError, load

IMAGES = 8  # of a trial step of a teacher
PIXELS = 8 * 224**2  # of a trial step of a student; of a head it has a batch
ROUNDS = 3
COSTS = 2 * BATCH  # images that measuring latency and memory takes, at least


@dataclass(frozen=True)
class Trials:
    """Seconds of cases by id, and the bytes of their teachers' stored features, those of captions left out."""

    seconds: dict[str, float]
    stored: int = 0


def trials(cases: Iterable[Case], advance: Callable[[int, int], None], device: str = "auto") -> Trials:
    """What each case takes: a trial step of each teacher, with random weights, which need not be fetched, and of each student.

    The first case of a teacher has its pass, and a longer case only what a shorter one of the same run leaves. Cases whose
    images or teachers are not there are left out, and so is what captions take. ``advance`` is told how many cases are tried.
    """
    by_teacher: dict[tuple, list[Case]] = {}
    cases = sorted(cases, key=lambda one: one.epochs)
    looks: dict[tuple, tuple[float, ImageFeatures, int]] = {}  # of each teacher, alone or beside others
    for case in cases:
        by_teacher.setdefault(key_of(case), []).append(case)
    seconds, stored, trained, count = {}, 0, {}, sum(map(len, by_teacher.values()))
    for several in by_teacher.values():
        first, of = several[0], Device(device, several[0].precision)
        steps: dict[str, tuple[float, float]] = {}
        try:
            train, test = images_of(first)
            new = [one for one in first.alone if key_of(one) not in looks]
            looks |= {key_of(one): _look(one, of) for one in new}
        except (UserError, WeightsError):
            continue
        every = [looks[key_of(one)] for one in first.alone]
        features, width = _side_by_side(every)
        looking = sum(look for look, _, _ in every)
        # Views are stored beside the images themselves; each number of them has a pass of its own.
        viewed = train * sum({case.views for case in several if case.asks_teacher and case.views not in (1, "live")})
        once = sum(looks[key_of(one)][0] for one in new) * (train + test + viewed)
        once += 0.0 if first.has_random_teacher else COSTS * looking
        for one, needs in zip(first.alone, needs_of(first, cases), strict=True):
            if one in new:
                stored += _stored_bytes(needs, *looks[key_of(one)][1:]) * (train + test + viewed)
        for case in several:
            if case.student not in steps:
                steps[case.student] = _steps(case, features, width, of)
            step, embedding = steps[case.student]
            before = trained.get(case.run, 0)  # of this teacher, or of another one where training asks none
            more, trained[case.run] = max(0, case.epochs - before), max(case.epochs, before)
            scored = embedding * (train + test)
            live = looking if case.views == "live" and case.asks_teacher else 0.0
            taken = once + more * (train * (step + live) + scored) + CASE_SECONDS
            if not before:  # as initialised, and what it takes to run
                alone = case.reads == "pixels"
                taken += scored + (0.0 if case.control else COSTS * (embedding + (0.0 if alone else looking)))
            scoring = scoring_seconds(case)
            seconds[case.id], once = taken + (scoring[0] if scoring else 0.0), 0.0
            advance(len(seconds), count)
    return Trials(seconds, stored)


def _stored_bytes(needs: Needs, features: ImageFeatures, width: int) -> int:
    """Bytes that a teacher's store keeps of an image."""
    numbers = width + features.joint.shape[1]
    if needs.tokens:
        numbers += width * (1 + features.patches.shape[1])
    if needs.attention:
        numbers += features.patches.shape[1]
    return numbers * getattr(torch, needs.dtype).itemsize


def _look(case: Case, device: Device) -> tuple[float, ImageFeatures, int]:
    """Seconds an image of the case's one teacher, its features of a few, and the width that students read."""
    weights = weights_of(replace(case, control="random-teacher"))
    teacher = load(case.teacher, weights, case.geometry, case.teacher_model).to(device.torch)
    shown = torch.randint(256, (IMAGES, 3, teacher.size, teacher.size), dtype=torch.uint8, device=device.torch)

    def look():
        with torch.no_grad(), device.teacher_autocast():
            return teacher.image(shown)

    looking, features = _seconds(look, device)
    return looking / IMAGES, features, teacher.reduce_to or features.pooled.shape[1]


def _side_by_side(looks: list[tuple[float, ImageFeatures, int]]) -> tuple[ImageFeatures, int]:
    """What the student of these teachers reads, and its width."""
    if len(looks) == 1:
        return looks[0][1:]
    pooled = torch.cat([features.pooled[:, :width].float() for _, features, width in looks], dim=1)
    return ImageFeatures(pooled, None, None, pooled), pooled.shape[1]


def _steps(case: Case, features: ImageFeatures, width: int, device: Device) -> tuple[float, float]:
    """Seconds an image of training the case's student, and of embedding by it."""
    side = _side(case) if case.reads == "pixels" else 0
    dims = Dims(width, case.embedding, case.bottleneck, case.trunk)
    model = case.student_model and case.student_model.at(side)
    student = build(case.student, dims, "classification", case.seed, model)
    student = student.to(device.torch, memory_format=torch.channels_last)  # as it is trained
    inputs = _inputs(case, features, width, side, device)

    def embed():
        with torch.no_grad(), device.student_autocast():
            return student.eval().image(inputs)[0]

    def step():
        with device.student_autocast():
            student.train().image(inputs)[0].square().sum().backward()

    stepping, embedding = (_seconds(call, device)[0] / len(inputs) for call in (step, embed))
    return stepping, embedding


def _side(case: Case) -> int:
    return data.load(case.dataset, "test", 1).side if case.is_drawn else data.source(case.dataset, case.images).side


def _inputs(case: Case, features: ImageFeatures, width: int, side: int, device: Device) -> Tensor:
    if case.reads == "pixels":
        # What starts a step costs little beside large pictures alone.
        count = max(IMAGES, min(case.batch_size, PIXELS // side**2))
        return torch.randint(256, (count, 3, side, side), dtype=torch.uint8, device=device.torch)
    pooled = features.pooled.float()
    one = pooled if case.reads == "pooled" else torch.cat([pooled[:, None], features.patches.float()], dim=1)
    one = one[..., :width]  # of features that are reduced, what costs as much
    return one.repeat(-(-case.batch_size // IMAGES), *[1] * (one.ndim - 1))


def _seconds(call: Callable, device: Device) -> tuple[float, object]:
    """Median seconds of a call, after one to warm up, and what it returns."""
    result, seconds = call(), []
    for _ in range(ROUNDS):
        synchronise(device.torch)
        start = time.perf_counter()
        call()
        synchronise(device.torch)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), result
