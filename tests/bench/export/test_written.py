"""An export: what is in it, that it embeds as the student did in its session, and where it is written."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from bench import export
from bench.export import card
from bench.kit.errors import UserError
from bench.kit.progress import Progress
from bench.measure.model import embed
from bench.run.session import Session
from tests.bench.export.three import HEAD, PIXELS, PRECISION, TOKENS, checkpoint_of, pictures


@pytest.mark.parametrize("name", [HEAD, TOKENS, PIXELS])
def test_an_export_embeds_raw_pixels_and_captions_as_the_student_did_in_its_session(cases, results, exports, name):
    cases = tuple(replace(case, precision=PRECISION) for case in cases)
    case = export.named(cases, name)
    run = Session(results, cases, {name}, Progress(None), "cpu").training(case)
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
    ("name", "reduced", "graph"), [(HEAD, [], []), (TOKENS, ["image", "text"], []), (PIXELS, [], ["model.onnx"])]
)
def test_only_the_student_is_exported_and_the_reduction_where_there_is_one(results, exports, name, reduced, graph):
    tensors, checkpoint = load_file(exports[name] / "model.safetensors"), load_file(checkpoint_of(results, name))
    student = {key: value for key, value in checkpoint.items() if key.startswith("student.")}
    assert tensors.keys() - student.keys() == {
        f"reduction.{side}.{part}" for side in reduced for part in ("weight", "bias")
    }
    assert all(torch.equal(tensors[key], value) for key, value in student.items())
    assert {path.name for path in exports[name].iterdir()} == {"README.md", "config.json", "model.safetensors", *graph}


def test_a_folder_with_something_in_it_is_refused_and_left_as_it_is(cases, results, tmp_path):
    (tmp_path / "file").write_text("mine")
    for to in (tmp_path, tmp_path / "file"):
        with pytest.raises(UserError, match="there is something already"):
            export.export(export.named(cases, HEAD), results, to)
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "mine"


def test_an_empty_folder_is_filled(cases, results, tmp_path):
    paths = export.export(export.named(cases, HEAD), results, tmp_path)
    assert paths == sorted(tmp_path.iterdir()) and len(paths) == 3


def test_a_failure_half_way_leaves_nothing_and_a_killed_export_is_no_hindrance(cases, results, tmp_path, monkeypatch):
    case, to = export.named(cases, HEAD), tmp_path / "new" / "to"
    with monkeypatch.context() as patch:
        patch.setattr(card, "text", lambda *_: (_ for _ in ()).throw(OSError("No space left on device")))
        with pytest.raises(OSError, match="No space left"):
            export.export(case, results, to)
    assert [*to.parent.iterdir()] == []
    (to.parent / ".to.partial").mkdir()
    (to.parent / ".to.partial" / "model.onnx").write_text("half")
    assert len(export.export(case, results, to)) == 3
    assert [*to.parent.iterdir()] == [to]
