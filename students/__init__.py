"""Students, one file each: the file's name is the student's name. Adding one is writing one file.

A student file states, as plain literals,

* ``READS``: what its image tower reads: "pooled" ``[B, D]``, "tokens" ``[B, 1 + P, D]`` (the pooled token first, then
  the patch grid row by row) or "pixels" (uint8 ``[B, 3, H, W]``);
* ``TEXT_READS``: what its text tower reads: "pooled" ``[C, D]`` or "tokens" ``([C, L, D], lengths [C])``;
* ``LOSS``: its default loss for each kind of dataset;
* ``MAP = True`` where its image tower has a trunk with a last map (see :class:`FromPixels`), which losses may compare with
  the teacher's patches;
* ``ATTENTION = True`` where its image tower has an attention map, which losses may compare with the teacher's;

and offers ``image_tower(dims)`` and ``text_tower(dims)``, which return an ``nn.Module``. A tower returns embeddings
``[B, E]``; an image tower with an attention map returns ``(embeddings, attention [B, P])``.
"""

from dataclasses import dataclass
from importlib import import_module

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.declared import LibraryStudent
from bench.kit.errors import defined


@dataclass(frozen=True)
class Dims:
    """Widths that a student is built for.

    ``features`` is the teacher's feature width D, ``embedding`` the output width E, ``trunk`` says whether a CNN
    is built at "full" or "pocket" size.
    """

    features: int
    embedding: int = 256
    bottleneck: int = 128
    trunk: str = "full"


class Student(nn.Module):
    """An image tower and, for caption data, a text tower; embeddings come out with unit length, in float32."""

    def __init__(self, image: nn.Module, text: nn.Module | None):
        super().__init__()
        self.image_tower, self.text_tower = image, text

    def image(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """Unit-length embeddings ``[B, E]`` and the attention map ``[B, P]``, if this student has one."""
        output = self.image_tower(inputs)
        embeddings, attention = output if isinstance(output, tuple) else (output, None)
        return F.normalize(embeddings.float(), dim=-1), attention

    def image_and_map(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Unit-length embeddings ``[B, E]`` and the last map of the trunk ``[B, C, H, W]``, of a student that has one."""
        embeddings, last_map = self.image_tower.with_map(pixels)
        return F.normalize(embeddings.float(), dim=-1), last_map

    def input_side(self, side: int) -> int:
        """The side of what its trunk sees of images of ``side`` pixels: a library's model resizes them."""
        return getattr(self.image_tower, "size", side)

    def text(self, *inputs: Tensor) -> Tensor:
        """Unit-length caption embeddings ``[C, E]``."""
        return F.normalize(self.text_tower(*inputs).float(), dim=-1)


def build(name: str, dims: Dims, kind: str, seed: int = 0, model: LibraryStudent | None = None) -> Student:
    """The student called ``name`` for data of ``kind``; the same seed always gives the same weights.

    ``model`` describes one that the matrix declares.
    """
    module = import_module("students.libraries.timm" if model else f"students.{name.replace('-', '_')}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        arguments = (dims, model) if model else (dims,)
        image = defined(module, "image_tower")(*arguments)
        return Student(image, defined(module, "text_tower")(dims) if kind == "captions" else None)


def bottleneck_head(width: int, dims: Dims) -> nn.Sequential:
    """Linear, ReLU, Linear: ``[B, width] -> [B, E]`` through ``dims.bottleneck``."""
    return nn.Sequential(nn.Linear(width, dims.bottleneck), nn.ReLU(), nn.Linear(dims.bottleneck, dims.embedding))


class FromPixels(nn.Module):
    """A timm trunk on raw pixels in [0, 255], normalised here, then a bottleneck: ``[B, 3, H, W] -> [B, E]``."""

    def __init__(self, trunk: nn.Module, dims: Dims):
        super().__init__()
        self.trunk = trunk
        self.head = bottleneck_head(trunk.num_features, dims)
        # ImageNet's channel means and deviations; constants, neither parameters nor state.
        self.register_buffer("mean", torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.trunk(self._normalised(pixels)))

    def with_map(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The same and the trunk's last map ``[B, C, H, W]``."""
        last_map = self.trunk.forward_features(self._normalised(pixels))
        return self.head(self.trunk.forward_head(last_map)), last_map

    def _normalised(self, pixels: Tensor) -> Tensor:
        images = (pixels.float() - self.mean) / self.std
        # Channels last: twice as fast on two CPU cores at 16 channels, and what tensor cores want.
        return images.contiguous(memory_format=torch.channels_last)
