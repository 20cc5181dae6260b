"""An export of what nobody committed: a data set and a student of one's own in a checkout with uncommitted changes."""

import shutil
import subprocess

import pytest

from bench.export.loaded import CONFIG
from bench.kit.files import unseal
from bench.kit.paths import ROOT
from tests.forking import Order

CASE = "mine-dino-own-1ep"
STUDENT = """
from torch import nn

READS = "pooled"
TEXT_READS = "pooled"
LOSS = {"classification": "logit-matching", "captions": "combined"}


def image_tower(dims):
    return nn.Linear(dims.features, dims.embedding)


def text_tower(dims):
    return nn.Linear(dims.features, dims.embedding)
"""
DATASET = """
import torch

from bench.data.split import Split

KIND = "classification"
PREPARED = False


def load(split, count, seed=0):
    labels = torch.arange(count) % 2
    noise = torch.randint(0, 60, (count, 3, 32, 32), generator=torch.Generator().manual_seed(len(split)))
    return Split((noise + 150 * labels.view(-1, 1, 1, 1)).to(torch.uint8), classes=("dark", "bright"), labels=labels)
"""
MATRIX = """
profiles:
  own:
    weights: pocket
    pairs: {mine: [dino]}
    students: [own]
    epochs: [1]
    seeds: [0]
    samples: {train: 64, test: 40}
    widths: {embedding: 8, bottleneck: 4, trunk: pocket}
    controls: []
training: {batch_size: 16, learning_rate: 1.0e-2, weight_decay: 0.05, warmup_steps: 2}
tolerances: {knn_top1: 2.0}
"""
LACKS = "that commit lacks students/own.py, bench/data/mine.py"


def git(root, *words):
    return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def own(server, tmp_path_factory):
    """A clone in which the case ran and was exported, and its commit."""
    root = tmp_path_factory.mktemp("own")
    for name in ("bench", "students", "teachers", "reports"):
        shutil.copytree(
            ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "runs", "*.svg", "records*")
        )
    shutil.copyfile(ROOT / "pyproject.toml", root / "pyproject.toml")
    (root / "matrix.yaml").write_text(MATRIX)
    (root / ".gitignore").write_text("__pycache__\n/reports/runs\n")
    for words in (["init"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-m", "all of it"]):
        git(root, *words)
    (root / "students" / "own.py").write_text(STUDENT)
    (root / "bench" / "data" / "mine.py").write_text(DATASET)
    case = ["bench", "-p", "no:cacheprovider", "--profile", "own", "--precision", "fp32"]
    for words in (["pytest", *case], ["bench", "export", CASE, "--profile", "own", "--to", "exported"]):
        ran = server([Order(["-m", *words], str(root))])[0]
        assert ran.status == 0, ran.output
    return root, git(root, "rev-parse", "HEAD")


def test_a_licence_that_is_not_stated_is_said_so_and_not_made_up(own):
    root, _ = own
    text = (root / "exported" / "README.md").read_text(encoding="utf-8")
    assert "* Data: mine, 64 training images. Licence: not stated.\n" in text
    assert "Teacher's weights: not stated. Data: not stated." in text and "\nlicense: unknown\n" in text
    assert "generator" not in text and unseal((root / "exported" / CONFIG).read_text())["dataset"]["licence"] is None


def test_the_card_names_the_files_that_the_commit_lacks(own):
    root, commit = own
    text = (root / "exported" / "README.md").read_text(encoding="utf-8")
    assert text.count(f"commit `{commit}` with uncommitted changes; {LACKS}") == 2


@pytest.mark.parametrize(
    ("student", "message"),
    [
        (None, "there is no student 'own' here"),
        (STUDENT.replace("Linear(", "Bilinear(3, "), "does not fit the student"),
    ],
)
def test_so_does_the_error_where_its_student_is_not_there_or_another(server, own, student, message):
    root, commit = own
    file = root / "students" / "own.py"
    try:
        file.unlink() if student is None else file.write_text(student)
        ran = server([Order(["-c", "from bench.export import load; load('exported')"], str(root))])[0]
    finally:
        file.write_text(STUDENT)
    assert message in ran.output
    assert f"trained at commit `{commit}` with uncommitted changes; {LACKS}" in ran.output
