"""Accuracies, all by one protocol for students, their teacher and raw pixels, and what a record keeps of it. Those that do not
name training images are of held-out ones.

Rows of :mod:`bench.metrics` name the first functions: each takes a :class:`bench.measure.model.Model`.
"""

from bench import data
from bench.data import prepared
from bench.features.extract import TeacherFeatures
from bench.measure.classification import knn_within
from bench.measure.fidelity import teachers_nearest
from bench.measure.in_batch import in_batch_accuracy
from bench.measure.model import Model
from bench.measure.retrieval import chance_recall
from bench.plan.case import Case
from teachers import Teacher


def neighbours(model: Model) -> dict[str, float]:
    """k-NN, of classification data."""
    return {"knn_top1": model.neighbours.top1, "knn_top5": model.neighbours.top5}


def training_neighbours(model: Model) -> float:
    """k-NN of as many training images as there are held-out ones, each classified by all the others."""
    return knn_within(model.bank, model.features.train.split.labels, len(model.images)).top1


def probe(model: Model) -> dict[str, float]:
    """The linear probe, of classification data."""
    return {"probe_top1": model.probe.top1, "probe_top5": model.probe.top5}


def recalls(model: Model) -> dict[str, float]:
    """Recall at 1, 5, 10 and median rank in both directions, of captions."""
    return {name: value for name, value in model.retrieval.items() if name != "image_to_text_map_r"}


def precision(model: Model) -> float:
    """mAP@R from image to text."""
    return model.retrieval["image_to_text_map_r"]


def of_concepts(model: Model) -> dict[str, float]:
    """Zero-shot classification; nothing where the data have no concepts."""
    result = model.zero_shot
    return {} if result is None else {"zero_shot_top1": result.top1, "zero_shot_top5": result.top5}


def in_batch(model: Model) -> float:
    """The paper's accuracy at the model's batch size."""
    return in_batch_accuracy(model.ranks, len(model.ranks), model.batch)


def headline(model: Model, teacher: Model | None) -> dict[str, float]:
    """What is followed over the epochs, in percent: k-NN, recall in both directions, or of images alone the share whose
    nearest one by the ``teacher`` is found."""
    if model.kind == "images":
        return teachers_nearest(model, teacher)
    return neighbours(model) if model.kind == "classification" else recalls(model)


def chance(features: TeacherFeatures) -> dict[str, float]:
    """What guessing scores in percent, by metric."""
    split, bank = features.test.split, len(features.train)
    if split.labels is None and split.owner is None:
        return {f"teachers_nearest_{k}": 100 * min(k, bank) / bank for k in (1, 10)}
    if split.owner is None:
        return {"knn_top1": 100 / len(split.classes), "probe_top1": 100 / len(split.classes)}
    to_text, to_image = chance_recall(split.owner, 1)
    return {"image_to_text_r1": to_text, "text_to_image_r1": to_image}


def protocol(
    case: Case, features: TeacherFeatures, teacher: Teacher, student: Model, resident: bool, leakage: dict
) -> dict:
    """How a case was measured, on which data and with which teacher: the facts that a record keeps, as plain data.

    ``resident``: whether what training read lay on the device.
    """
    concepts, classes = features.test.split.concepts, len(features.test.split.classes)
    files = fit = None
    if not case.is_drawn:
        manifest = prepared.manifest(data.source(case.dataset, case.images))
        files = {name: manifest[name] for name in ("subset", "archives", "skipped", "left_out", "splits")}
    if case.kind == "classification":
        fit = {"regularisation": student.probe.regularisation, "converged": student.probe.converged}
    named = len(concepts.names) if concepts else None
    guessed = {f"zero_shot_top{k}": 100 * min(k, named) / named for k in (1, 5)} if named else {}
    return {
        "in_batch_size": case.batch_size,
        "in_batch_chance": 100 / case.batch_size,
        "chance": chance(features) | guessed,
        "classes": classes or None,
        "zero_shot_classes": named,
        "zero_shot_images": int((concepts.labels >= 0).sum()) if concepts else None,
        "train_images": len(features.train),
        "test_images": len(features.test),
        "test_captions": len(features.test.split.captions),
        "features": "on the device" if resident else "streamed from disk",
        "feature_store": features.key,
        "teacher": teacher.provenance,
        "preprocessing": teacher.transform,
        "teacher_weights_sha256": features.weights_digest,
        "leakage": leakage,
        "data": files,
        "probe": fit,
    }
