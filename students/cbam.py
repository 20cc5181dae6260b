"""CBAM (Woo et al., 1807.06521): two blocks of channel, then spatial attention on the patch grid, then one linear layer.

The paper uses CBAM on the image side only; captions go through one linear layer.
"""

import math

import torch
from torch import Tensor, nn

from students import Dims

READS = "tokens"
ATTENTION = True
TEXT_READS = "pooled"
LOSS = {"classification": "logit-matching", "captions": "attention-transfer"}
RATIO = 16


class Cbam(nn.Module):
    """One block on a grid: ``[B, D, G, G]`` to the same shape and its spatial attention ``[B, 1, G, G]``."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = max(1, channels // RATIO)
        self.mlp = nn.Sequential(
            nn.Linear(channels, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, channels, bias=False)
        )
        self.spatial = nn.Conv2d(2, 1, kernel_size=7, padding=3, bias=False)

    def forward(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        channel = torch.sigmoid(self.mlp(grid.mean(dim=(2, 3))) + self.mlp(grid.amax(dim=(2, 3))))
        grid = grid * channel[:, :, None, None]
        pooled = torch.cat([grid.mean(dim=1, keepdim=True), grid.amax(dim=1, keepdim=True)], dim=1)
        attention = torch.sigmoid(self.spatial(pooled))
        return grid * attention, attention


class CbamChain(nn.Module):
    """Tokens ``[B, 1 + P, D]``, of which the grid is read, to ``[B, E]`` and the last spatial attention ``[B, P]``."""

    def __init__(self, dims: Dims):
        super().__init__()
        self.blocks = nn.ModuleList([Cbam(dims.features), Cbam(dims.features)])
        self.project = nn.Linear(dims.features, dims.embedding)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        patches = tokens[:, 1:]
        side = math.isqrt(int(patches.shape[1]))
        grid = patches.transpose(1, 2).unflatten(2, (side, side))
        for block in self.blocks:
            grid, attention = block(grid)
        return self.project(grid.mean(dim=(2, 3))), attention.flatten(1)


def image_tower(dims: Dims) -> nn.Module:
    return CbamChain(dims)


def text_tower(dims: Dims) -> nn.Module:
    return nn.Linear(dims.features, dims.embedding)
