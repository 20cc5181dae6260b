"""The card of an export: its examples work as printed, and its metrics are the record's."""

import re

import pytest
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries

from bench.export import card
from bench.export.loaded import CONFIG, Config
from bench.kit.files import unseal
from bench.kit.paths import ROOT
from bench.results import record
from tests.bench.export.three import HEAD, PIXELS, TIMM, TOKENS
from tests.forking import Order

DISTILLED = "distilled from|knowledge-distillation|Distillation added"


def text_of(folder):
    return (folder / "README.md").read_text(encoding="utf-8")


def card_of(exports, results, name, *, controls=None, trained=(), teacher=(), **changes):
    """The card of an exported case, had its configuration, its teacher's or its record other values."""
    config = Config.model_validate(unseal((exports[name] / CONFIG).read_text(encoding="utf-8")))
    config = config.model_copy(update=changes | {"teacher": config.teacher.model_copy(update=dict(teacher))})
    entry = record.load(results, name)
    if controls is not None:
        entry.controls = controls
    return card.text(entry, dict(trained), config, None)


@pytest.mark.parametrize(("name", "count"), [(HEAD, 1), (TOKENS, 1), (PIXELS, 3), (TIMM, 4)])
def test_the_examples_of_the_card_work_as_printed(server, exports, name, count):
    """Those that need no checkout without one."""
    blocks = re.findall(r"```python\n(.*?)```", text_of(exports[name]), re.DOTALL)
    assert len(blocks) == count
    with_checkout = next(row for row, block in enumerate(blocks) if "from bench" in block)
    assert with_checkout == {PIXELS: 2, TIMM: 2}.get(name, 0)
    blocks[with_checkout] = f"import sys\nsys.path.append({str(ROOT)!r})\n{blocks[with_checkout]}"
    script = "".join(f"{block}\nprint(tuple(images.shape))\n" for block in blocks)
    ran = server([Order(["-c", script], str(exports[name]))])[0]
    assert ran.status == 0, ran.output
    assert ran.output.splitlines() == ["(2, 16)"] * len(blocks)


@pytest.mark.parametrize(("name", "metric"), [(HEAD, "knn_top1"), (TOKENS, "text_to_image_r1")])
def test_the_card_has_the_records_metrics_as_the_hub_reads_them(results, exports, name, metric):
    data, entry = ModelCard.load(exports[name] / "README.md").data, record.load(results, name)
    values = {result.metric_type: result.metric_value for result in data.eval_results}
    assert values[metric] == pytest.approx(entry.metrics[metric], abs=1e-4)
    assert data.library_name == "distill-bench" and data.datasets == [name.split("-")[0]]
    assert {"knowledge-distillation", "pocket-teacher"} <= {*data.tags}
    assert data.base_model is None  # pocket teachers are on no hub


@pytest.mark.parametrize("name", [HEAD, TOKENS])
def test_the_hubs_evaluation_results_are_those_of_the_cards_index(results, exports, name):
    [file] = (exports[name] / ".eval_results").iterdir()
    entries = parse_eval_result_entries(yaml.safe_load(file.read_text()))
    index = ModelCard.load(exports[name] / "README.md").data.eval_results
    assert {one.task_id: one.value for one in entries} == {one.metric_type: one.metric_value for one in index}
    entry = record.load(results, name)
    assert {one.dataset_id for one in entries} == {f"distill-bench/{name.split('-')[0]}"}
    assert all(
        one.date == entry.started and one.notes.endswith(f"seed 0, fingerprint {entry.fingerprint}") for one in entries
    )


def test_the_card_puts_the_student_beside_its_controls_and_its_teacher(results, exports):
    text = text_of(exports[HEAD])
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    header = next(row for row in rows if "chance" in row)
    values = dict(zip(header, next(row for row in rows if row[0] == "knn_top1 (%)"), strict=True))
    own, plain = (record.load(results, name) for name in (HEAD, f"{HEAD}-no-distillation"))
    scores = {
        "this student": own.metrics, "untrained": own.controls["untrained"], "shuffled": own.controls["shuffled"],
        "no-distillation": plain.metrics, "the teacher itself": own.teacher, "chance": {"knn_top1": 100 / 12},
    }  # fmt: skip
    assert values == {"": "knn_top1 (%)"} | {title: f"{each['knn_top1']:.1f}" for title, each in scores.items()}
    assert "random-teacher (not run)" in text
    assert ["size_mb (MB)", f"{own.metrics['size_mb']:.3f}"] in rows


def test_the_card_says_what_must_run(exports):
    head, alone = text_of(exports[TOKENS]), text_of(exports[PIXELS])
    assert "This is a head, not a model of its own" in head and "stands alone" not in head
    assert "It stands alone" in alone and "This is a head" not in alone
    assert "its text side is a head on clip's text features" in alone
    assert (
        "the teacher sees all of it, squashed to 32 px, bicubic (published)." in " ".join(head.split())
        and "the teacher sees" not in alone
    )
    assert "pocket teacher" in head and "PCA" in head and "PCA" not in alone


