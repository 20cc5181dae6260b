"""How long cases will take: trial steps of their teachers and students on this machine, and arithmetic for their scoring.

k-NN grows with test times training images, the probe with training images. What is small beside them (fidelity,
retrieval, drawn data) is left out.
"""

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bench import data
from bench.data import prepared
from bench.features.device import Device
from bench.features.extract import Needs, weights_of
from bench.kit.errors import UserError
from bench.measure.cost import BATCH
from bench.measure.pixels import SIDE
from bench.measure.timing import synchronise
from bench.plan.case import Case
from bench.run.case import needs_of
from bench.run.job import key_of
from bench.run.lengths import CASE_SECONDS, images_of
from bench.run.session import threads_of
from students import Dims, build
from teachers import ImageFeatures, WeightsError, load

IMAGES = 8  # of a trial step of a teacher
PIXELS = 8 * 224**2  # of a trial step of a student; of a head it has a batch
ROUNDS = 3
COSTS = 2 * BATCH  # images that measuring latency and memory takes, at least
# Seconds of one thread of a processor with AVX-512, see reports/speed.md.
PAIR = 1.5e-9  # of a test and a training image in k-NN
PAIR_AND_NUMBER = 1.7e-11  # and for each number of an embedding
PIXEL_PAIR = 3.3e-12  # of two pixels, in integers
COEFFICIENT = 1.5e-10  # of the probe, an image and evaluation
EVALUATIONS = 300  # of a probe's objective: 100 to 1,800 were seen


@dataclass(frozen=True)
class Look:
    """A trial step of a teacher: seconds an image, its features of a few, and the width that students read."""

    seconds: float
    features: ImageFeatures
    width: int


@dataclass(frozen=True)
class Trials:
    """Seconds of cases by id, and the bytes of their teachers' stored features, those of captions left out."""

    seconds: dict[str, float]
    stored: int = 0


def trials(
    cases: Iterable[Case], advance: Callable[[int, int], None], device: str = "auto", workers: int = 1
) -> Trials:
    """What each case takes: a trial step of each teacher, with random weights, which need not be fetched, and of each student.

    Steps have the threads of a case that runs beside others, on so many ``workers``.

    A teacher's pass counts towards its first case, and of a training run's epochs a longer case trains only those that a
    shorter one has not. Cases whose images or teachers are not there are left out, and so is the time that captions take.
    ``advance`` is told how many cases are tried.
    """
    cases, before = sorted(cases, key=lambda one: one.epochs), torch.get_num_threads()
    if not cases:
        return Trials({})
    torch.set_num_threads(threads_of(cases[0], workers - 1))
    try:
        return _trials(cases, advance, device)
    finally:
        torch.set_num_threads(before)


def _trials(cases: list[Case], advance: Callable[[int, int], None], device: str) -> Trials:
    by_teacher: dict[tuple, list[Case]] = {}
    for case in cases:
        by_teacher.setdefault(key_of(case), []).append(case)
    looks: dict[tuple, Look] = {}  # of each teacher, alone or beside others
    pixels: set[str] = set()  # the data sets whose raw pixels are scored, which is once
    seconds, stored, trained, count = {}, 0, {}, len(cases)
    for several in by_teacher.values():
        first, on = several[0], Device(device, several[0].precision)
        try:
            train, test = images_of(first)
            new = {key_of(one): _look(one, on) for one in first.alone if key_of(one) not in looks}
        except (UserError, WeightsError):
            continue
        looks |= new
        look = _side_by_side([looks[key_of(one)] for one in first.alone])
        # Views are stored beside the images themselves; each number of them has a pass of its own.
        views = {case.views for case in several if case.asks_teacher and case.views not in (1, "live")}
        passed = train * (1 + sum(views)) + test
        for one, needs in zip(first.alone, needs_of(first, cases), strict=True):
            stored += _stored_bytes(needs, new[key_of(one)]) * passed if key_of(one) in new else 0
        once = sum(one.seconds for one in new.values()) * passed
        once += 0.0 if first.has_random_teacher else COSTS * look.seconds
        if "raw-pixels" in first.controls and not first.is_drawn and first.dataset not in pixels:
            pixels.add(first.dataset)
            once += train * test * 3 * min(_side(first), SIDE) ** 2 * PIXEL_PAIR
        steps: dict[str, tuple[float, float]] = {}
        for case in several:
            if case.student not in steps:
                steps[case.student] = _steps(case, look, on)
            before = trained.get(case.run, 0)  # of this teacher, or of another one where training asks none
            trained[case.run] = max(case.epochs, before)
            seconds[case.id] = once + _taken(case, before, train, test, look, *steps[case.student])
            once = 0.0
            advance(len(seconds), count)
    return Trials(seconds, stored)


