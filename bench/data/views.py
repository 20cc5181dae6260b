"""Augmented views of images: a crop, a flip and colours that follow from a number and the image's row, batched on the device.

A view has the side of the pixels that it is made of, in whole grey levels, so that a teacher and a student who both read
it see the same pixels, each through its own resizing. The crop is that of torchvision's ``RandomResizedCrop`` (Szegedy
et al., 1409.4842), with one draw where that tries again; colours are those of its ``ColorJitter`` in their usual order,
without hue, which is slow and tells some classes apart.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.data.split import Split

AREA = (0.25, 1.0)  # share of the picture that is cut out
RATIO = (3 / 4, 4 / 3)  # of its width to its height
JITTER = 0.4  # factors on brightness, contrast and saturation are 1 - JITTER to 1 + JITTER
GREY = (0.2989, 0.587, 0.114)  # as torchvision weighs red, green and blue
FIRST = 0x76696577  # seed of view 0: none that anything else is drawn with
NUMBERS = 8  # of a view: top, left, height, width, flip, brightness, contrast, saturation


def drawn(count: int, side: int, number: int) -> Tensor:
    """The numbers of view ``number`` of ``count`` images of ``side`` pixels, float32 ``[count, 8]``."""
    chance = torch.rand(NUMBERS, count, generator=torch.Generator().manual_seed(FIRST + number))
    area = side**2 * (AREA[0] + (AREA[1] - AREA[0]) * chance[0])
    ratio = (math.log(RATIO[0]) + math.log(RATIO[1] / RATIO[0]) * chance[1]).exp()
    height, width = ((area * shape).sqrt().round().clamp(1, side) for shape in (1 / ratio, ratio))
    top, left = (
        (part * (side - length + 1)).floor().minimum(side - length)
        for part, length in ((chance[2], height), (chance[3], width))
    )
    colours = 1 - JITTER + 2 * JITTER * chance[5:]
    return torch.stack([top, left, height, width, (chance[4] < 0.5).float(), *colours], dim=1)


def several(count: int, split: Split) -> Tensor:
    """Those of ``count`` views of each of a split's N images, view by view, ``[count * N, 8]``."""
    return torch.cat([drawn(len(split), split.side, number) for number in range(count)])


def render(pixels: Tensor, numbers: Tensor) -> Tensor:
    """The views of uint8 images ``[B, 3, S, S]`` that have these ``numbers [B, 8]``, uint8 ``[B, 3, S, S]``."""
    side = pixels.shape[-1]
    top, left, height, width, flip, *factors = numbers.T[..., None]
    place = torch.arange(side, device=pixels.device) + 0.5  # [S]
    across, down = torch.where(flip > 0, side - place, place), place
    # Bilinear, as if there were nothing beyond the crop. It never has more pixels than its view: nothing is to be blurred.
    x, y = (
        start + (at * length / side - 0.5).clamp_min(0).minimum(length - 1)
        for start, at, length in ((left, across, width), (top, down, height))
    )
    grid = torch.stack([x[:, None].expand(-1, side, -1), y[:, :, None].expand(-1, -1, side)], dim=-1)
    images = F.grid_sample(pixels.float(), (2 * grid + 1) / side - 1, padding_mode="border", align_corners=False)
    brightness, contrast, saturation = (factor[:, :, None, None] for factor in factors)
    images = images.mul_(brightness).clamp_(0, 255)
    images = torch.lerp(_grey(images).mean(dim=(2, 3), keepdim=True), images, contrast).clamp_(0, 255)
    images = torch.lerp(_grey(images), images, saturation).clamp_(0, 255)
    return images.round_().to(torch.uint8)


def shares(count: int, alpha: float, number: int) -> Tensor:
    """Of each of ``count`` images that are mixed with another one its own share, Beta(alpha, alpha), float32 ``[count]``."""
    return torch.from_numpy(np.random.default_rng(FIRST + number).beta(alpha, alpha, count)).float()


def mixed(batch: Tensor, shares: Tensor) -> Tensor:
    """Each of a batch ``[B, ...]`` mixed with the one as far from the other end, in float32: mixup (Zhang et al., 1710.09412).

    The order of a batch is random, so pairs are.
    """
    own = shares.view(-1, *[1] * (batch.ndim - 1))
    return torch.lerp(batch.flip(0).float(), batch.float(), own)


def _grey(images: Tensor) -> Tensor:
    """``[B, 3, H, W]`` to ``[B, 1, H, W]``."""
    red, green, blue = images.split(1, dim=1)
    return GREY[0] * red + GREY[1] * green + GREY[2] * blue
