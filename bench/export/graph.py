"""Writes a student that stands alone as ONNX, and checks it against PyTorch."""

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from bench.export.loaded import Exported
from bench.kit.files import write_atomically

FILE = "model.onnx"
NEEDED = ("onnx", "onnxscript", "onnxruntime")
BATCHES = (1, 2, 5)  # of random images on which both are compared
TOLERANCE = 1e-4  # of an entry of a unit-length embedding


class OnnxError(RuntimeError):
    """The graph does not compute what the student does."""


def missing() -> list[str]:
    """The packages that are needed and not installed."""
    return [name for name in NEEDED if find_spec(name) is None]


def write(model: Exported, folder: Path) -> float:
    """Write ``model.onnx`` of a student that reads pixels; returns the largest difference to PyTorch on random images.

    Input ``pixels``: uint8 ``[batch, 3, H, W]``; output ``embeddings``: float32 ``[batch, E]``, unit length. Raises
    :class:`OnnxError` where ONNX Runtime's embeddings differ from PyTorch's.
    """
    batch = torch.export.Dim("batch")
    program = torch.onnx.export(
        model.deployed.eval(), (_pixels(model, 2),), dynamo=True, verbose=False, dynamic_shapes=({0: batch},),
        input_names=["pixels"], output_names=["embeddings"],
    )  # fmt: skip
    write_atomically(folder / FILE, lambda path: program.save(path, external_data=False))
    difference = max(_difference(model, folder / FILE, _pixels(model, size)) for size in BATCHES)
    if not difference <= TOLERANCE:
        raise OnnxError(f"{FILE} differs from PyTorch by {difference:.2g} on random images, more than {TOLERANCE:g}")
    return difference


def _difference(model: Exported, path: Path, pixels: Tensor) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (embeddings,) = session.run(["embeddings"], {"pixels": pixels.numpy()})
    return (torch.from_numpy(embeddings) - model.image(pixels)).abs().max().item()


def _pixels(model: Exported, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    side = model.config.side
    return torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)
