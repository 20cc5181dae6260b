"""Steps of pre-training: augmentation of whole batches (crops with rotation, colour, nothing else), and descent.

Chance is drawn on the CPU and sent to where the images lie: a seed means the same on every device.
"""

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from teachers import sent

LUMA = torch.tensor([0.299, 0.587, 0.114])  # shares of red, green and blue in brightness (ITU-R BT.601)


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
    where = F.affine_grid(sent(theta, images.device), [count, 3, size, size], align_corners=False)
    return F.grid_sample(images, where, padding_mode="reflection", align_corners=False)


def recolour(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Mix the channels of each image (values in [0, 255]) by a random matrix near the identity, and shift them."""
    count = len(images)
    matrix = torch.eye(3) + strength * torch.randn(count, 3, 3, generator=generator)
    shift = 255 * strength * 0.5 * torch.randn(count, 3, 1, generator=generator)
    matrix, shift = sent(matrix, images.device), sent(shift, images.device)
    return (matrix @ images.flatten(2) + shift).clamp(0, 255).view_as(images)


def jitter(images: Tensor, mixing: float, greyscale: float, strength: float, generator: torch.Generator) -> Tensor:
    """Vary the colours of images ``[B, 3, H, W]`` in [0, 255] as photographs need it.

    Channels are mixed by a random matrix near the identity, and saturation, contrast and brightness multiplied by
    factors within ``1 - strength`` and ``1 + strength``; ``greyscale`` is the share of images that lose all colour.
    All of it is linear in a pixel: one matrix and one shift for each image.
    """
    count, identity = len(images), torch.eye(3)
    saturation, contrast, brightness = 1 + strength * (2 * torch.rand(3, count, 1, 1, generator=generator) - 1)
    saturation = torch.where(torch.rand(count, 1, 1, generator=generator) < greyscale, 0.0, saturation)
    mix = identity + mixing * torch.randn(count, 3, 3, generator=generator)
    grey = LUMA.expand(3, 3)
    matrix = sent(contrast * (grey + saturation * (identity - grey)) @ mix, images.device)
    brightness = sent(brightness, images.device)
    flat = images.flatten(2)
    mean = flat.mean(dim=2, keepdim=True)
    shift = brightness * mean.mean(dim=1, keepdim=True) - (matrix @ mean).mean(dim=1, keepdim=True)
    return (matrix @ flat + shift).clamp(0, 255).view_as(images)


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
