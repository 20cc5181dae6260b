"""An export: what it needs, what is in it, that it and its ONNX graph embed as the student did in its session."""

import re
import shutil
import subprocess
from dataclasses import replace

import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from bench import export
from bench.__main__ import main
from bench.export import card, graph
from bench.export.loaded import ExportError
from bench.kit import paths
from bench.kit.errors import UserError
from bench.kit.files import unseal
from bench.kit.progress import Progress
from bench.measure.cost import Deployed
from bench.measure.model import embed
from bench.results import record
from bench.run.job import Job
from bench.run.session import Session
from tests.bench.export.three import HEAD, PIXELS, PRECISION, TIMM, TOKENS, checkpoint_of, flip, pictures
from tests.breadth import some


@pytest.mark.parametrize("name", some([HEAD, TOKENS, PIXELS, TIMM], [TOKENS, PIXELS]))
def test_an_export_embeds_raw_pixels_and_captions_as_the_student_did_in_its_session(cases, results, exports, name):
    cases = tuple(replace(case, precision=PRECISION) for case in cases)
    case = export.named(cases, name)
    run = Session(Job(results, cases, frozenset({name}), device="cpu"), Progress(None)).training(case)
    assert len(run.training._restored) == 1  # the epoch of the checkpoint
    model, split, test = export.load(exports[name]), pictures(case), run.shared.features.test
    images = embed(run.student, case, test)
    assert images.std(dim=0).max() > 1e-3  # not all the same
    torch.testing.assert_close(model.image(split.pixels), images, atol=1e-5, rtol=0)
    torch.testing.assert_close(model.image(split.pixels.float()), images, atol=1e-5, rtol=0)
    if case.kind == "captions":
        texts = embed(run.student, case, test, captions=True)
        torch.testing.assert_close(model.text(split.captions), texts, atol=1e-5, rtol=0)
    assert model.config.logit_scale == pytest.approx(run.training.scale)


@pytest.mark.parametrize(
    ("name", "reduced", "graph"),
    [(HEAD, [], []), (TOKENS, ["image", "text"], []), (PIXELS, [], ["model.onnx", "model.py"])],
)
def test_only_the_student_is_exported_and_the_reduction_where_there_is_one(results, exports, name, reduced, graph):
    tensors, checkpoint = load_file(exports[name] / "model.safetensors"), load_file(checkpoint_of(results, name))
    student = {key: value for key, value in checkpoint.items() if key.startswith("student.")}
    assert tensors.keys() - student.keys() == {
        f"reduction.{side}.{part}" for side in reduced for part in ("weight", "bias")
    }
    assert all(torch.equal(tensors[key], value) for key, value in student.items())
    always = {"README.md", "config.json", "model.safetensors", ".eval_results"}
    assert {path.name for path in exports[name].iterdir()} == {*always, *graph}


def test_a_folder_with_something_in_it_is_refused_and_left_as_it_is(cases, results, tmp_path):
    (tmp_path / "file").write_text("mine")
    for to in (tmp_path, tmp_path / "file"):
        with pytest.raises(UserError, match="already exists"):
            export.export(export.named(cases, HEAD), results, to)
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "mine"


def test_an_empty_folder_is_filled(cases, results, tmp_path):
    paths = export.export(export.named(cases, HEAD), results, tmp_path)
    assert paths == sorted(tmp_path.iterdir()) and len(paths) == 4


def test_a_failure_half_way_leaves_nothing_and_a_killed_export_is_no_hindrance(cases, results, tmp_path, monkeypatch):
    case, to = export.named(cases, HEAD), tmp_path / "new" / "to"
    with monkeypatch.context() as patch:
        patch.setattr(card, "text", lambda *_: (_ for _ in ()).throw(OSError("No space left on device")))
        with pytest.raises(OSError, match="No space left"):
            export.export(case, results, to)
    assert [*to.parent.iterdir()] == []
    (to.parent / ".to.partial").mkdir()
    (to.parent / ".to.partial" / "model.onnx").write_text("half")
    assert len(export.export(case, results, to)) == 4
    assert [*to.parent.iterdir()] == [to]


@pytest.fixture
def exported(cases, results, tmp_path):
    """``exported(log)`` exports the student into a new folder; ``log`` gets a line where the graph is left out."""
    return lambda log: export.export(export.named(cases, PIXELS), results, tmp_path / "to", log.append)


