"""``model.onnx``: the image side of a student that reads pixels as one file, for ONNX Runtime and the like."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch

from bench.export.classifier import Classified, Classifier
from bench.export.loaded import Exported, ExportError
from bench.kit.files import write_atomically

GRAPH = "model.onnx"
NEEDED = ("onnx", "onnxscript", "onnxruntime")
BATCHES = (1, 2, 5)  # of random images on which both are compared
TOLERANCE = 1e-4  # of an entry of a unit-length embedding


def write(
    model: Exported, folder: Path, say: Callable[[str], object], classifier: Classifier | None = None
) -> float | None:
    """The largest difference of ``model.onnx`` to PyTorch; None where it was left out, of which ``say`` gets a line."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        say(f"{GRAPH} was left out: {', '.join(missing)} not installed; uv sync --extra onnx installs them")
        return None
    try:
        return _write(model, folder, classifier)
    except torch.onnx.OnnxExporterError as error:
        reason = str(error).strip().partition("\n")[0]
        say(f"{GRAPH} was left out: torch.onnx cannot express the student '{model.config.student}' ({reason})")
        return None


def _write(model: Exported, folder: Path, classifier: Classifier | None) -> float:
    """Write ``model.onnx`` of a student that reads pixels; returns the largest difference to PyTorch on random images.

    Input ``pixels``: uint8 ``[batch, 3, H, W]``; outputs ``embeddings``: float32 ``[batch, E]``, unit length, and with a
    classifier ``logits [batch, C]``. Raises :class:`ExportError` where ONNX Runtime's differ from PyTorch's.
    """
    import onnxruntime

    side, generator = model.config.side, torch.Generator().manual_seed(0)
    batches = [torch.randint(0, 256, (size, 3, side, side), generator=generator, dtype=torch.uint8) for size in BATCHES]
    program = torch.onnx.export(
        Classified(model.deployed, classifier).eval() if classifier else model.deployed,
        (batches[-1],),
        dynamo=True,
        verbose=False,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        input_names=["pixels"],
        output_names=["embeddings", "logits"] if classifier else ["embeddings"],
    )
    write_atomically(folder / GRAPH, lambda path: program.save(path, external_data=False))
    session = onnxruntime.InferenceSession(folder / GRAPH, providers=["CPUExecutionProvider"])
    differences = []
    for pixels in batches:
        embeddings = model.image(pixels)
        expected = [embeddings, classifier(embeddings)] if classifier else [embeddings]
        for own, theirs in zip(expected, session.run(None, {"pixels": pixels.numpy()}), strict=True):
            # Logits may be large.
            differences.append((own - torch.from_numpy(theirs)).abs().max() / own.abs().max().clamp(min=1))
    largest = torch.stack(differences).max().item()
    if not largest <= TOLERANCE:
        raise ExportError(f"{GRAPH} differs from PyTorch by {largest:.2g} on random images, more than {TOLERANCE:g}")
    return largest
