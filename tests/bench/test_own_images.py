"""The command ``python -m bench distill``: its matrix, what it says before it starts, and what it leaves."""

from argparse import ArgumentParser

import numpy
import pytest
import timm
import torch
from PIL import Image

from bench import __main__ as command
from bench import distill
from bench.kit.errors import UserError
from bench.options import add_options
from bench.results.record import path_of, read


def options(tmp_path, *words):
    parser = ArgumentParser()
    add_options("distill", lambda title: parser.add_argument)
    usual = ("--data", str(tmp_path / "My Pets"), "--to", str(tmp_path / "out"))
    return parser.parse_args([*usual, *words])


@pytest.mark.parametrize(
    ("kind", "text", "name", "entry"),
    [
        ("teacher", "dino", "dino", {}),
        ("student", "resnet", "resnet", {}),
        ("teacher", "timm:vit_small_patch14_dinov2.lvd142m", "vit_small_patch14_dinov2", {"timm": "vit_small_patch14_dinov2.lvd142m"}),
        ("teacher", "open_clip:ViT-B-16-SigLIP2:webli", "vit_b_16_siglip2", {"open_clip": "ViT-B-16-SigLIP2", "pretrained": "webli"}),
        ("teacher", "open_clip:ViT-B-32", "vit_b_32", {"open_clip": "ViT-B-32"}),
        ("teacher", "transformers:facebook/dinov3-vits16", "dinov3_vits16", {"transformers": "facebook/dinov3-vits16"}),
        ("student", "timm:resnet18", "resnet18", {"timm": "resnet18"}),
        ("student", "timm:densenet", "my_densenet", {"timm": "densenet"}),
    ],
)  # fmt: skip
def test_a_model_of_a_library_becomes_an_entry_with_a_name_for_ids(kind, text, name, entry):
    assert distill.declared(kind, text) == (name, entry)


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        ("teacher", "dion", "--teacher dion: did you mean 'dino'?; or timm:MODEL or open_clip:MODEL or transformers:MODEL"),
        ("teacher", "tim:resnet50", "--teacher 'tim:resnet50': expected timm:MODEL"),
        ("student", "open_clip:RN50", "expected timm:MODEL"),
        ("student", "timm:", "expected timm:MODEL"),
    ],
)  # fmt: skip
def test_what_is_no_model_is_refused_with_what_was_expected(kind, text, says):
    with pytest.raises(UserError) as refused:
        distill.declared(kind, text)
    assert says in str(refused.value)


def test_the_matrix_says_what_the_options_say(tmp_path):
    given = options(
        tmp_path, "--teacher", "timm:resnet50", "--teacher-path", str(tmp_path / "w.safetensors"), "--student",
        "timm:resnet10t", "--epochs", "3", "--size", "64", "--batch-size", "16", "--views", "4",
    )  # fmt: skip
    made = distill.content(given)
    assert made["teachers"] == {"resnet50": {"timm": "resnet50", "path": str(tmp_path / "w.safetensors")}}
    assert made["datasets"] == {"my_pets": {"images": str(tmp_path / "My Pets"), "size": 64}}
    profile = made["profiles"]["distill"]
    assert (profile["pairs"], profile["students"]) == ({"my_pets": ["resnet50"]}, ["resnet10t"])
    assert profile["epochs"] == [3]
    assert (made["training"]["batch_size"], made["training"]["views"]) == (16, 4)


@pytest.fixture
def pets(tmp_path, monkeypatch):
    """48 noisy images of two classes, and the options that take them and two small models."""
    monkeypatch.setenv("DISTILL_BENCH_DATA", str(tmp_path / "data"))
    generator = numpy.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "My Pets" / name).mkdir(parents=True)
        for number in range(24):
            pixels = generator.integers(256, size=(24, 40, 3), dtype=numpy.uint8)
            Image.fromarray(pixels).save(tmp_path / "My Pets" / name / f"{number}.png")
    models = ["--teacher", "timm:test_vit", "--weights", "random", "--student", "timm:test_resnet"]
    folders = ["--data", str(tmp_path / "My Pets"), "--to", str(tmp_path / "out")]
    return ["distill", *models, *folders, "--epochs", "1", "--size", "32"]


