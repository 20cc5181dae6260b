"""Pre-trains the pocket DINO: self-distillation with multi-crop, an EMA teacher, centring and sharpening.

Follows Caron et al. (2104.14294), shrunk: two large crops, two or four small ones, few prototypes. The teacher of the
EMA is what ships. No label is read.
"""

import copy
import math
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from teachers import prepare
from teachers.dino import build_pocket
from teachers.pocket import augment

TEACHER_TEMPERATURE, STUDENT_TEMPERATURE, EMA = 0.04, 0.1, 0.99
MEAN = STD = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Recipe:
    """What differs between drawn and real images. Areas are shares of the image, rotation is in radians."""

    side: int
    steps: int
    batch: int
    prototypes: int
    small_views: int
    large_area: tuple[float, float]
    small_area: tuple[float, float]
    rotation: float
    recolour: float

    @property
    def length(self) -> str:
        return f"{self.steps} steps of {self.batch} images"


DRAWN = Recipe(32, 2800, 64, 256, 2, (0.5, 1.0), (0.2, 0.5), 0.5, 0.12)
REAL = Recipe(64, 6000, 64, 1024, 2, (0.35, 1.0), (0.1, 0.35), 0.1, 0.15)


class Head(nn.Module):
    """Projection head with weight-normalised prototypes: ``[B, D] -> [B, prototypes]``."""

    def __init__(self, width: int, prototypes: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width, 256), nn.GELU(), nn.Linear(256, 64))
        self.prototypes = nn.Parameter(torch.randn(prototypes, 64))

    def forward(self, features: Tensor) -> Tensor:
        return F.normalize(self.mlp(features), dim=-1) @ F.normalize(self.prototypes, dim=-1).T


def train(
    pixels: Tensor, labels: Tensor, seed: int, report, recipe: Recipe, mixed: AbstractContextManager
) -> nn.Module:
    """Train on ``pixels`` (uint8 ``[N, 3, side, side]``) and return the EMA teacher's backbone. Labels are not read.

    ``mixed`` surrounds the forward passes: an autocast, or nothing.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    student = nn.Sequential(build_pocket(recipe.side), Head(96, recipe.prototypes))
    teacher = copy.deepcopy(student).requires_grad_(False)
    optimiser = torch.optim.AdamW(student.parameters(), lr=1e-3, weight_decay=0.04)
    centre = torch.zeros(recipe.prototypes)
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = augment.cosine(step, recipe.steps, 200, 1e-3)
        images = pixels[torch.randint(len(pixels), (recipe.batch,), generator=generator)].float()
        large = [_view(images, recipe.side, recipe.large_area, recipe, generator) for _ in range(2)]
        small = [
            _view(images, recipe.side // 2, recipe.small_area, recipe, generator) for _ in range(recipe.small_views)
        ]
        with torch.no_grad(), mixed:
            targets = teacher(torch.cat(large)).float()
            centred = ((targets - centre) / TEACHER_TEMPERATURE).softmax(dim=1).chunk(2)
            centre = 0.9 * centre + 0.1 * targets.mean(dim=0)
        with mixed:
            guesses = [
                *student(torch.cat(large)).float().chunk(2),
                *student(torch.cat(small)).float().chunk(recipe.small_views),
            ]
        loss = _cross_entropy(centred, guesses)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 3.0)
        optimiser.step()
        momentum = 1 - (1 - EMA) * (1 + math.cos(math.pi * step / recipe.steps)) / 2
        with torch.no_grad():
            for slow, fast in zip(teacher.parameters(), student.parameters(), strict=True):
                slow.lerp_(fast, 1 - momentum)
        if step % 250 == 249:
            rows, mean = centred[0], centred[0].mean(dim=0)
            report(
                step + 1, recipe.steps, loss=loss.item(), row_entropy=_entropy(rows), mean_entropy=_entropy(mean[None])
            )
    return teacher[0]


def _view(images: Tensor, size: int, area: tuple[float, float], recipe: Recipe, generator: torch.Generator) -> Tensor:
    view = augment.recolour(augment.crop(images, size, area, recipe.rotation, generator), recipe.recolour, generator)
    return prepare(view, size, MEAN, STD)


def _cross_entropy(targets: tuple[Tensor, ...], guesses: list[Tensor]) -> Tensor:
    """Mean over pairs of different views of the cross entropy between teacher and student."""
    terms = [
        -(target * (guess / STUDENT_TEMPERATURE).log_softmax(dim=1)).sum(dim=1).mean()
        for i, target in enumerate(targets)
        for j, guess in enumerate(guesses)
        if i != j
    ]
    return torch.stack(terms).mean()


def _entropy(rows: Tensor) -> float:
    """Mean entropy in nats: near zero for all rows means collapse to one, ln(prototypes) means collapse to uniform."""
    return -(rows * rows.clamp_min(1e-9).log()).sum(dim=1).mean().item()
