"""What a newcomer adds is one file, or one row and one function: added to a copy of the checkout, and run there."""

import csv
import json
import re
import shutil

import pytest

from bench.kit.paths import ROOT
from tests.forking import Order

STUDENT = """
from torch import nn

READS = "tokens"
ATTENTION = True
TEXT_READS = "pooled"
LOSS = {"classification": "logit-matching", "captions": "logit-matching"}


class Mean(nn.Module):
    def __init__(self, dims):
        super().__init__()
        self.look, self.project = nn.Linear(dims.features, 1), nn.Linear(dims.features, dims.embedding)

    def forward(self, tokens):
        attention = self.look(tokens[:, 1:]).softmax(dim=1)
        return self.project((attention * tokens[:, 1:]).sum(dim=1)), attention[:, :, 0]


def image_tower(dims):
    return Mean(dims)
"""
DOCS = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
(TEACHER,) = (sample for sample in re.findall(r"```python\n(.+?)```", DOCS, re.DOTALL) if "ImageFeatures" in sample)
DATASET = """
import torch

from bench.data.split import Split

KIND = "classification"
PREPARED = False


def load(split, count, seed):
    labels = torch.arange(count) % 2
    noise = torch.randint(0, 60, (count, 3, 32, 32), generator=torch.Generator().manual_seed(len(split)))
    return Split((noise + 150 * labels.view(-1, 1, 1, 1)).to(torch.uint8), classes=("dark", "bright"), labels=labels)
"""
LOSS = """
import torch
from torch import nn

NEEDS = "attention"
TARGETS = ("attention", "joint")


class Loss(nn.Module):
    def __init__(self, widths):
        super().__init__()

    def forward(self, student, teacher):
        return (student.images @ student.images.T - teacher.images @ teacher.images.T).square().mean()
"""
METRIC = """
    Metric("spread", "share", "higher", "spread of embeddings", 2, "accuracy", "spread:spread"),
"""
METRIC_FUNCTION = """
def spread(model):
    return model.images.std(dim=0).mean().item()
"""
CONTROL = """
    Control("slow", "a tenth of the rate", "the same student at a tenth of the rate", trained=slowly, gain=True),
"""
CONTROL_FUNCTION = """
def slowly(case):
    return replace(case, learning_rate=case.learning_rate / 10)


ROWS = ("""
MATRIX = """
profiles:
  mine:
    weights: random
    pairs: {dots: [blocks]}
    students: [mine]
    losses: {classification: [squares, attention-transfer]}
    epochs: [1]
    seeds: [0]
    samples: {train: 64, test: 40}
    widths: {embedding: 8, bottleneck: 4, trunk: pocket}
    controls: [untrained, teacher, slow]
training: {batch_size: 16, learning_rate: 1.0e-2, weight_decay: 0.05, warmup_steps: 2}
tolerances: {spread: 0.0}
"""


@pytest.fixture(scope="module")
def added(server, tmp_path_factory):
    """A copy of the checkout with one of each, in which the whole profile ran; its results."""
    root = tmp_path_factory.mktemp("newcomer")
    ignored = shutil.ignore_patterns("__pycache__", "runs", "*.svg", "records*")
    for name in ("bench", "students", "teachers", "reports"):
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    shutil.copyfile(ROOT / "pyproject.toml", root / "pyproject.toml")
    (root / "matrix.yaml").write_text(MATRIX)
    (root / "students" / "mine.py").write_text(STUDENT)
    (root / "teachers" / "blocks.py").write_text(TEACHER)
    (root / "bench" / "data" / "dots.py").write_text(DATASET)
    (root / "bench" / "training" / "losses" / "squares.py").write_text(LOSS)
    (root / "bench" / "measure" / "spread.py").write_text(METRIC_FUNCTION)
    for name, before, after in (
        ("metrics.py", "ROWS = (", f"ROWS = ({METRIC}"),
        ("controls.py", "ROWS = (", f"{CONTROL_FUNCTION}{CONTROL}"),
    ):
        file = root / "bench" / name
        file.write_text(file.read_text().replace(before, after, 1))

    def run(*words):
        ran = server([Order(["-m", *words, "--profile", "mine"], str(root))])[0]
        assert ran.status == 0, ran.output

    run("pytest", "bench", "-p", "no:cacheprovider", "--save-baseline", "baseline.json")
    run("pytest", "bench", "-p", "no:cacheprovider", "--baseline", "baseline.json")
    run("bench", "report", "--csv")
    results = root / "reports" / "runs" / "mine"
    records = {path.stem: json.loads(path.read_text()) for path in (results / "records").glob("*.json")}
    return root, results, records


def test_a_student_a_teacher_a_dataset_and_a_loss_are_one_file_each(added):
    """The student's own default loss is another one: with an attention map any loss of attention may train it."""
    _, _, records = added
    assert set(records) == {
        f"dots-blocks-mine-1ep-{loss}{control}"
        for loss in ("squares", "attention-transfer")
        for control in ("", "-slow")
    }
    assert all(record["status"] == "done" for record in records.values())


def test_a_metric_is_a_row_and_a_function_and_appears_in_record_report_csv_and_gate(added):
    root, results, records = added
    for record in records.values():
        assert 0 < record["metrics"]["spread"]["value"] < 1 and record["metrics"]["spread"]["unit"] == "share"
    assert "spread of embeddings" in (results / "report.md").read_text()
    rows = list(csv.DictReader((results / "report.csv").open(newline="")))
    assert len([row for row in rows if row["metric"] == "spread"]) == len(records)
    baseline = json.loads((root / "baseline.json").read_text())
    assert all("spread" in case["metrics"] for case in baseline["cases"].values())


def test_a_control_is_a_row_and_a_function_and_a_column_of_the_report(added):
    _, results, records = added
    name = "dots-blocks-mine-1ep-squares"
    rates = [records[case]["case"]["learning_rate"] for case in (name, f"{name}-slow")]
    assert rates == [1e-2, 1e-3]
    assert "over a tenth of the rate" in (results / "report.md").read_text()
