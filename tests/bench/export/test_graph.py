"""The ONNX graph of a student that stands alone: it computes what PyTorch does, or it is not written."""

import re

import onnxruntime
import pytest
import torch

from bench import export
from bench.export import graph
from bench.measure.cost import Deployed
from tests.bench.export.three import PIXELS, pictures


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


def test_a_graph_that_computes_something_else_is_not_exported(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(export.Exported, "image", lambda self, pixels: -self.deployed(pixels))
    with pytest.raises(graph.OnnxError, match="differs from PyTorch"):
        exported([])
    assert [*tmp_path.iterdir()] == []


def test_without_onnx_installed_the_rest_is_written_and_the_log_says_so(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(graph, "NEEDED", ("onnx", "no_such_package"))
    log = []
    paths = exported(log)
    assert [path.name for path in paths] == ["README.md", "config.json", "model.safetensors"]
    assert log == ["model.onnx was left out: no_such_package not installed; uv sync --extra onnx installs them"]
    assert "onnx" not in (tmp_path / "to" / "README.md").read_text(encoding="utf-8")


def test_a_student_that_onnx_cannot_express_is_exported_without_it(exported, monkeypatch):
    def depends_on_values(self, pixels):
        return self.tower(pixels if pixels.sum().item() > 0 else pixels + 1)

    monkeypatch.setattr(Deployed, "forward", depends_on_values)
    log = []
    paths = exported(log)
    assert [path.name for path in paths] == ["README.md", "config.json", "model.safetensors"]
    assert len(log) == 1 and "cannot express the student 'resnet'" in log[0]