def test_fewer_images_than_a_batch_are_refused_before_the_teacher_runs(pets, tmp_path, capsys):
    assert command.main([*pets, "--batch-size", "16"]) == 2
    error = capsys.readouterr().err
    assert "34 images to train on and 14 held out, fewer than a batch of 16" in error
    assert "--batch-size 14 or less" in error
    assert not list((tmp_path / "data").glob("features/*"))


def test_a_loss_that_the_student_cannot_have_is_told_without_a_place_in_a_file_that_is_gone(pets, capsys):
    assert command.main([*pets, "--loss", "patch-matching"]) == 2
    assert "error: loss 'patch-matching' needs a student with a map of its own" in capsys.readouterr().err


def test_other_options_are_refused_beside_results_and_a_refusal_leaves_the_matrix(pets, tmp_path, capsys):
    """Another length is another case of the same run."""
    matrix_file, records = tmp_path / "out" / "matrix.yaml", tmp_path / "out" / "records"

    def write(*words):
        return distill.write_matrix(options(tmp_path, *pets[1:], *words), matrix_file)

    assert [case.epochs for case in write("--loss", "rkd")] == [1]
    assert [case.loss for case in write()] == ["queue-matching"]  # there are no results yet
    records.mkdir()
    (records / "one.json").write_text("{}")
    before = matrix_file.read_text()
    for words, says in (
        (("--loss", "dkdd"), "differs in overrides"), (("--size", "48"), "differs in datasets.my_pets.size"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=says):
            write(*words)
        assert matrix_file.read_text() == before and {*matrix_file.parent.iterdir()} == {matrix_file, records}
    # The curve has 50 points at most: one every epoch, or every third.
    assert [(case.epochs, case.evaluate_every) for case in write("--epochs", "50")] == [(50, 1)]
    assert [(case.epochs, case.evaluate_every) for case in write("--epochs", "101")] == [(101, 3)]
    assert command.main([*pets, "--teacher-path", "nowhere.safetensors"]) == 2
    assert "leave one of them out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("teacher", "kind"),
    [("timm:test_vit", "images"), ("open_clip:ViT-B-32", "captions"), ("clip", "captions"), ("dino", "images")],
)
def test_a_loss_is_of_what_the_teacher_sees_of_a_caption_set(pets, tmp_path, teacher, kind):
    captions = tmp_path / "captions.csv"
    captions.write_text("file,caption\ncat/1.png,a cat\n")
    given = options(tmp_path, *pets[1:], "--teacher", teacher, "--captions", str(captions), "--loss", "rkd")
    assert distill.content(given)["overrides"] == {"test_resnet": {"loss": {kind: "rkd"}}}


@pytest.mark.usefixtures("little_measured")
def test_the_command_leaves_records_a_report_and_the_student(pets, tmp_path, capsys):
    options = ["--loss", "queue-matching", "--batch-size", "4", "--classifier", "--executor", "serial"]
    assert command.main([*pets, *options]) == 0
    printed = capsys.readouterr().out
    assert "timm:test_vit (random) into timm:test_resnet, 1 epoch of queue-matching" in printed
    assert "with labels, at 32 px" in printed and "by trial steps here" in printed
    record = read(path_of(tmp_path / "out", "my_pets-test_vit-test_resnet-1ep"))
    assert record.status == "done" and record.protocol["classes"] == 2 and record.case["loss"] == "queue-matching"
    assert record.protocol["train_images"] + record.protocol["test_images"] == 48
    assert "my_pets-test_vit" not in (tmp_path / "out" / "report.md").read_text()  # no case failed
    assert "test_vit on my_pets" in (tmp_path / "out" / "report.md").read_text()
    student = timm.create_model(f"local-dir:{tmp_path / 'out' / 'student' / 'timm'}", pretrained=True)
    assert student.pretrained_cfg["label_names"] == ["cat", "dog"]
    assert student.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 2)
    assert command.main([*pets, *options]) == 0
    assert "all of it is done already" in capsys.readouterr().out
