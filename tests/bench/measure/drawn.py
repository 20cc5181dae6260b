"""Embeddings, labels and orders drawn at random, the same on every call."""

import torch
from torch.nn import functional


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def unit(*shape, seed=0):
    return functional.normalize(torch.randn(*shape, generator=seeded(seed)), dim=-1)


def integers(high, count, seed):
    return torch.randint(0, high, (count,), generator=seeded(seed))


def permutation(count, seed):
    return torch.randperm(count, generator=seeded(seed))
