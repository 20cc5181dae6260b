"""What a student costs to run, on the shipped dino teacher and a few drawn images; sizes against the paper's and hand counts."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

import teachers
from bench import data
from bench.features.device import Device
from bench.features.extract import Needs, Pass, extract
from bench.kit import paths
from bench.kit.paths import ROOT
from bench.measure import cost
from bench.measure.cost import megabytes
from bench.plan import matrix
from bench.report.paper import publication
from bench.report.paper.full_sizes import paper_sizes
from students import Dims, build
from tests.bench.counting import silent

CASES = {
    case.student: case
    for case in matrix.cases(matrix.load(), "pocket")
    if case.teacher == "dino" and case.epochs == 5 and case.seed == 0
}
RUNNING = {
    "latency_ms_batch_1", "latency_ms_batch_64", "images_per_second", "inference_memory_mb", "energy_mj_per_image",
}  # fmt: skip


@pytest.fixture(scope="module")
def dino():
    return teachers.load("dino", "pocket")


@pytest.fixture(scope="module")
def extracted(dino, tmp_path_factory):
    before = paths.data_folder()
    paths.use(tmp_path_factory.mktemp("data"))
    work = Pass("shapes-dino", dino, Device("cpu", "fp32").torch, "fp32", Needs(True, False), str, silent)
    yield extract(work, data.load("shapes", "train", 8), data.load("shapes", "test", 70))
    paths.use(before)


def student_cost(name, dino, extracted):
    """The student and its costs; it refuses to run with gradients, which would keep all activations in memory."""
    case = CASES[name]
    student = build(name, Dims(extracted.train.width, case.embedding, case.bottleneck, case.trunk), case.kind).eval()
    student.image_tower.register_forward_pre_hook(_without_gradients)
    return student, cost.student_cost(case, student, dino, extracted, Device("cpu", "fp32"))


def test_a_head_needs_its_teachers_memory_and_its_own_weights(dino, extracted):
    """A projection adds its weights; the peak of the rest lies inside the teacher for both."""
    own = cost.teacher_cost(dino, extracted, Device("cpu", "fp32"))
    student, costs = student_cost("projection", dino, extracted)
    assert costs.keys() == own.keys() >= RUNNING
    added = megabytes(student.image_tower)
    assert costs["inference_memory_mb"] == pytest.approx(own["inference_memory_mb"] + added, abs=1e-6)
    assert own["inference_memory_mb"] > own["deployed_mb"]


def test_a_cnn_is_measured_without_the_teacher(dino, extracted):
    class Refusing:
        def image(self, pixels):
            raise AssertionError("the teacher ran")

        vision = image

    _, costs = student_cost("resnet", Refusing(), extracted)
    # Weights, and 64 images as bytes and as floats, at the least.
    assert costs["inference_memory_mb"] > costs["deployed_mb"] + 64 * 3 * 32 * 32 * 5 / 2**20


def test_the_whole_batch_runs_and_a_cpu_has_no_energy(dino, extracted, monkeypatch):
    """70 images at hand or only 5: a batch is 64 in every measure but that of one image."""
    sizes = set()

    def watch(call, *rest):
        call()
        return 1.0

    for name in ("latency_ms", "images_per_second", "inference_memory_mb"):
        monkeypatch.setattr(cost, name, lambda call, *rest, **options: watch(call))
    monkeypatch.setattr(dino, "image", lambda pixels, ask=dino.image: sizes.add(len(pixels)) or ask(pixels))
    few = replace(extracted, test=_first(extracted.test, 5))
    for features in (extracted, few):
        sizes.clear()
        costs = student_cost("projection", dino, features)[1]
        assert sizes == {1, 64} and costs["energy_mj_per_image"] is None


def _without_gradients(module, inputs):
    assert not torch.is_grad_enabled()


def _first(features, count):
    """The same features, of fewer images."""
    fewer = object.__new__(type(features))
    fewer.__dict__ |= features.__dict__ | {"split": replace(features.split, pixels=features.split.pixels[:count])}
    return fewer


def test_at_least_nine_of_the_eleven_agree_to_the_printed_decimals_and_the_rest_within_a_thousandth():
    rows = paper_sizes()
    printed = {(t.dataset, s): text for t in publication.paper().tables for s, text in t.size_mb.items()}
    assert len(rows) == len(printed) == 11
    agree = 0
    for row in rows:
        text = printed[row["dataset"], row["student"]]
        decimals = len(text.partition(".")[2])
        if f"{row['size_mb']:.{decimals}f}" == text:
            agree += 1
        else:
            assert row["size_mb"] == pytest.approx(float(text), rel=0.001)
    assert agree >= 9


@pytest.mark.parametrize(
    ("dataset", "student", "by_hand"),
    [
        ("coco", "projection", 2 * (512 * 256 + 256)),
        ("coco", "bottleneck", 2 * (512 * 128 + 128 + 128 * 256 + 256)),
        ("coco", "attention", 2 * (4 * 512 * 512 + 4 * 512 + 512 * 256 + 256)),
        ("coco", "cbam", 2 * (2 * 512 * 32 + 2 * 49) + 2 * (512 * 256 + 256)),
        ("tiny-imagenet", "attention", 4 * 768 * 768 + 4 * 768 + 768 * 256 + 256),
        # 11,176,512 and 6,953,856: the published ResNet-18 (11,689,512) and DenseNet-121 (7,978,856) less their classifiers.
        ("tiny-imagenet", "resnet", 11_689_512 - 513_000 + 512 * 128 + 128 + 128 * 256 + 256),
        ("tiny-imagenet", "densenet", 7_978_856 - 1_025_000 + 1024 * 128 + 128 + 128 * 256 + 256),
    ],
)
def test_parameters_by_hand(dataset, student, by_hand):
    counted = {(row["dataset"], row["student"]): row["parameters"] for row in paper_sizes()}
    assert counted[dataset, student] == by_hand


def test_a_teacher_that_is_counted_once_counts_as_one_that_runs_for_each_student():
    counted = cost.full_size("tiny-imagenet", "classification", "attention", 768, ["dino"])["deployed"]["dino"]
    with torch.device("meta"):
        student, dino = build("attention", Dims(768), "classification").eval(), teachers.load("dino", "random")
        whole = cost.macs_without_weights(cost.Deployed(student, "tokens", dino), torch.empty(1, 3, 224, 224))
    assert counted["macs"] == whole > counted["student_macs"] > 0


def test_the_command_prints_json():
    ran = subprocess.run(
        [sys.executable, "-m", "bench", "sizes", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    rows = json.loads(ran.stdout)
    assert len(rows) == 11
    assert set(rows[0]) == {"dataset", "student", "parameters", "size_mb", "paper_mb"}
