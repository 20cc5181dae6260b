"""Teachers, one file each: the file's name is the teacher's name.

A teacher file states ``KIND`` (the kind of dataset it pairs with) and offers ``load(weights)``, which
returns a frozen ``nn.Module`` in eval mode with the interface of :class:`Teacher`. Pixels go in as they are
stored (uint8 or float in [0, 255]); every teacher resizes and normalises for itself.

``weights`` is ``pocket`` (small, shipped beside this file), ``pretrained`` (full size, from the hub or its
cache) or ``random`` (full-size architecture, for timing, sizes and as a control).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POCKET = Path(__file__).parent / "pocket"


@dataclass(frozen=True)
class ImageFeatures:
    """What a teacher says about ``B`` images.

    ``pooled [B, D]`` and ``patches [B, P, D]`` are what students read (P a square grid, row by row);
    ``attention [B, P]`` is the last layer's attention from the pooled token to the patches, mean over heads,
    rows summing to one; ``joint [B, E]`` is the unit-length embedding behind the teacher's own similarities.
    """

    pooled: Tensor
    patches: Tensor
    attention: Tensor
    joint: Tensor


@dataclass(frozen=True)
class TextFeatures:
    """What a teacher says about ``C`` captions: ``pooled [C, D]``, ``tokens [C, L, D]`` of which the first
    ``lengths [C]`` count, and the unit-length ``joint [C, E]``."""

    pooled: Tensor
    tokens: Tensor
    lengths: Tensor
    joint: Tensor


class Teacher(Protocol):
    """The interface of every teacher."""

    size: int  # input side in pixels
    scale: float  # factor on the cosine of two joint embeddings before the softmax
    reduce_to: int | None  # width to which features are reduced by PCA before students see them

    def vision(self) -> nn.Module: ...  # what must run to embed an image

    def image(self, pixels: Tensor) -> ImageFeatures: ...

    def text(self, captions: Sequence[str]) -> TextFeatures: ...


def load(name: str, weights: str) -> Teacher:
    """Load teacher ``name``, frozen and in eval mode."""
    teacher = import_module(f"teachers.{name}").load(weights)
    return teacher.eval().requires_grad_(False)


def prepare(pixels: Tensor, size: int, mean: Sequence[float], std: Sequence[float], mode: str = "bicubic") -> Tensor:
    """Pixels ``[B, 3, H, W]`` in [0, 255] to a model's input: resized to ``size``, normalised, float."""
    images = pixels.float() / 255
    if images.shape[-2:] != (size, size):
        images = F.interpolate(images, (size, size), mode=mode, antialias=True, align_corners=False).clamp(0, 1)
    shift = images.new_tensor(mean).view(1, 3, 1, 1)
    return (images - shift) / images.new_tensor(std).view(1, 3, 1, 1)


@contextmanager
def attention_of(dropout: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the softmaxed attention ``[B, heads, T, T]`` that passes through an attention's dropout layer."""
    seen: list[Tensor] = []
    hook = dropout.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        yield seen
    finally:
        hook.remove()


def to_patches(rows: Tensor) -> Tensor:
    """Attention rows over all tokens, the first of them CLS, ``[B, 1 + P]`` to a distribution over patches ``[B, P]``."""
    patches = rows[:, 1:].float()
    return patches / patches.sum(dim=1, keepdim=True)


def unit(embeddings: Tensor) -> Tensor:
    """Rows scaled to unit length, in float32."""
    return F.normalize(embeddings.float(), dim=-1)


def load_pocket(model: nn.Module, name: str) -> nn.Module:
    """Fill ``model`` with the shipped pocket weights of teacher ``name``.

    Raises ``RuntimeError`` naming missing or unexpected tensors: a partly initialised teacher is refused.
    """
    from safetensors.torch import load_file

    path = POCKET / f"{name}.safetensors"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; train it with: python -m teachers.pocket.train {name}")
    state = {key: tensor.float() for key, tensor in load_file(path).items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    if missing or unexpected:
        raise RuntimeError(f"{path.name} does not fit its teacher: missing {missing}, unexpected {unexpected}")
    return model


def check_weights(name: str, weights: str) -> None:
    """Refuse a ``weights`` value that no teacher knows."""
    known = ("pocket", "pretrained", "random")
    if weights not in known:
        raise ValueError(f"teacher {name}: weights {weights!r} is not one of {', '.join(known)}")


def random_like(build):
    """Build a model from a fixed seed without touching the caller's random state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()
