"""Embeddings drawn at random, the same on every call."""

import torch
from torch.nn import functional


def embeddings(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)
