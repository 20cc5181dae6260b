"""Images without labels, captions beside a teacher that reads none, labels beside one that does: each runs to its record."""

import pytest
import yaml

from bench.kit.progress import Progress
from bench.plan import matrix
from bench.plan.schema import Tolerance
from bench.prepare.own import make_ready
from bench.report import pages
from bench.report.content import Report
from bench.report.forms import csv
from bench.results import baseline, compare, record
from bench.run.job import Job
from bench.run.session import Session
from tests.bench.data.own import made

pytestmark = pytest.mark.usefixtures("little_measured")

PROFILE = {
    "weights": "pocket", "students": ["projection"], "epochs": [1], "seeds": [0], "samples": {"train": 48, "test": 24},
    "widths": {"embedding": 16, "bottleneck": 8, "trunk": "pocket"},
    "controls": ["untrained", "teacher", "raw-pixels", "no-distillation", "random-teacher"],
}  # fmt: skip
TRAINING = {"batch_size": 16, "learning_rate": 1e-3, "weight_decay": 0.05, "warmup_steps": 2}


def run(folder, pairs, **sections):
    """Run all cases of a matrix of these pairs; the cases with their records."""
    profile = PROFILE | {"pairs": pairs} | sections.pop("profile", {})
    path = folder / "matrix.yaml"
    path.write_text(yaml.safe_dump(sections | {"profiles": {"p": profile}, "training": TRAINING}))
    cases, progress = matrix.cases(matrix.load(path), "p", path), Progress(None)
    for case in cases:
        if case.images:
            make_ready(case.dataset, case.images, progress.say, progress.task)
    session = Session(Job(folder, cases, frozenset(case.id for case in cases), device="cpu"), progress)
    for case in cases:
        with session.recording(case) as entry:
            training = session.training(case)
            training.epoch()
            session.measure(case, training, entry)
    return {case: record.load(folder, case.id) for case in cases}


def test_captions_beside_a_teacher_that_reads_none_are_images_alone(tmp_path):
    [(case, entry)] = run(tmp_path, {"scenes": ["dino"]}).items()
    assert (case.kind, entry.status) == ("images", "done")
    assert entry.controls.keys() == {"untrained", "raw-pixels"}  # nothing to shuffle, and no task to train on
    measured = entry.metrics.keys() | entry.teacher.keys()
    assert not [
        name for name in measured if "top1" in name or "text" in name or "accuracy" in name or "agreement" in name
    ]
    assert {"teachers_nearest_1", "teachers_nearest_10", "neighbour_overlap_10", "cka", "similarity_kl"} <= measured
    assert all("teachers_nearest_10" in epoch for epoch in entry.curve)
    assert entry.protocol["chance"] == {
        "teachers_nearest_1": pytest.approx(100 / 48),
        "teachers_nearest_10": pytest.approx(1000 / 48),
    }
    text = pages.page(Report("p", [(case, entry)]))
    assert "| student | epochs | teacher's nearest, R@10 (%) | gain over untrained | student MB | deployed MB |" in text
    assert "Accuracy in full" not in text
    assert "teachers_nearest_10," in csv(Report("p", [(case, entry)]))
    file = tmp_path / "baseline.json"
    tolerances = {"teachers_nearest_10": Tolerance(absolute=1.0)}
    baseline.save(file, "p", (case,), {case: entry}, tolerances)
    assert compare.against(baseline.read(file), (case,), {case: entry}, tolerances).passed


def test_labels_beside_a_teacher_that_reads_text_are_asked_for_by_their_names(tmp_path):
    results = run(tmp_path, {"shapes": ["clip"]}, profile={"controls": ["untrained", "teacher"]})
    [(case, entry)] = results.items()
    assert (case.kind, entry.status) == ("classification", "done")
    assert {"knn_top1", "probe_top1", "zero_shot_top1", "zero_shot_top5"} <= entry.teacher.keys()
    assert "zero_shot_top1" not in entry.metrics and "knn_top1" in entry.metrics
    assert (entry.protocol["zero_shot_classes"], entry.protocol["zero_shot_images"]) == (12, 24)


def test_class_logits_are_a_probes_or_those_of_zero_shot_and_the_report_says_which(tmp_path):
    profile = {
        "students": ["densenet"], "controls": ["no-distillation"], "training": {"views": 2}, "losses": {"classification": ["dkd"]},
    }  # fmt: skip
    results = run(tmp_path, {"shapes": ["dino", "clip"]}, profile=profile)
    assert {case.id: entry.protocol.get("class_logits") for case, entry in results.items()} == {
        "shapes-dino-densenet-1ep": "a linear probe on its training features",
        "shapes-dino-densenet-1ep-no-distillation": None,
        "shapes-clip-densenet-1ep": "zero-shot by the classes' names",
        "shapes-clip-densenet-1ep-no-distillation": None,
    }
    assert {case.loss for case in results if case.control} == {"cross-entropy"}
    assert all(case.is_distilled and case.asks_teacher for case in results if not case.control)
    text = pages.page(Report("p", [*results.items()]))
    assert (
        "Class logits, where a loss compares them, are of clip on shapes zero-shot by the classes' names; of dino on shapes a "
        "linear probe on its training features." in text
    )


def test_a_folder_without_labels_runs_with_a_teacher_and_a_student_of_timm(tmp_path):
    made.folder(tmp_path / "photos", *(f"{number}.png" for number in range(100)))
    results = run(
        tmp_path, {"photos": ["tiny"]}, teachers={"tiny": {"timm": "test_vit", "size": 32}},
        datasets={"photos": {"images": str(tmp_path / "photos"), "size": 32}},
        profile={"weights": "random", "samples": {"train": "all", "test": "all"}, "controls": ["untrained"]},
    )  # fmt: skip
    [(case, entry)] = results.items()
    assert (case.kind, entry.status) == ("images", "done")
    assert entry.protocol["train_images"] + entry.protocol["test_images"] == 100
    assert entry.fingerprint == case.fingerprint
