"""The small shipped teachers: weights, model cards, and the scripts that made them; here is what all of these do."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


def cosine(step: int, steps: int, warmup: int, peak: float) -> float:
    """Learning rate: linear warm-up, then a half cosine to zero."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def descend(loss: Tensor, optimiser: torch.optim.Optimizer, clipped: Iterable[nn.Parameter], rate: float) -> None:
    """One step at a learning rate; the gradient of the parameters ``clipped`` has at most the norm 3."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(clipped, 3.0)
    optimiser.step()
