"""Which weights the teacher of a case is loaded with, and after which epochs its student is scored."""

from dataclasses import replace

from bench.features.extract import weights_of
from bench.kit.progress import Progress
from bench.metrics import METRICS
from bench.plan import matrix
from bench.results import record
from bench.run.job import Job
from bench.run.session import Session


def kind_of(profile, name):
    cases = matrix.cases(matrix.load(), profile, controls=("random-teacher",))
    return weights_of(next(case for case in cases if case.id == name)).kind


def test_a_random_teacher_is_of_the_same_size_and_reads_no_weights():
    assert kind_of("pocket", "shapes-dino-cbam-5ep-random-teacher") == "untrained"
    assert kind_of("paper", "coco-blip-cbam-5ep-random-teacher") == "random"
    assert kind_of("paper", "coco-blip-cbam-5ep") == "pretrained"


def test_epochs_between_two_points_of_the_curve_are_not_evaluated_and_all_else_is_equal(
    tiny_matrix, tmp_path, little_measured
):
    """Of four epochs the second is a point, as every second one is; the third is what a shorter case ends with later."""
    first, ended = matrix.cases(matrix.load(tiny_matrix), "tiny", tiny_matrix)[0], {}
    for every in (1, 2):
        for epochs in (4, 3):
            case = replace(first, epochs=epochs, evaluate_every=every)
            job = Job(tmp_path / str(every), (case,), frozenset({case.id}), device="cpu")
            Session(job, Progress(None)).run(case, lambda epoch, count: [epoch() for _ in range(count)])
            ended[epochs, every] = record.load(job.folder, case.id)
    assert [entry["epoch"] for entry in ended[4, 2].curve if "knn_top1" in entry] == [0, 2, 4]
    for epochs in (4, 3):
        each, second = ended[epochs, 1], ended[epochs, 2]
        assert second.status == "done" and second.fingerprint == each.fingerprint
        assert second.curve[-1]["knn_top1"] == second.metrics["knn_top1"] == each.curve[-1]["knn_top1"]
        assert [entry["loss"] for entry in second.curve[1:]] == [entry["loss"] for entry in each.curve[1:]]
        names = [name for name in METRICS if METRICS[name].group in ("accuracy", "fidelity")]
        assert {name: second.metrics.get(name) for name in names} == {name: each.metrics.get(name) for name in names}
