"""An export: what is in it, that it embeds as the student did in its session, and where it is written."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from bench import export
from bench.export import loaded
from bench.kit.errors import UserError
from bench.kit.progress import Progress
from bench.measure.embed import embed, embed_captions
from bench.run.session import Session
from tests.bench.export.three import HEAD, PIXELS, PRECISION, TOKENS, checkpoint_of, pictures


@pytest.mark.parametrize("name", [HEAD, TOKENS, PIXELS])
def test_an_export_embeds_raw_pixels_and_captions_as_the_student_did_in_its_session(cases, results, exports, name):
    cases = tuple(replace(case, precision=PRECISION) for case in cases)
    case = export.named(cases, name)
    session = Session(results, cases, {name}, Progress(None), "cpu")
    run = session.training(case)
    test = run.shared.features.test
    assert len(run.training._restored) == 1  # the epoch of the checkpoint
    model, split = loaded.load(exports(name)), pictures(case)
    images = embed(run.student, case, test)
    assert images.std(dim=0).max() > 1e-3  # not all the same
    torch.testing.assert_close(model.image(split.pixels), images, atol=1e-5, rtol=0)
    torch.testing.assert_close(model.image(split.pixels.float()), images, atol=1e-5, rtol=0)
    if case.kind == "captions":
        texts = embed_captions(run.student, case, test)
        torch.testing.assert_close(model.text(split.captions), texts, atol=1e-5, rtol=0)
    assert model.config.logit_scale == pytest.approx(run.training.scale)


def test_only_the_student_is_exported_and_the_reduction_where_there_is_one(results, exports):
    for name, reduced in ((HEAD, set()), (TOKENS, {"image", "text"}), (PIXELS, set())):
        tensors, kept = load_file(exports(name) / "model.safetensors"), load_file(checkpoint_of(results, name))
        student = {key: value for key, value in kept.items() if key.startswith("student.")}
        expected = {f"reduction.{side}.{part}" for side in reduced for part in ("weight", "bias")}
        assert tensors.keys() - student.keys() == expected
        assert all(torch.equal(tensors[key], value) for key, value in student.items())
        files = {"README.md", "config.json", "model.safetensors"} | ({"model.onnx"} if name == PIXELS else set())
        assert {path.name for path in exports(name).iterdir()} == files


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
