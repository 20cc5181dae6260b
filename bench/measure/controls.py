"""The controls that are measured beside a case; rows of :mod:`bench.controls` name these functions."""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

import torch

from bench import controls
from bench.data.split import Split
from bench.features.extract import TeacherFeatures
from bench.kit import paths
from bench.kit.files import seal, unseal, write_text
from bench.measure.accuracy import headline
from bench.measure.fidelity import agreement
from bench.measure.model import Model, measured
from bench.measure.pixels import Pixels
from bench.measure.retrieval import retrieval
from bench.plan import fingerprint
from bench.plan.case import Case


@dataclass(frozen=True)
class Subject:
    """What a control may look at: the case, its trained student and its teacher as models, and what they were scored on.

    ``untrained()`` scores the student as initialised; ``teacher_cost`` is what the teacher costs to run; ``once(key,
    compute)`` keeps what does not depend on the case alone.
    """

    case: Case
    student: Model
    teacher: Model
    features: TeacherFeatures
    untrained: Callable[[], Model]
    teacher_cost: dict[str, float | None]
    once: Callable[[tuple, Callable[[], Any]], Any]


def of_case(subject: Subject) -> dict[str, dict[str, float]]:
    """The metrics of each control that the case asks for, and of those that are always measured, by name."""
    rows = [row for row in controls.ROWS if row.measured and subject.case.kind in row.kinds]
    asked = [row for row in rows if row.always or row.name in subject.case.controls]
    results = {row.name: resolve_name(f"bench.measure.{row.measured}")(subject) for row in asked}
    return {name: values for name, values in results.items() if values is not None}


def untrained(subject: Subject) -> dict[str, float]:
    """The same student as initialised, with its fidelity; cases that differ in epochs alone share it."""

    def score() -> dict[str, float]:
        model = subject.untrained()
        return model.metrics | measured("fidelity", model.kind, model, subject.teacher)

    return subject.once(("untrained", subject.case.teacher, subject.case.run_fingerprint), score)


def teacher(subject: Subject) -> dict[str, float]:
    """The teacher by the same protocol, and its cost."""
    return subject.teacher.metrics | subject.teacher_cost


def raw_pixels(subject: Subject) -> dict[str, float] | None:
    """The neighbours of the pixels themselves, see :mod:`bench.measure.pixels`, once for a dataset: as k-NN, or without labels
    as the teacher's; None for captions."""
    if subject.case.kind == "captions":
        return None
    parts = subject.features.test, subject.features.train

    def score() -> dict[str, float]:
        images, bank = (Pixels(part.split.pixels, part.device) for part in parts)
        if subject.case.kind == "images":
            images, bank = images[:], bank[:]
        return headline(Model(subject.features, batch=1, images=images, bank=bank), subject.teacher)

    # Without labels it is of the teacher, too.
    of_teacher = subject.features.key if subject.case.kind == "images" else ""
    return kept(f"raw-pixels-{subject.case.dataset}", tuple(part.split for part in parts), of_teacher, score)


def kept(name: str, splits: tuple[Split, ...], other: str, compute: Callable[[], dict]) -> dict:
    """What ``compute()`` returns for these splits, kept in the data folder until the code of this folder changes.

    ``other`` names whatever else decides it. Raises :class:`bench.kit.files.WriteError` where the disk does not take it.
    """
    labels = ["" if one.labels is None else hashlib.sha256(one.labels.numpy()).hexdigest() for one in splits]
    code = [fingerprint.digest(file) for file in fingerprint.shared("bench/measure")]
    facts = json.dumps([[one.identity for one in splits], labels, other, code])
    path = paths.features_folder() / "scores" / f"{name}-{hashlib.sha256(facts.encode()).hexdigest()[:16]}.json"
    with suppress(OSError, ValueError):  # none yet, or a damaged one
        return unseal(path.read_text(encoding="utf-8"))
    scores = compute()
    write_text(path, seal(scores))
    return scores


def shuffled(subject: Subject) -> dict[str, float]:
    """What the student scores when labels or captions are exchanged at random: it should be chance."""
    model, images = subject.student, subject.student.images
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0)).to(images.device)
    if model.kind == "classification":
        guesses = {"knn_top1": model.neighbours.predictions, "probe_top1": model.probe.predictions}
        return {name: agreement(predictions, model.labels[order]) for name, predictions in guesses.items()}
    mixed = retrieval(images[order], model.texts, model.owner)
    return {name: mixed[name] for name in ("image_to_text_r1", "text_to_image_r1")}
