"""What all cases of one teacher and dataset share, and what a record keeps of it."""

from dataclasses import dataclass

from bench.data import prepared
from bench.features.extract import TeacherFeatures
from bench.measure import accuracy
from bench.plan.case import Case
from bench.training.run import Run
from teachers import Teacher


@dataclass(frozen=True)
class Shared:
    """A teacher, its features and embeddings, its own accuracies and cost, and what it may have seen before."""

    teacher: Teacher
    distilled: TeacherFeatures
    embedded: accuracy.Embedded
    scored: accuracy.Scored
    cost: dict[str, float]
    leakage: dict


def protocol(case: Case, run: Run, shared: Shared) -> dict:
    """How a case was measured, on which data and with which teacher, as plain data."""
    distilled = shared.distilled
    concepts, classes = distilled.test.split.concepts, len(distilled.test.split.classes)
    named = len(concepts.names) if concepts else None
    guessed = {f"zero_shot_top{k}": 100 * min(k, named) / named for k in (1, 5)} if named else {}
    return {
        "in_batch_size": case.batch_size,
        "in_batch_chance": 100 / case.batch_size,
        "chance": accuracy.chance(distilled) | guessed,
        "classes": classes or None,
        "zero_shot_classes": named,
        "zero_shot_images": int((concepts.labels >= 0).sum()) if concepts else None,
        "train_images": len(distilled.train),
        "test_images": len(distilled.test),
        "test_captions": len(distilled.test.split.captions),
        "features": "on the device" if run.resident else "streamed from disk",
        "feature_store": distilled.key,
        "timed_on": {"epoch_seconds": run.epoch_seconds()[1], "teacher_pass_seconds": distilled.machine},
        "teacher": shared.teacher.provenance,
        "teacher_weights_sha256": distilled.weights_digest,
        "leakage": shared.leakage,
        "data": _data_facts(case),
    }


def training_metrics(run: Run, distilled: TeacherFeatures) -> dict[str, float]:
    """Seconds of an epoch and of the teacher's pass, and what the reduction of its features kept."""
    cost = {"epoch_seconds": run.epoch_seconds()[0], "teacher_pass_seconds": distilled.seconds}
    if distilled.image_pca:
        cost["explained_variance_image"] = distilled.image_pca.explained_variance
        cost["explained_variance_text"] = distilled.text_pca.explained_variance
    return cost


def _data_facts(case: Case) -> dict | None:
    """What a record keeps of a prepared dataset."""
    if not prepared.is_prepared_kind(case.dataset):
        return None
    manifest = prepared.manifest(case.dataset)
    return {name: manifest[name] for name in ("subset", "archives", "skipped", "left_out", "splits")}
