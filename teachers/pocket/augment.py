"""Augmentations for pre-training, on whole batches: crops with rotation, colour, nothing else."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def crop(images: Tensor, size: int, area: tuple[float, float], rotation: float, generator: torch.Generator) -> Tensor:
    """Random resized, rotated and mirrored crops ``[B, 3, size, size]`` of images ``[B, 3, H, W]``.

    ``area`` bounds the share of the image that a crop covers; ``rotation`` is the largest angle in radians.
    """
    count = len(images)

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(count, generator=generator) * (high - low) + low

    side = uniform(*area).sqrt()
    angle = uniform(-rotation, rotation)
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    x, y = ((1 - side) * uniform(-1, 1) for _ in range(2))
    cos, sin = angle.cos() * side, angle.sin() * side
    theta = torch.stack([torch.stack([cos * mirror, -sin, x], 1), torch.stack([sin * mirror, cos, y], 1)], 1)
    where = F.affine_grid(theta, [count, 3, size, size], align_corners=False)
    return F.grid_sample(images, where, padding_mode="reflection", align_corners=False)


def recolour(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Mix the channels of each image (values in [0, 255]) by a random matrix near the identity, and shift them."""
    count = len(images)
    matrix = torch.eye(3) + strength * torch.randn(count, 3, 3, generator=generator)
    shift = 255 * strength * 0.5 * torch.randn(count, 3, 1, generator=generator)
    return (matrix @ images.flatten(2) + shift).clamp(0, 255).view_as(images)


def cosine(step: int, steps: int, warmup: int, peak: float) -> float:
    """Learning rate: linear warm-up, then a half cosine to zero."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
