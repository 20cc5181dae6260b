"""The card of an export: its examples work as printed, and its metrics are the record's."""

import os
import re
import subprocess
import sys

import pytest
from huggingface_hub import ModelCard

from bench.export import card
from bench.export.loaded import CONFIG, Config
from bench.kit.checksum import unseal
from bench.kit.paths import ROOT
from bench.results import record
from tests.bench.export.three import HEAD, PIXELS, TOKENS


def python_blocks(folder):
    return re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("name", [HEAD, TOKENS, PIXELS])
def test_the_examples_of_the_card_work_as_printed(exports, name):
    folder = exports(name)
    blocks = python_blocks(folder)
    assert len(blocks) == (2 if name == PIXELS else 1)
    script = "".join(f"{block}\nprint(tuple(images.shape))\n" for block in blocks)
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", script]
    ran = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["(2, 16)"] * len(blocks)


def test_the_card_has_the_records_metrics_as_the_hub_reads_them(results, exports):
    for name, metric in ((HEAD, "knn_top1"), (TOKENS, "text_to_image_r1")):
        card, found = ModelCard.load(exports(name) / "README.md"), record.read(record.path_of(results, name))
        values = {result.metric_type: result.metric_value for result in card.data.eval_results}
        assert values[metric] == pytest.approx(found.metrics[metric], abs=1e-4)
        assert card.data.library_name == "distill-bench" and card.data.datasets == [name.split("-")[0]]
        assert "knowledge-distillation" in card.data.tags and "pocket-teacher" in card.data.tags
        assert card.data.base_model is None  # pocket teachers are on no hub


def test_the_card_puts_the_student_beside_its_controls_and_its_teacher(results, exports):
    text = (exports(HEAD) / "README.md").read_text(encoding="utf-8")
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
    head, alone = ((exports(name) / "README.md").read_text(encoding="utf-8") for name in (TOKENS, PIXELS))
    assert "This is a head, not a model of its own" in head and "stands alone" not in head
    assert "It stands alone" in alone and "This is a head" not in alone
    assert "its text side is a head on clip's text features" in alone
    assert "pocket teacher" in head and "PCA" in head and "PCA" not in alone


def card_of(exports, results, name, loss):
    """The card of an exported case, had it been trained with another loss."""
    config = Config.model_validate(unseal((exports(name) / CONFIG).read_text(encoding="utf-8")))
    config = config.model_copy(update={"training": config.training | {"loss": loss}})
    return card.text(record.read(record.path_of(results, name)), {}, config, None)


@pytest.mark.parametrize(
    ("name", "loss", "task"),
    [(HEAD, "cross-entropy", "labels of *shapes*"), (PIXELS, "contrastive", "captions of *scenes*")],
)
def test_a_student_with_the_tasks_own_loss_is_not_called_distilled(exports, results, name, loss, task):
    plain = card_of(exports, results, name, loss)
    assert f"trained on the {task}" in plain and "nothing was distilled into it" in plain
    assert "This is a control" not in plain
    assert not re.search("distilled from|knowledge-distillation|Distillation added", plain)
    taught = card_of(exports, results, name, "rkd")
    assert "distilled from the teacher" in taught and "nothing was distilled" not in taught
    assert "knowledge-distillation" in taught and "Distillation added" in taught


def test_the_card_of_the_control_without_distillation_does_not_contradict_itself(exports):
    text = (exports(f"{HEAD}-no-distillation") / "README.md").read_text(encoding="utf-8")
    assert "**This is a control: it was trained on the task alone, and nothing was distilled into it.**" in text
    assert "not measured for a control" in text and "latency" not in text
    assert not re.search("distilled from|knowledge-distillation|Distillation added", text)


def test_what_distillation_added_is_told_only_beside_a_control(exports, results):
    config = Config.model_validate(unseal((exports(HEAD) / CONFIG).read_text(encoding="utf-8")))
    found = record.read(record.path_of(results, HEAD))
    found.controls = {}
    text = card.text(found, {}, config, None)
    assert "Distillation added" not in text and "* ." not in text
    assert "untrained (not run), no-distillation, " in card.text(
        found, {"no-distillation": found.metrics}, config, None
    )


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
def test_the_hub_is_told_of_a_base_model_where_something_of_the_teacher_is_in_the_student(
    exports, results, source, reads, loss, named
):
    config = Config.model_validate(unseal((exports(HEAD) / CONFIG).read_text(encoding="utf-8")))
    hub = {"weights": "pretrained", "provenance": config.teacher.provenance | {"source": source}}
    changes = {"reads": reads, "training": config.training | {"loss": loss}}
    config = config.model_copy(update=changes | {"teacher": config.teacher.model_copy(update=hub)})
    found = ModelCard(card.text(record.read(record.path_of(results, HEAD)), {}, config, None))
    assert found.data.base_model == (source if named else None)
