"""Embeddings, labels and orders drawn at random, the same on every call."""

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from torch.nn import functional


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def unit(*shape, seed=0):
    return functional.normalize(torch.randn(*shape, generator=seeded(seed)), dim=-1)


def integers(high, count, seed):
    return torch.randint(0, high, (count,), generator=seeded(seed))


def permutation(count, seed):
    return torch.randperm(count, generator=seeded(seed))


def clusters(samples, classes, width, noise, seed=0, spread=0.0):
    """Unit-length embeddings around class centres; ``spread`` decades between the widest and the narrowest direction."""
    generator = seeded(seed)
    labels = torch.arange(samples) % classes
    centres = unit(classes, width, seed=99)
    x = centres[labels] + noise * functional.normalize(torch.randn(samples, width, generator=generator), dim=1)
    return functional.normalize(x * torch.logspace(0, -spread, width), dim=1), labels


def standard(train):
    """Mean ``[D]`` and scale ``[D + 1]`` of the features."""
    scaler = StandardScaler().fit(train.double().numpy())
    return torch.from_numpy(scaler.mean_), torch.from_numpy(np.append(1 / scaler.scale_, 1.0))