@pytest.mark.parametrize(
    ("hardware", "note"),
    [
        ({"load_average": 5.2, "cores": 2, "threads": 1}, ", measured with a load average of 5.2 on 2 cores."),
        ({"load_average": 5.2, "cores": 8, "threads": 5}, "."),
        ({"load_average": 2.01, "cores": 8, "threads": 1}, ", measured with a load average of 2.0 on 8 cores."),
        ({"load_average": 2.0, "cores": 2, "threads": 1}, "."),
        ({"cores": 2, "threads": 1}, "."),  # an older record, or a system that does not tell
    ],
)
def test_latency_taken_under_load_is_said_beside_it(exports, results, hardware, note):
    entry = record.load(results, HEAD).environment
    known = {key: value for key, value in entry["hardware"].items() if key != "load_average"} | hardware
    text = card_of(exports, results, HEAD, environment=entry | {"hardware": known})
    assert f", {hardware['threads']} threads){note}\n" in text


def test_a_stated_licence_is_in_the_data_and_the_licence_line(exports, results):
    own = text_of(exports[HEAD])
    drawn = "Drawn by the suite's own seeded generator: no picture or caption of anybody else's"
    assert f"training images. Licence: {drawn}.\n" in own
    assert f"Teacher's weights: not stated. Data: {drawn}." in own and ModelCard(own).data.license == "unknown"
    text = card_of(exports, results, HEAD, teacher={"licence": "Apache 2.0"})
    assert "Teacher's weights: Apache 2.0. Data: Drawn" in text and ModelCard(text).data.license == "other"


@pytest.mark.parametrize(
    ("name", "loss", "task"), [(HEAD, "cross-entropy", "labels"), (PIXELS, "contrastive", "captions")]
)
def test_a_student_with_the_tasks_own_loss_is_not_called_distilled(exports, results, name, loss, task):
    plain, distilled = (
        card_of(exports, results, name, training=record.load(results, name).case | {"loss": each})
        for each in (loss, "rkd")
    )
    assert f"trained on the {task} of" in plain and "nothing was distilled into it" in plain
    assert "This is a control" not in plain and not re.search(DISTILLED, plain)
    assert "distilled from the teacher" in distilled and "nothing was distilled" not in distilled
    assert "knowledge-distillation" in distilled and "Distillation added" in distilled


def test_the_card_of_the_control_without_distillation_does_not_contradict_itself(exports):
    text = text_of(exports[f"{HEAD}-no-distillation"])
    assert "**This is a control: it was trained on the task alone, and nothing was distilled into it.**" in text
    assert "not measured for a control" in text and "latency" not in text
    assert not re.search(DISTILLED, text)


def test_what_distillation_added_is_said_only_beside_a_control(exports, results):
    assert "Distillation added" not in card_of(exports, results, HEAD, controls={})
    scores = record.load(results, HEAD).metrics
    text = card_of(exports, results, HEAD, controls={}, trained={"no-distillation": scores})
    assert "untrained (not run), no-distillation, " in text


@pytest.mark.parametrize(
    ("source", "reads", "loss", "named"),
    [
        ("some/teacher", "pooled", "cross-entropy", True),
        ("some/teacher", "pixels", "rkd", True),
        ("some/teacher", "pixels", "cross-entropy", False),
        ("local path", "pooled", "rkd", False),
    ],
)
def test_the_hub_is_told_of_a_base_model_where_something_of_the_teacher_is_in_the_student(
    exports, results, source, reads, loss, named
):
    training = record.load(results, HEAD).case | {"loss": loss}
    teacher = {"weights": "pretrained", "provenance": {"source": source}}
    text = card_of(exports, results, HEAD, reads=reads, training=training, teacher=teacher)
    assert ModelCard(text).data.base_model == ([source] if named else None)


def test_the_card_of_a_model_of_timm_is_timms_and_has_its_classifiers_accuracy(exports, results):
    card, config = ModelCard.load(exports[TIMM] / "README.md"), unseal((exports[TIMM] / CONFIG).read_text())
    top1, probe = config["classifier"]["top1"], record.load(results, TIMM).metrics["probe_top1"]
    values = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert (card.data.library_name, card.data.pipeline_tag) == ("timm", "image-classification")
    assert values["accuracy"] == pytest.approx(top1, abs=1e-4) and f"(the record's probe: {probe:.1f} %)" in card.text
    assert "started from timm's weights" not in card.text


@pytest.mark.parametrize(
    ("points", "added"),
    [(-5, "at most the smallest gain over"), (0, "nothing to the best of"), (5, "nothing to the best of")],
)
def test_a_loss_to_a_control_is_not_called_a_gain(exports, results, points, added):
    own = record.load(results, HEAD).metrics
    text = card_of(exports, results, HEAD, controls={"untrained": own | {"knn_top1": own["knn_top1"] + points}})
    assert f"Distillation added {added} these controls: untrained, no-distillation (not run)" in text
