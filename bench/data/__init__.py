"""Datasets, one file each: the file's name is the dataset's name.

A dataset file states ``KIND`` ("classification" or "captions") and offers ``load(split, count, seed) -> Split``. Nothing here knows of teachers or students.
"""

from dataclasses import dataclass, field, replace
from importlib import import_module

import torch
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """One split of a dataset, in memory.

    ``pixels`` are uint8 ``[N, 3, H, W]`` in [0, 255]. Classification has ``labels`` (int64 ``[N]``) and
    ``classes``; image-text data has ``captions`` (C strings) and ``owner`` (int64 ``[C]``: the image each
    caption belongs to).
    """

    pixels: Tensor
    classes: tuple[str, ...] = ()
    labels: Tensor | None = None
    captions: tuple[str, ...] = field(default=(), repr=False)
    owner: Tensor | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def to(self, device: torch.device) -> "Split":
        """The same with every array on ``device``."""
        moved = {
            name: value.to(device)
            for name in ("pixels", "labels", "owner")
            if (value := getattr(self, name)) is not None
        }
        return replace(self, **moved)


def load(name: str, split: str, count: int, seed: int = 0) -> Split:
    """Load ``split`` ("train" or "test") of the dataset called ``name``, at most ``count`` images."""
    return import_module(f"bench.data.{name.replace('-', '_')}").load(split, count, seed)
