"""``model.py``: a student that reads pixels as one file of Python beside its weights, which needs no checkout of this suite.

It is the student's own file with what it uses of ``students/__init__.py``, so that a reader sees all that runs. A program of
``torch.export`` would be shorter to write, but its loader unpickles, and a later PyTorch may not read it.
"""

import ast
import inspect
import runpy
from pathlib import Path

import torch

import students
from bench import registry
from bench.export.loaded import Exported, ExportError

FILE = "model.py"
SHARED = (students.Dims, students.bottleneck_head, students.FromPixels)
OURS = ("bench", "students", "teachers")
TOLERANCE = 1e-6  # of an entry of a unit-length embedding

TEXT = '''"""{case} by distill-bench: pixels to unit-length embeddings, with torch, timm and safetensors alone.

    from model import load
    embeddings = load()(pixels)
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

{shared}


# students/{student}
{own}


class Model(nn.Module):
    """Pixels ``[B, 3, {side}, {side}]``, uint8 or float in [0, 255], to embeddings ``[B, {width}]``."""

    def __init__(self):
        super().__init__()
        self.tower = image_tower({dims})

    def forward(self, pixels: Tensor) -> Tensor:
        output = self.tower(pixels)
        return F.normalize((output[0] if isinstance(output, tuple) else output).float(), dim=-1)


def load(folder: str | Path = Path(__file__).parent) -> Model:
    """The trained model, frozen, in eval mode."""
    model, prefix = Model(), "student.image_tower."
    tensors = load_file(Path(folder) / "model.safetensors")
    own = {{name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}}
    model.tower.load_state_dict(own)
    return model.eval().requires_grad_(False)
'''


def write(model: Exported, folder: Path) -> str | None:
    """Write ``model.py`` beside the weights; why not, where the student's file needs more of the checkout.

    Raises :class:`ExportError` where it gives other embeddings than ``model`` on random images.
    """
    config = model.config
    file = registry.path("student", config.student)
    source = file.read_text(encoding="utf-8")
    if more := _needs(source):
        return f"students/{file.name} imports {more}"
    shared = "\n\n".join(inspect.getsource(each) for each in SHARED)
    text = TEXT.format(
        case=config.case, student=file.name, shared=shared.rstrip(), own=_without_imports(source), side=config.side,
        width=config.dims.embedding, dims=config.dims,
    )  # fmt: skip
    (folder / FILE).write_text(text, encoding="utf-8")
    pixels = torch.randint(0, 256, (2, 3, config.side, config.side), generator=torch.Generator().manual_seed(0))
    difference = (runpy.run_path(str(folder / FILE))["load"]()(pixels) - model.image(pixels)).abs().max().item()
    if not difference <= TOLERANCE:
        raise ExportError(f"{FILE} differs from the student '{config.student}' by {difference:.2g} on random images")
    return None


def _needs(source: str) -> str | None:
    """What a student's file imports of the checkout beside what is ``SHARED``."""
    shared = {each.__name__ for each in SHARED}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "students" and not node.level:
            if more := {alias.name for alias in node.names} - shared:
                return f"students.{sorted(more)[0]}"
        elif isinstance(node, ast.ImportFrom) and (node.level or node.module.split(".")[0] in OURS):
            return "." * node.level + (node.module or "")
        elif isinstance(node, ast.Import) and (more := [a.name for a in node.names if a.name.split(".")[0] in OURS]):
            return more[0]
    return None


def _without_imports(source: str) -> str:
    """A student's file without its docstring and what it imports of ``students``."""
    lines = source.splitlines()
    for node in ast.parse(source).body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_docstring or (isinstance(node, ast.ImportFrom) and node.module == "students"):
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return "\n".join(lines).strip()
