"""The card of an export: its examples work as printed, and its metrics are the record's."""

import os
import re
import subprocess
import sys

import pytest
from huggingface_hub import ModelCard

from bench import controls
from bench.controls import without_distillation
from bench.export import card
from bench.export.loaded import CONFIG, Config
from bench.kit.checksum import unseal
from bench.kit.paths import ROOT
from bench.results import record
from tests.bench.export.three import HEAD, PIXELS, TOKENS


def card_of(exports, results, name, controls=None, teacher=None, **changes):
    """The card of an exported case, had its configuration or its controls been others."""
    config = Config.model_validate(unseal((exports(name) / CONFIG).read_text(encoding="utf-8")))
    training = config.training | changes.pop("training", {})
    teacher = config.teacher.model_copy(update=teacher or {})
    config = config.model_copy(update={"training": training, "teacher": teacher} | changes)
    entry = record.read(record.path_of(results, name))
    entry.controls = {} if controls is not None else entry.controls
    return card.text(entry, dict.fromkeys(controls or (), entry.metrics), config, None)


def written(exports, name):
    return (exports(name) / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [HEAD, TOKENS, PIXELS])
def test_the_examples_of_the_card_work_as_printed(exports, name):
    blocks = re.findall(r"```python\n(.*?)```", written(exports, name), re.DOTALL)
    assert len(blocks) == (2 if name == PIXELS else 1)
    script = "".join(f"{block}\nprint(tuple(images.shape))\n" for block in blocks)
    env, words = os.environ | {"PYTHONPATH": str(ROOT)}, [sys.executable, "-c", script]
    ran = subprocess.run(words, cwd=exports(name), env=env, capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["(2, 16)"] * len(blocks)


def test_the_card_has_the_records_metrics_as_the_hub_reads_them(results, exports):
    for name, metric in ((HEAD, "knn_top1"), (TOKENS, "text_to_image_r1")):
        card, entry = ModelCard.load(exports(name) / "README.md"), record.read(record.path_of(results, name))
        values = {result.metric_type: result.metric_value for result in card.data.eval_results}
        assert values[metric] == pytest.approx(entry.metrics[metric], abs=1e-4)
        assert card.data.library_name == "distill-bench" and card.data.datasets == [name.split("-")[0]]
        assert "knowledge-distillation" in card.data.tags and "pocket-teacher" in card.data.tags
        assert card.data.base_model is None  # pocket teachers are on no hub


def test_the_card_puts_the_student_beside_its_controls_and_its_teacher(results, exports):
    text = written(exports, HEAD)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    header = next(row for row in rows if "this student" in row and "chance" in row)
    values = dict(zip(header, next(row for row in rows if row[0] == "knn_top1 (%)"), strict=True))
    own, plain = (record.read(record.path_of(results, name)) for name in (HEAD, f"{HEAD}-no-distillation"))
    expected = {
        "this student": own.metrics, "untrained": own.controls["untrained"], "shuffled": own.controls["shuffled"],
        "no-distillation": plain.metrics, "the teacher itself": own.teacher,
    }  # fmt: skip
    assert {title: values[title] for title in expected} == {
        title: f"{scores['knn_top1']:.1f}" for title, scores in expected.items()
    }
    assert values["chance"] == "8.3"  # twelve classes
    assert "random-teacher" not in header and "random-teacher (not run)" in text


def test_the_card_says_what_must_run(exports):
    head, alone = (written(exports, name) for name in (TOKENS, PIXELS))
    assert "This is a head, not a model of its own" in head and "stands alone" not in head
    assert "It stands alone" in alone and "This is a head" not in alone
    assert "its text side is a head on clip's text features" in alone
    assert "pocket teacher" in head and "PCA" in head and "PCA" not in alone


@pytest.mark.parametrize(
    ("name", "loss", "task"),
    [(HEAD, "cross-entropy", "labels of *shapes*"), (PIXELS, "contrastive", "captions of *scenes*")],
)
def test_a_student_with_the_tasks_own_loss_is_not_called_distilled(exports, results, name, loss, task):
    plain = card_of(exports, results, name, training={"loss": loss})
    assert f"trained on the {task}" in plain and "nothing was distilled into it" in plain
    assert "This is a control" not in plain
    assert not re.search("distilled from|knowledge-distillation|Distillation added", plain)
    taught = card_of(exports, results, name, training={"loss": "rkd"})
    assert "distilled from the teacher" in taught and "nothing was distilled" not in taught
    assert "knowledge-distillation" in taught and "Distillation added" in taught


def test_the_card_of_the_control_without_distillation_does_not_contradict_itself(exports):
    text = written(exports, f"{HEAD}-no-distillation")
    assert "**This is a control: it was trained on the task alone, and nothing was distilled into it.**" in text
    assert "not measured for a control" in text and "ms (batch" not in text
    assert not re.search("distilled from|knowledge-distillation|Distillation added", text)


def test_what_distillation_added_is_said_only_beside_a_control(exports, results):
    text = card_of(exports, results, HEAD, controls=())
    assert "Distillation added" not in text and "* ." not in text
    text = card_of(exports, results, HEAD, controls=("no-distillation",))
    assert "untrained (not run), no-distillation, " in text


def test_a_new_control_is_a_column_and_explained_by_its_row(exports, results, monkeypatch):
    row = controls.Control(
        "slow", "a tenth of the rate", "the same at a tenth of the rate", without_distillation, gain=True
    )
    monkeypatch.setattr(card, "ROWS", (*controls.ROWS, row))
    text = card_of(exports, results, HEAD, controls=("slow",))
    assert "| this student | slow |" in text and "slow: the same at a tenth of the rate." in text
    assert "random-teacher (not run), slow." in text


@pytest.mark.parametrize(
    ("source", "reads", "loss", "named"),
    [
        ("some/teacher", "pooled", "cross-entropy", True),
        ("some/teacher", "pixels", "rkd", True),
        ("some/teacher", "pixels", "cross-entropy", False),
        ("local path", "pooled", "rkd", False),
        ("some-package 1.0", "pooled", "rkd", False),
    ],
)
def test_the_hub_gets_a_base_model_where_something_of_the_teacher_is_in_the_student(
    exports, results, source, reads, loss, named
):
    config = Config.model_validate(unseal((exports(HEAD) / CONFIG).read_text(encoding="utf-8")))
    hub = {"weights": "pretrained", "provenance": config.teacher.provenance | {"source": source}}
    text = card_of(exports, results, HEAD, reads=reads, training={"loss": loss}, teacher=hub)
    assert ModelCard(text).data.base_model == (source if named else None)
