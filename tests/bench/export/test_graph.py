"""The ONNX graph of a student that stands alone: it says what PyTorch does, or it is not written."""

import re

import onnxruntime
import pytest
import torch

from bench import export
from bench.export import graph
from tests.bench.export.three import PIXELS, pictures


@pytest.mark.parametrize("count", [1, 3, 70])
def test_the_onnx_graph_says_what_pytorch_does_for_any_batch(cases, exports, count):
    folder = exports(PIXELS)
    model, session = export.load(folder), onnxruntime.InferenceSession(folder / "model.onnx")
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


def depends_on_values(self, pixels):
    return self.student.image(pixels if pixels.sum().item() > 0 else pixels + 1)[0]


@pytest.mark.parametrize(
    ("place", "name", "value", "reason"),
    [
        (graph, "NEEDED", ("onnx", "no_such_package"), "no_such_package not installed; uv sync --extra onnx"),
        (graph.Images, "forward", depends_on_values, "cannot express the student 'resnet'"),
    ],
)
def test_where_there_can_be_no_graph_the_rest_is_written_and_the_reason_said(
    cases, results, tmp_path, monkeypatch, place, name, value, reason
):
    messages = []
    monkeypatch.setattr(place, name, value)
    files = export.export(export.named(cases, PIXELS), results, tmp_path / "to", messages.append)
    assert [path.name for path in files] == ["README.md", "config.json", "model.safetensors"]
    assert len(messages) == 1 and reason in messages[0]
    assert "onnx" not in (tmp_path / "to" / "README.md").read_text(encoding="utf-8")