def _taken(case: Case, before: int, train: int, test: int, look: Look, step: float, embedding: float) -> float:
    """Seconds of a case beside its teacher's pass, where a shorter one of its run trained ``before`` epochs, from those of a
    training ``step`` and of ``embedding`` by an image."""
    live = look.seconds if case.views == "live" and case.asks_teacher else 0.0
    scored = embedding * (train + test)
    epochs = max(0, case.epochs - before)
    taken = epochs * train * (step + live) + epochs / case.evaluate_every * scored + CASE_SECONDS
    if not before:  # as initialised, and what it takes to run
        teacher = 0.0 if case.reads == "pixels" else look.seconds
        taken += scored + (0.0 if case.control else COSTS * (embedding + teacher))
    return taken + _scoring(case, train, test)


def _scoring(case: Case, train: int, test: int) -> float:
    """Seconds to score a case of labelled files, its curve included; 0 for others."""
    if case.is_drawn or case.kind != "classification":
        return 0.0
    classes = len(prepared.index(data.source(case.dataset, case.images), "train")["classes"])
    # Each point of the curve and the student as initialised; probes of both its ends.
    curve = (case.epochs / case.evaluate_every + 1) * train * test * (PAIR + PAIR_AND_NUMBER * case.embedding)
    return curve + (1 + ("untrained" in case.controls)) * EVALUATIONS * train * case.embedding * classes * COEFFICIENT


def _stored_bytes(needs: Needs, look: Look) -> int:
    """Bytes that a teacher's store keeps of an image."""
    numbers = look.width + look.features.joint.shape[1]
    if needs.tokens:
        numbers += look.width * (1 + look.features.patches.shape[1])
    if needs.attention:
        numbers += look.features.patches.shape[1]
    return numbers * getattr(torch, needs.dtype).itemsize


def _look(case: Case, device: Device) -> Look:
    """A trial step of the case's one teacher."""
    weights = weights_of(replace(case, control="random-teacher"))
    teacher = load(case.teacher, weights, case.geometry, case.teacher_model).to(device.torch)
    shown = torch.randint(256, (IMAGES, 3, teacher.size, teacher.size), dtype=torch.uint8, device=device.torch)

    def see():
        with torch.no_grad(), device.teacher_autocast():
            return teacher.image(shown)

    seconds, features = _seconds(see, device)
    return Look(seconds / IMAGES, features, teacher.reduce_to or features.pooled.shape[1])


def _side_by_side(looks: list[Look]) -> Look:
    """What the student of these teachers reads, and the time of all of them."""
    if len(looks) == 1:
        return looks[0]
    pooled = torch.cat([look.features.pooled[:, : look.width].float() for look in looks], dim=1)
    return Look(sum(look.seconds for look in looks), ImageFeatures(pooled, None, None, pooled), pooled.shape[1])


def _steps(case: Case, look: Look, device: Device) -> tuple[float, float]:
    """Seconds an image of training the case's student, and of embedding by it."""
    side = _side(case) if case.reads == "pixels" else 0
    dims = Dims(look.width, case.embedding, case.bottleneck, case.trunk)
    model = case.student_model and case.student_model.at(side)
    student = build(case.student, dims, "classification", case.seed, model)
    student = student.to(device.torch, memory_format=torch.channels_last)  # as it is trained
    inputs = _inputs(case, look, side, device)

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


def _inputs(case: Case, look: Look, side: int, device: Device) -> Tensor:
    if case.reads == "pixels":
        # What starts a step costs little beside large pictures alone.
        count = max(IMAGES, min(case.batch_size, PIXELS // side**2))
        return torch.randint(256, (count, 3, side, side), dtype=torch.uint8, device=device.torch)
    pooled = look.features.pooled.float()
    one = pooled if case.reads == "pooled" else torch.cat([pooled[:, None], look.features.patches.float()], dim=1)
    one = one[..., : look.width]  # of features that are reduced, what costs as much
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
