"""An export: what is in it, that it embeds as the student did in its session, and all that is refused."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import onnxruntime
import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file

import teachers
from bench import catalog, data, export, exported, matrix, places, record
from bench.embed import embed, embed_captions
from bench.export import graph
from bench.located import UserError
from bench.progress import Progress
from bench.session import Session

# Features in single precision, so that a student in its session reads the very numbers that the teacher says.
MATRIX = """
profiles:
  tiny:
    weights: pocket
    pairs: {shapes: [dino], scenes: [blip, clip]}
    students: [projection, attention, resnet]
    epochs: [1]
    seeds: [0]
    samples: {train: 128, test: 70}
    widths: {embedding: 16, bottleneck: 8, trunk: pocket}
    features: float32
    controls: [untrained, teacher, no-distillation]
training: {batch_size: 32, learning_rate: 1.0e-3, weight_decay: 0.05, warmup_steps: 2}
tolerances: {knn_top1: 2.0}
"""
HEAD, TOKENS, PIXELS = "shapes-dino-projection-1ep", "scenes-blip-attention-1ep", "scenes-clip-resnet-1ep"


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    path = tmp_path_factory.mktemp("matrix") / "matrix.yaml"
    path.write_text(MATRIX)
    return matrix.cases(matrix.load(path), "tiny", path)


@pytest.fixture(scope="module")
def results(run_bench, tmp_path_factory):
    """A results folder in which the three cases ran, one of them with its trained control."""
    folder, path = tmp_path_factory.mktemp("results"), tmp_path_factory.mktemp("matrix") / "matrix.yaml"
    path.write_text(MATRIX)
    chosen = f"{HEAD} or ({TOKENS} or {PIXELS}) and not distillation"
    ran = run_bench(folder, "-k", chosen, matrix=path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder


@pytest.fixture(scope="module")
def exports(cases, results, tmp_path_factory):
    """``exports(name)``: the folder of an exported case."""
    parent, kept = tmp_path_factory.mktemp("exports"), {}

    def make(name):
        if name not in kept:
            kept[name] = parent / name
            export.export(export.named(cases, name), results, kept[name])
        return kept[name]

    return make


@pytest.fixture
def refused(cases, tmp_path):
    """``refused(results, message, name)``: the export is refused so, and leaves nothing behind."""

    def check(results, message, name=HEAD):
        parent = tmp_path / "refused"
        parent.mkdir()
        with pytest.raises(UserError, match=message):
            export.export(export.named(cases, name), results, parent / "to")
        assert [*parent.iterdir()] == []

    return check


@pytest.fixture
def copied(results, tmp_path):
    """A copy of the results to be damaged."""
    return shutil.copytree(results, tmp_path / "results")


def pictures(case, count=70):
    return data.load(case.dataset, "test", count)


def checkpoint_of(results, name):
    return results / "checkpoints" / name.removesuffix("-1ep") / "epoch-0001.safetensors"


def python_blocks(folder):
    return re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", [HEAD, TOKENS, PIXELS])
def test_an_export_embeds_raw_pixels_and_captions_as_the_student_did_in_its_session(cases, results, exports, name):
    case = export.named(cases, name)
    session = Session(results, cases, {name}, Progress(None), "cpu")
    run, test = session.training(case), session.distilled(case).test
    assert len(run._restored) == 1  # the epoch of the checkpoint
    model, split = exported.load(exports(name)), pictures(case)
    images = embed(run.student, case, test)
    assert images.std(dim=0).max() > 1e-3  # not all the same
    torch.testing.assert_close(model.image(split.pixels), images, atol=1e-5, rtol=0)
    torch.testing.assert_close(model.image(split.pixels.float()), images, atol=1e-5, rtol=0)
    if case.kind == "captions":
        texts = embed_captions(run.student, case, test)
        torch.testing.assert_close(model.text(split.captions), texts, atol=1e-5, rtol=0)
    assert model.config.logit_scale == pytest.approx(run.scale)


@pytest.mark.parametrize("name", [HEAD, TOKENS, PIXELS])
def test_the_examples_of_the_card_work_as_printed(exports, name):
    folder = exports(name)
    blocks = python_blocks(folder)
    assert len(blocks) == (2 if name == PIXELS else 1)
    script = "".join(f"{block}\nprint(tuple(images.shape))\n" for block in blocks)
    env = os.environ | {"PYTHONPATH": str(catalog.ROOT)}
    words = [sys.executable, "-c", script]
    ran = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["(2, 16)"] * len(blocks)


def test_only_the_student_is_exported_and_the_reduction_where_there_is_one(results, exports):
    for name, reduced in ((HEAD, set()), (TOKENS, {"image", "text"}), (PIXELS, set())):
        tensors, kept = load_file(exports(name) / "model.safetensors"), load_file(checkpoint_of(results, name))
        student = {key: value for key, value in kept.items() if key.startswith("student.")}
        expected = {f"reduction.{side}.{part}" for side in reduced for part in ("weight", "bias")}
        assert tensors.keys() - student.keys() == expected
        assert all(torch.equal(tensors[key], value) for key, value in student.items())
        files = {"README.md", "config.json", "model.safetensors"} | ({"model.onnx"} if name == PIXELS else set())
        assert {path.name for path in exports(name).iterdir()} == files


@pytest.mark.parametrize("count", [1, 3, 70])
def test_the_onnx_graph_says_what_pytorch_does_for_any_batch(cases, exports, count):
    folder = exports(PIXELS)
    model, session = exported.load(folder), onnxruntime.InferenceSession(folder / "model.onnx")
    drawn = torch.randint(0, 256, (count, 3, 32, 32), generator=torch.Generator().manual_seed(7), dtype=torch.uint8)
    for pixels in (drawn, pictures(export.named(cases, PIXELS), count).pixels):
        (embeddings,) = session.run(None, {"pixels": pixels.numpy()})
        expected = model.image(pixels)
        torch.testing.assert_close(torch.from_numpy(embeddings), expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(expected.norm(dim=1), torch.ones(count))
    stated = re.search(r"difference to PyTorch was ([\d.e-]+)\.\s", (folder / "README.md").read_text(encoding="utf-8"))
    assert 0 <= float(stated[1]) < 1e-5


def test_a_graph_that_computes_something_else_is_not_exported(cases, results, tmp_path, monkeypatch):
    monkeypatch.setattr(graph.Images, "forward", lambda self, pixels: -self.student.image(pixels)[0])
    with pytest.raises(graph.OnnxError, match="differs from PyTorch"):
        export.export(export.named(cases, PIXELS), results, tmp_path / "to")
    assert [*tmp_path.iterdir()] == []


def test_without_onnx_installed_the_rest_is_written_and_the_command_told(cases, results, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(graph, "NEEDED", ("onnx", "no_such_package"))
    written = export.export(export.named(cases, PIXELS), results, tmp_path / "to", told.append)
    assert [path.name for path in written] == ["README.md", "config.json", "model.safetensors"]
    assert len(told) == 1 and "no_such_package not installed" in told[0] and "uv sync --extra onnx" in told[0]
    assert "onnx" not in (tmp_path / "to" / "README.md").read_text(encoding="utf-8")


def test_a_student_that_onnx_cannot_express_is_exported_without_it(cases, results, tmp_path, monkeypatch):
    told = []

    def depends_on_values(self, pixels):
        return self.student.image(pixels if pixels.sum().item() > 0 else pixels + 1)[0]

    monkeypatch.setattr(graph.Images, "forward", depends_on_values)
    written = export.export(export.named(cases, PIXELS), results, tmp_path / "to", told.append)
    assert [path.name for path in written] == ["README.md", "config.json", "model.safetensors"]
    assert len(told) == 1 and "cannot express the student 'resnet'" in told[0]


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


def test_a_student_that_stands_alone_needs_its_teacher_for_captions_only(exports, monkeypatch):
    monkeypatch.setattr(teachers, "POCKET", exports(PIXELS))  # no weights of teachers there
    model = exported.load(exports(PIXELS))
    assert model.image(torch.zeros(1, 3, 32, 32)).shape == (1, 16)
    with pytest.raises(FileNotFoundError, match="clip"):
        model.text(["a red circle"])
    with pytest.raises(FileNotFoundError, match="blip"):
        exported.load(exports(TOKENS))


def test_another_teacher_is_refused(exports, tmp_path, monkeypatch):
    tensors = load_file(teachers.POCKET / "blip.safetensors")
    name = next(name for name, tensor in tensors.items() if tensor.ndim == 2)
    tensors[name] = tensors[name] * 1.001
    save_file(tensors, tmp_path / "blip.safetensors")
    monkeypatch.setattr(teachers, "POCKET", tmp_path)
    with pytest.raises(UserError, match="teacher 'blip' that is here is another one than the student was trained with"):
        exported.load(exports(TOKENS))


def test_what_is_no_picture_or_has_no_captions_is_refused_with_the_expected_form(exports):
    model = exported.load(exports(PIXELS))
    for shape in ((1, 3, 64, 64), (3, 32, 32), (1, 1, 32, 32)):
        with pytest.raises(ValueError, match=r"expected pixels \[B, 3, 32, 32\]"):
            model.image(torch.zeros(shape))
    head = exported.load(exports(HEAD))
    assert head.image(torch.zeros(1, 3, 48, 64)).shape == (1, 16)  # its teacher resizes
    with pytest.raises(ValueError, match="no text tower"):
        head.text(["a red circle"])


def test_a_damaged_export_is_refused(exports, tmp_path):
    whole = exports(HEAD)
    config = json.loads((whole / "config.json").read_text())
    faults = {"format": 2, "student": "projektion", "dims": [1], "teacher": None, "weights_sha256": "0"}
    texts = [json.dumps(config | {key: value}) for key, value in faults.items()]
    for number, text in enumerate([*texts, "", "[]", "{", "\x00"]):
        folder = shutil.copytree(whole, tmp_path / f"config-{number}")
        (folder / "config.json").write_text(text)
        with pytest.raises(UserError, match=r"config\.json"):
            exported.load(folder)
    size = (whole / "model.safetensors").stat().st_size
    for position in (0, 20, size // 2, size - 1):
        folder = shutil.copytree(whole, tmp_path / f"weights-{position}")
        flip(folder / "model.safetensors", position)
        with pytest.raises(UserError, match="is damaged"):
            exported.load(folder)
    with pytest.raises(UserError, match=r"No such file.*name a folder that"):
        exported.load(tmp_path / "nowhere")


def test_weights_of_another_width_are_refused(exports, tmp_path):
    folder = shutil.copytree(exports(HEAD), tmp_path / "export")
    config = json.loads((folder / "config.json").read_text())
    config["dims"]["embedding"] = 17
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="does not fit the student 'projection'"):
        exported.load(folder)


def test_an_unknown_case_is_answered_with_the_nearest(cases):
    with pytest.raises(UserError, match=f"unknown case 'shapes-dino-projecton-1ep', did you mean '{HEAD}'"):
        export.named(cases, "shapes-dino-projecton-1ep")


def test_a_case_that_did_not_run_is_refused(results, refused):
    refused(results, "has no record in .*pytest bench -k scenes-clip-attention-1ep", "scenes-clip-attention-1ep")


def test_a_case_that_failed_is_refused(copied, refused):
    found = record.read(record.path_of(copied, HEAD))
    record.write(replace(found, status="failed", message="the loss is nan"), copied)
    refused(copied, r"is failed, not done \(the loss is nan\)")


def test_a_record_that_is_cut_short_is_refused(copied, refused):
    path = record.path_of(copied, HEAD)
    path.write_text(path.read_text()[:500])
    refused(copied, "is not a usable record")


def test_a_record_of_another_configuration_is_refused(copied, refused):
    record.write(replace(record.read(record.path_of(copied, HEAD)), fingerprint="0123456789abcdef"), copied)
    refused(copied, "another configuration.*0123456789abcdef")


def test_a_missing_or_damaged_checkpoint_is_refused(copied, refused, tmp_path):
    path = checkpoint_of(copied, HEAD)
    flip(path, path.stat().st_size // 2)
    refused(copied, "is damaged.*--rerun all")
    (tmp_path / "refused").rmdir()
    path.unlink()
    refused(copied, "is missing.*--rerun all")


def test_a_checkpoint_of_another_run_is_refused(copied, refused):
    shutil.copy(checkpoint_of(copied, PIXELS), checkpoint_of(copied, HEAD))
    refused(copied, "another configuration's")


def test_a_reduction_that_is_gone_or_another_is_refused(results, copied, refused, tmp_path, monkeypatch):
    found = record.read(record.path_of(copied, TOKENS))
    found.metrics["explained_variance_text"] += 1e-6
    record.write(found, copied)
    refused(copied, "not the one that the student was trained with", TOKENS)
    (tmp_path / "refused").rmdir()
    monkeypatch.setenv(places.VARIABLE, str(tmp_path))
    refused(results, r"reduction\.safetensors is missing", TOKENS)


def test_a_teacher_that_was_exchanged_since_is_refused(copied, refused):
    found = record.read(record.path_of(copied, HEAD))
    found.protocol["teacher_weights_sha256"] = "0" * 64
    record.write(found, copied)
    refused(copied, "teacher dino has other weights")


def test_a_folder_with_something_in_it_is_refused_and_left_as_it_is(cases, results, tmp_path):
    case = export.named(cases, HEAD)
    (tmp_path / "file").write_text("mine")
    for to in (tmp_path, tmp_path / "file"):
        with pytest.raises(UserError, match="there is something already"):
            export.export(case, results, to)
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "mine"


def test_an_empty_folder_is_filled_and_its_parents_are_made(cases, results, tmp_path):
    case = export.named(cases, HEAD)
    (tmp_path / "empty").mkdir()
    for to in (tmp_path / "empty", tmp_path / "new" / "deeper"):
        written = export.export(case, results, to)
        assert written == sorted(to.iterdir()) and len(written) == 3
        assert [*to.parent.glob(".*")] == []


def test_a_failure_half_way_leaves_nothing_and_a_killed_export_is_no_hindrance(cases, results, tmp_path, monkeypatch):
    case, to = export.named(cases, HEAD), tmp_path / "to"
    with monkeypatch.context() as patch:
        patch.setattr(export.card, "text", lambda *_: (_ for _ in ()).throw(OSError("No space left on device")))
        with pytest.raises(OSError, match="No space left"):
            export.export(case, results, to)
    assert [*tmp_path.iterdir()] == []
    (tmp_path / ".to.partial").mkdir()
    (tmp_path / ".to.partial" / "model.onnx").write_text("half")
    assert len(export.export(case, results, to)) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["to"]
