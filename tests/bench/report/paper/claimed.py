"""Cases and records made for claims, and claims written for tests."""

from dataclasses import replace

import yaml

from bench.plan import matrix
from bench.report.paper import claim_figures, claims, publication
from bench.results import record

POCKET = matrix.cases(matrix.load(), "pocket")
DATASETS = {"dino": "shapes", "beit": "shapes", "clip": "scenes", "blip": "scenes"}
STUDENTS = ("projection", "bottleneck", "attention", "cbam", "resnet", "densenet")
ABOVE = "{accuracy: {teacher: blip, student: cbam, epochs: 5}, minus: {student: [projection, attention]}, above: 0}"


def entry(teacher, student, epochs, accuracy, *, seed=0, status="done", top=None, seconds=1.0, own=90.0, **changes):
    """A case and its record: the paper's accuracy, the headline (one less unless given), the teacher's own, its pass."""
    case = next(one for one in POCKET if (one.dataset, one.teacher) == (DATASETS[teacher], teacher))
    case = replace(
        case, student=student, epochs=epochs, seed=seed, **{"control": None, "several_losses": False} | changes
    )
    top = accuracy - 1 if top is None else top
    kind = ("knn_top1",) if case.kind == "classification" else ("image_to_text_r1", "text_to_image_r1")
    outcome = record.Record(id=case.id, case={}, fingerprint="")
    outcome.status = status
    outcome.metrics = dict.fromkeys(kind, top) | {
        "paper_accuracy": accuracy, "deployed_mb": 5.0, "epoch_seconds": seconds, "teacher_pass_seconds": seconds
    }  # fmt: skip
    outcome.teacher = dict.fromkeys(kind, own) | {"paper_accuracy": own, "deployed_mb": 4.0}
    return case, outcome


def claim(*tests):
    """A claim that has these tests, in YAML."""
    return publication.Claim(
        id="mine", where="5.1, BLIP", says="it does", tests=[yaml.safe_load(test) for test in tests]
    )


def measured(chosen, *tests, score=lambda _, scores: scores["paper_accuracy"]):
    return claims.verdict(claim(*tests), claim_figures.measured(claim_figures.claimed(chosen), score))