@pytest.mark.parametrize("count", [1, 3, 70])
def test_the_graph_computes_what_pytorch_does_for_any_batch(cases, exports, count):
    model, session = export.load(exports[PIXELS]), onnxruntime.InferenceSession(exports[PIXELS] / "model.onnx")
    drawn = torch.randint(0, 256, (count, 3, 32, 32), generator=torch.Generator().manual_seed(7), dtype=torch.uint8)
    for pixels in (drawn, pictures(export.named(cases, PIXELS), count).pixels):
        (embeddings,) = session.run(None, {"pixels": pixels.numpy()})
        expected = model.image(pixels)
        torch.testing.assert_close(torch.from_numpy(embeddings), expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(expected.norm(dim=1), torch.ones(count))
    text = (exports[PIXELS] / "README.md").read_text(encoding="utf-8")
    assert 0 <= float(re.search(r"difference to PyTorch was ([\d.e-]+)\.\s", text)[1]) < 1e-5


def test_the_graphs_digest_is_in_the_configuration_and_on_the_card(exports):
    config, text = (exports[PIXELS] / name for name in ("config.json", "README.md"))
    words = ["sha256sum", "model.onnx"]
    digest = subprocess.run(words, cwd=exports[PIXELS], capture_output=True, text=True, check=True).stdout.split()[0]
    assert unseal(config.read_text(encoding="utf-8"))["onnx_sha256"] == digest
    assert f"`sha256sum model.onnx` has to print `{digest}`" in text.read_text(encoding="utf-8")
    assert unseal((exports[HEAD] / "config.json").read_text(encoding="utf-8"))["onnx_sha256"] is None


def test_a_graph_that_computes_something_else_is_not_exported(exported, exports, tmp_path, monkeypatch):
    """The graph is the one that was written of this student before."""

    class Program:
        def save(self, path, **_):
            shutil.copyfile(exports[PIXELS] / "model.onnx", path)

    monkeypatch.setattr(torch.onnx, "export", lambda *_, **options: Program())
    monkeypatch.setattr(export.Exported, "image", lambda self, pixels: -self.deployed(pixels))
    with pytest.raises(ExportError, match="differs from PyTorch"):
        exported([])
    assert [*tmp_path.iterdir()] == []


def test_without_onnx_installed_the_rest_is_written_and_the_log_says_so(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(graph, "NEEDED", ("onnx", "no_such_package"))
    log = []
    paths = exported(log)
    assert [path.name for path in paths] == [
        ".eval_results",
        "README.md",
        "config.json",
        "model.py",
        "model.safetensors",
    ]
    assert log == ["model.onnx was left out: no_such_package not installed; uv sync --extra onnx installs them"]
    assert "onnx" not in (tmp_path / "to" / "README.md").read_text(encoding="utf-8")


def test_a_student_that_onnx_cannot_express_is_exported_without_it(exported, monkeypatch):
    def depends_on_values(self, pixels):
        return torch.nn.functional.normalize(self.tower(pixels if pixels.sum().item() > 0 else pixels + 1))

    monkeypatch.setattr(Deployed, "forward", depends_on_values)
    log = []
    paths = exported(log)
    assert [path.name for path in paths] == [
        ".eval_results",
        "README.md",
        "config.json",
        "model.py",
        "model.safetensors",
    ]
    assert len(log) == 1 and "cannot express the student 'resnet'" in log[0]


def test_an_unknown_case_is_answered_with_the_nearest(cases):
    with pytest.raises(
        UserError,
        match=f"unknown case 'shapes-dino-projecton-1ep' with this .*--seeds and --controls, did you mean '{HEAD}'",
    ):
        export.named(cases, "shapes-dino-projecton-1ep")


def test_a_case_of_another_profile_is_answered_with_that_profile(tmp_path, capsys):
    case = "shapes-dino-densenet-10ep-rkd"
    assert main(["export", case, "--results", str(tmp_path), "--to", str(tmp_path / "to")]) == 2
    assert f"{case} is a case of profile 'losses': add --profile losses" in capsys.readouterr().err


def test_a_case_that_did_not_run_is_refused_with_the_command_that_runs_it_and_no_other(tmp_path, capsys):
    case, to = "shapes-dino-densenet-4ep", tmp_path / "to"
    assert main(["export", case, "--profile", "ci", "--results", str(tmp_path), "--to", str(to)]) == 2
    command = f"pytest 'bench/test_distill.py::test_distill[{case}]' --profile ci --results {tmp_path}\n"
    message = capsys.readouterr().err
    assert "has no record in" in message and message.endswith(f"run it with: {command}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": "failed", "message": "the loss is nan"}, r"is failed, not done \(the loss is nan\)"),
        (
            {"fingerprint": "0123456789abcdef"},
            rf"another configuration.*\(code, data or weights changed\).*or run it with: pytest 'bench/\S+\[{HEAD}\]' "
            rf"--precision {PRECISION}$",  # that of the record
        ),
    ],
)
def test_a_record_of_a_failed_case_or_of_another_configuration_is_refused(copied, refused, changes, message):
    record.write(record.load(copied, HEAD).model_copy(update=changes), copied)
    refused(copied, message)


def test_options_that_differ_from_those_of_the_run_are_named(cases, results, tmp_path):
    other = replace(export.named(cases, HEAD), controls=("untrained",), learning_rate=0.5)
    differences = r"\(learning_rate 0.001, now 0.5; controls \['untrained', 'teacher'\], now \['untrained'\]\)"
    with pytest.raises(UserError, match=differences):
        export.export(other, results, tmp_path / "to")


def test_a_checkpoint_that_is_damaged_missing_or_anothers_is_refused(copied, refused):
    path = checkpoint_of(copied, HEAD)
    flip(path, path.stat().st_size // 2)
    refused(copied, "is damaged.*--rerun all")
    path.unlink()
    refused(copied, rf"is missing.*again with: pytest 'bench/\S+\[{HEAD}\]' --rerun all --precision {PRECISION}$")
    shutil.copy(checkpoint_of(copied, PIXELS), path)
    refused(copied, "another configuration's")


def test_a_reduction_that_is_gone_or_another_is_refused(results, copied, refused, tmp_path, monkeypatch):
    entry = record.load(copied, TOKENS)
    entry.metrics["explained_variance_text"] += 1e-6
    record.write(entry, copied)
    refused(copied, "not the one that the student was trained with", TOKENS)
    monkeypatch.setenv(paths.VARIABLE, str(tmp_path))
    refused(results, r"reduction\.safetensors is missing", TOKENS)


def test_a_teacher_that_was_exchanged_since_is_refused(copied, refused):
    entry = record.load(copied, HEAD)
    entry.protocol["teacher_weights_sha256"] = "0" * 64
    record.write(entry, copied)
    refused(copied, "teacher dino has other weights")


def test_a_record_in_a_published_reports_file_is_exported_too(cases, copied, tmp_path):
    record.publish(record.read_all(copied)[0].values(), copied)
    shutil.rmtree(copied / "records")
    assert export.export(export.named(cases, HEAD), copied, tmp_path / "to")
