"""Multi-head attention over the tokens of one image (or caption), averaged, then one linear layer.

Each sample attends to its own tokens only. Feeding the pooled batch as one sequence would make an embedding
depend on its neighbours in the batch.

Only the mean over the queries is used, and everything after the softmax is linear. So the mean is taken of the
attention itself, and the values are computed of H weighted means instead of T tokens: the same function with half of
the work (0.265 GMAC instead of 0.525 for 197 tokens of width 768).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from students import Dims

READS = "tokens"
ATTENTION = True
TEXT_READS = "tokens"
LOSS = {"classification": "logit-matching", "captions": "attention-transfer"}


class Attend(nn.Module):
    """``[B, T, D] -> [B, E]`` and the attention that each patch receives, mean over heads and queries ``[B, T - 1]``."""

    def __init__(self, dims: Dims):
        super().__init__()
        heads = math.gcd(dims.features, 8)
        self.attention = nn.MultiheadAttention(dims.features, heads, batch_first=True)  # holds the weights
        self.project = nn.Linear(dims.features, dims.embedding)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        weights = self._weights(tokens).mean(dim=2)
        return self._mixed(tokens, weights), weights.mean(dim=1)[:, 1:]

    def _weights(self, tokens: Tensor, padding: Tensor | None = None) -> Tensor:
        """How much each token attends to each other one: ``[B, H, T, T]``, rows summing to one."""
        own, heads, width = self.attention, self.attention.num_heads, tokens.shape[-1]
        both = F.linear(tokens, own.in_proj_weight[: 2 * width], own.in_proj_bias[: 2 * width])
        query, key = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in both.chunk(2, dim=-1))
        scores = query @ key.transpose(-2, -1) / math.sqrt(width // heads)
        if padding is not None:
            scores = scores.masked_fill(padding[:, None, None], -math.inf)
        return scores.softmax(dim=-1)

    def _mixed(self, tokens: Tensor, weights: Tensor) -> Tensor:
        """Embeddings of tokens that are seen with ``weights [B, H, T]``."""
        own, heads, width = self.attention, self.attention.num_heads, tokens.shape[-1]
        seen = (weights @ tokens).transpose(0, 1)
        values = own.in_proj_weight[2 * width :].unflatten(0, (heads, -1))
        mixed = (seen @ values.transpose(1, 2)).transpose(0, 1).flatten(1) + own.in_proj_bias[2 * width :]
        return self.project(own.out_proj(mixed))


class AttendText(Attend):
    """The same over the first ``lengths [C]`` tokens of each caption."""

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        padding = torch.arange(tokens.shape[1], device=tokens.device) >= lengths[:, None]
        weights = self._weights(tokens, padding).masked_fill(padding[:, None, :, None], 0)
        return self._mixed(tokens, weights.sum(dim=2) / lengths[:, None, None])


def image_tower(dims: Dims) -> nn.Module:
    return Attend(dims)


def text_tower(dims: Dims) -> nn.Module:
    return AttendText(dims)
