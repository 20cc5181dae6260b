"""How a case was measured, on which data and with which teacher: the facts that a record keeps."""

from bench.data import prepared
from bench.features.extract import TeacherFeatures
from bench.measure import accuracy
from bench.measure.model import Model
from bench.plan.case import Case
from teachers import Teacher


def of_case(
    case: Case, features: TeacherFeatures, teacher: Teacher, student: Model, resident: bool, leakage: dict
) -> dict:
    """Plain data. ``resident``: whether what training read lay on the device."""
    concepts, classes = features.test.split.concepts, len(features.test.split.classes)
    data = probe = None
    if prepared.is_prepared_kind(case.dataset):
        manifest = prepared.manifest(case.dataset)
        data = {name: manifest[name] for name in ("subset", "archives", "skipped", "left_out", "splits")}
    if case.kind == "classification":
        probe = {"regularisation": student.probe.regularisation, "converged": student.probe.converged}
    named = len(concepts.names) if concepts else None
    guessed = {f"zero_shot_top{k}": 100 * min(k, named) / named for k in (1, 5)} if named else {}
    return {
        "in_batch_size": case.batch_size,
        "in_batch_chance": 100 / case.batch_size,
        "chance": accuracy.chance(features) | guessed,
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
        "data": data,
        "probe": probe,
    }
