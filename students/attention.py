"""Multi-head attention over the tokens of one image (or caption), averaged, then one linear layer.

Each sample attends to its own tokens only. Feeding the pooled batch as one sequence would make an embedding
depend on its neighbours in the batch.
"""

import math

import torch
from torch import Tensor, nn

from students import Dims

READS = "tokens"
TEXT_READS = "tokens"
LOSS = {"classification": "logit-matching", "captions": "attention-transfer"}


class Attend(nn.Module):
    """``[B, T, D] -> [B, E]`` and the attention that each patch receives, mean over heads and queries."""

    def __init__(self, dims: Dims):
        super().__init__()
        heads = math.gcd(dims.features, 8)
        self.attention = nn.MultiheadAttention(dims.features, heads, batch_first=True)
        self.project = nn.Linear(dims.features, dims.embedding)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        mixed, weights = self.attention(tokens, tokens, tokens)
        return self.project(mixed.mean(dim=1)), weights.mean(dim=1)[:, 1:]


class AttendText(Attend):
    """The same over the first ``lengths [C]`` tokens of each caption."""

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        padding = torch.arange(tokens.shape[1], device=tokens.device) >= lengths[:, None]
        mixed, _ = self.attention(tokens, tokens, tokens, key_padding_mask=padding, need_weights=False)
        total = mixed.masked_fill(padding[..., None], 0).sum(dim=1)
        return self.project(total / lengths[:, None])


def image_tower(dims: Dims) -> nn.Module:
    return Attend(dims)


def text_tower(dims: Dims) -> nn.Module:
    return AttendText(dims)
