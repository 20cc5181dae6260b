"""A teacher on a dataset: what all cases that share it have in common, computed or opened once."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import data
from bench.data import prepared
from bench.features.device import Device
from bench.features.extract import Needs, Pass, TeacherFeatures, extract
from bench.kit.progress import Progress
from bench.measure import leakage
from bench.measure.cost import teacher_cost
from bench.measure.model import Model, of_teacher
from bench.plan.case import Case
from teachers import Teacher, Weights

# ``once(key, compute)``: what was computed before under this key, or is now.
Once = Callable[[tuple, Callable[[], Any]], Any]


@dataclass(frozen=True)
class TeacherOnData:
    """A teacher, its features, itself as a scored model, its cost, and what it may have seen before."""

    teacher: Teacher
    features: TeacherFeatures
    model: Model
    cost: dict[str, float | None]
    leakage: dict


def on_data(case: Case, teacher: Teacher, needs: Needs, device: Device, log: Progress) -> TeacherOnData:
    """Run the case's teacher once over its dataset, or open what is stored of it."""
    train, test = (
        data.load(case.dataset, split, count)
        for split, count in (("train", case.train_samples), ("test", case.test_samples))
    )
    teacher = teacher.to(device.torch)
    name = f"{case.dataset}-{case.teacher}"
    work = Pass(name, teacher, device.torch, device.teacher_precision, needs, log.say, log.task)
    features = extract(work, train, test)
    model = of_teacher(case, features)
    cost = {} if case.has_random_teacher else teacher_cost(teacher, features, device)
    return TeacherOnData(teacher, features, model, cost, leakage.note(case, train, test))


def needs_of(case: Case, selected: list[Case]) -> Needs:
    """What the selected students of the case's teacher and dataset read."""
    same = [one for one in selected if (one.dataset, one.teacher) == (case.dataset, case.teacher)] or [case]
    text = case.kind == "captions" and any(one.text_reads == "tokens" for one in same)
    return Needs(any(one.reads == "tokens" for one in same), text, case.features)


def key_of(case: Case) -> tuple:
    """What cases that share a teacher and its features have in common."""
    return case.dataset, case.teacher, case.has_random_teacher


def weights_of(case: Case) -> Weights:
    """Which weights the case's teacher is loaded with."""
    real = case.dataset if case.weights == "pocket" and prepared.is_prepared_kind(case.dataset) else None
    if case.has_random_teacher:
        return Weights("untrained", real) if case.weights == "pocket" else Weights("random")
    return Weights(case.weights, real, Path(case.checkpoint) if case.checkpoint else None, case.revision)
