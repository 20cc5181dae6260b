"""The ONNX graph of a student that stands alone: it says what PyTorch does, or it is not written."""

import re

import onnxruntime
import pytest
import torch

from bench import export
from bench.export import graph, loaded
from bench.export.loaded import Exported
from bench.measure.deployed import Deployed
from tests.bench.export.three import PIXELS, pictures


@pytest.mark.parametrize("count", [1, 3, 70])
def test_the_onnx_graph_says_what_pytorch_does_for_any_batch(cases, exports, count):
    folder = exports(PIXELS)
    model, session = loaded.load(folder), onnxruntime.InferenceSession(folder / "model.onnx")
    drawn = torch.randint(0, 256, (count, 3, 32, 32), generator=torch.Generator().manual_seed(7), dtype=torch.uint8)
    for pixels in (drawn, pictures(export.named(cases, PIXELS), count).pixels):
        (embeddings,) = session.run(None, {"pixels": pixels.numpy()})
        expected = model.image(pixels)
        torch.testing.assert_close(torch.from_numpy(embeddings), expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(expected.norm(dim=1), torch.ones(count))
    stated = re.search(r"difference to PyTorch was ([\d.e-]+)\.\s", (folder / "README.md").read_text(encoding="utf-8"))
    assert 0 <= float(stated[1]) < 1e-5


def test_a_graph_that_computes_something_else_is_not_exported(cases, results, tmp_path, monkeypatch):
    monkeypatch.setattr(Exported, "image", lambda self, pixels: -self.deployed(pixels))
    with pytest.raises(graph.OnnxError, match="differs from PyTorch"):
        export.export(export.named(cases, PIXELS), results, tmp_path / "to")
    assert [*tmp_path.iterdir()] == []


def test_without_onnx_installed_the_rest_is_written_and_the_command_messages(cases, results, tmp_path, monkeypatch):
    messages = []
    monkeypatch.setattr(graph, "NEEDED", ("onnx", "no_such_package"))
    written = export.export(export.named(cases, PIXELS), results, tmp_path / "to", messages.append)
    assert [path.name for path in written] == ["README.md", "config.json", "model.safetensors"]
    assert (
        len(messages) == 1 and "no_such_package not installed" in messages[0] and "uv sync --extra onnx" in messages[0]
    )
    assert "onnx" not in (tmp_path / "to" / "README.md").read_text(encoding="utf-8")


def test_a_student_that_onnx_cannot_express_is_exported_without_it(cases, results, tmp_path, monkeypatch):
    messages = []

    def depends_on_values(self, pixels):
        return forward(self, pixels if pixels.sum().item() > 0 else pixels + 1)

    forward = Deployed.forward
    monkeypatch.setattr(Deployed, "forward", depends_on_values)
    written = export.export(export.named(cases, PIXELS), results, tmp_path / "to", messages.append)
    assert [path.name for path in written] == ["README.md", "config.json", "model.safetensors"]
    assert len(messages) == 1 and "cannot express the student 'resnet'" in messages[0]
