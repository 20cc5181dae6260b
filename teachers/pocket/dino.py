"""Pre-trains the pocket DINO: self-distillation with multi-crop, an EMA teacher, centring and sharpening.

Follows Caron et al. (2104.14294), shrunk: two large and two small crops, few prototypes. The teacher of the
EMA is what ships. No label is read.

Drawn images need no more than that. On real ones an hour of one core of that alone was by k-NN no better than raw
pixels, and the recipe ``REAL`` departs:

* Targets are balanced within the batch by Sinkhorn-Knopp instead of a moving centre: SwAV (2006.09882),
  DINOv2 (2304.07193).
* Class tokens are pushed off the nearest ones of the batch: KoLeo (1806.03198), as in DINOv2. Without, they vary in few
  of their 96 dimensions, and k-NN sees little of what a probe finds.
* The head normalises over the batch, as that of MoCo v3 (2104.02057), and its prototypes stay as initialised;
  DINO freezes them for its first epoch.
* Greyscale, contrast and brightness vary as well, as in DINO.
* Most steps are on images of half the side, the last ones on whole images.
"""

import copy
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from teachers import prepare, sent
from teachers.dino import build_pocket
from teachers.pocket import steps
from teachers.pocket.steps import cosine, descend

TEACHER_TEMPERATURE, STUDENT_TEMPERATURE = 0.04, 0.1
PROTOTYPES, SMALL_VIEWS, WARMUP_STEPS = 256, 2, 200
MEAN = STD = (0.5, 0.5, 0.5)


class Head(nn.Module):
    """Projection head with weight-normalised prototypes: ``[B, D] -> [B, PROTOTYPES]``."""

    def __init__(self, width: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width, 256), nn.GELU(), nn.Linear(256, 64))
        self.prototypes = nn.Parameter(torch.randn(PROTOTYPES, 64))

    def forward(self, features: Tensor) -> Tensor:
        return F.normalize(self.mlp(features), dim=-1) @ F.normalize(self.prototypes, dim=-1).T


class BatchNormHead(Head):
    """The same with normalisation over the batch and with prototypes that are not trained.

    Outputs that are nearly the same for all images, from which the plain head escapes slowly, are out of its reach.
    """

    def __init__(self, width: int):
        super().__init__(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 256, bias=False),
            nn.BatchNorm1d(256),
            nn.GELU(),
            nn.Linear(256, 64, bias=False),
            nn.BatchNorm1d(64, affine=False),
        )
        self.prototypes.requires_grad_(False)


class MovingCentre:
    """DINO's targets: the teacher's outputs ``[B, PROTOTYPES]`` less their moving mean, sharpened."""

    def __init__(self):
        self.centre: Tensor | float = 0.0

    def __call__(self, outputs: Tensor) -> Tensor:
        targets = ((outputs - self.centre) / TEACHER_TEMPERATURE).softmax(dim=1)
        self.centre = 0.9 * self.centre + 0.1 * outputs.mean(dim=0)
        return targets


class SinkhornKnopp:
    """SwAV's and DINOv2's targets: sharpened outputs ``[B, PROTOTYPES]``, all prototypes about equally often."""

    def __call__(self, outputs: Tensor) -> Tensor:
        shares = ((outputs - outputs.max()) / TEACHER_TEMPERATURE).exp()
        for _ in range(3):
            shares = shares / shares.sum(dim=0)
            shares = shares / shares.sum(dim=1, keepdim=True)
        return shares


@dataclass(frozen=True)
class Recipe:
    """What differs between drawn and real images. Areas are shares of the image, rotation is in radians.

    ``coarse`` is the share of the steps on images of half the side, ``ema`` the teacher's momentum at the start (it
    rises to one), ``koleo`` the weight of the regulariser of this name, ``rate`` the peak of the learning rate.
    """

    side: int
    steps: int
    batch: int
    large_area: tuple[float, float]
    small_area: tuple[float, float]
    rotation: float
    colour: Callable[[Tensor, Generator], Tensor]
    rate: float
    ema: float
    head: type[Head]
    centring: type[MovingCentre] | type[SinkhornKnopp]
    koleo: float
    coarse: float

    @property
    def length(self) -> str:
        coarse = f", the first {100 * self.coarse:.0f} % at {self.side // 2} px" if self.coarse else ""
        return f"{self.steps} steps of {self.batch} images{coarse}"


DRAWN = Recipe(
    side=32, steps=2800, batch=64, large_area=(0.5, 1.0), small_area=(0.2, 0.5),
    rotation=0.5, colour=partial(steps.recolour, strength=0.12), rate=1e-3, ema=0.99,
    head=Head, centring=MovingCentre, koleo=0.0, coarse=0.0,
)  # fmt: skip
REAL = Recipe(
    side=64, steps=6500, batch=128, large_area=(0.3, 1.0), small_area=(0.1, 0.35),
    rotation=0.1, colour=partial(steps.jitter, mixing=0.1, greyscale=0.2, strength=0.4),
    rate=2e-3, ema=0.9, head=BatchNormHead, centring=SinkhornKnopp, koleo=0.1, coarse=0.7,
)  # fmt: skip


def train(
    pixels: Tensor, labels: Tensor, seed: int, report, recipe: Recipe, mixed: AbstractContextManager
) -> nn.Module:
    """Train on ``pixels`` (uint8 ``[N, 3, side, side]``) and return the EMA teacher's backbone. Labels are not read.

    All is computed where ``pixels`` lie. ``mixed`` surrounds the forward passes: an autocast, or nothing.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    device = pixels.device
    student = nn.Sequential(build_pocket(recipe.side), recipe.head(96)).to(device)
    teacher = copy.deepcopy(student).requires_grad_(False)
    fused = device.type == "cuda"
    optimiser = torch.optim.AdamW(student.parameters(), lr=recipe.rate, weight_decay=0.04, fused=fused)
    centring = recipe.centring()
    for step in range(recipe.steps):
        rows = torch.randint(len(pixels), (recipe.batch,), generator=generator)
        images = pixels[sent(rows, device)].float()
        large, small = _views(images, step < recipe.coarse * recipe.steps, recipe, generator)
        with torch.no_grad(), mixed:
            targets = centring(teacher(large).float()).chunk(2)
        with mixed:
            features = student[0](large)
            guesses = [
                *student[1](features).float().chunk(2),
                *student(small).float().chunk(SMALL_VIEWS),
            ]
        loss = _cross_entropy(targets, guesses)
        if recipe.koleo:
            loss = loss + recipe.koleo * sum(_koleo(view) for view in features.float().chunk(2)) / 2
        descend(loss, optimiser, student.parameters(), cosine(step, recipe.steps, WARMUP_STEPS, recipe.rate))
        slowness = 1 - (1 - recipe.ema) * (1 + math.cos(math.pi * step / recipe.steps)) / 2
        for slow, fast in zip(teacher.parameters(), student.parameters(), strict=True):
            slow.lerp_(fast.detach(), 1 - slowness)
        if step % 250 == 249:
            # In nats: rows near zero mean collapse to one prototype, rows near ln(PROTOTYPES) collapse to all alike.
            rows, mean = (torch.special.entr(part).sum().item() for part in (targets[0], targets[0].mean(dim=0)))
            report(step + 1, recipe.steps, loss=loss.item(), row_entropy=rows / recipe.batch, mean_entropy=mean)
    return teacher[0]


def _views(images: Tensor, coarse: bool, recipe: Recipe, generator: Generator) -> tuple[Tensor, Tensor]:
    """Two large and some small crops of ``images [B, 3, side, side]``, view after view.

    Returns ``[2 B, 3, side, side]`` and ``[SMALL_VIEWS * B, 3, side / 2, side / 2]``; with ``coarse`` all sides are
    halved.
    """
    side = recipe.side
    if coarse:
        images, side = F.avg_pool2d(images, 2), side // 2
    large = [_view(images, side, recipe.large_area, recipe, generator) for _ in range(2)]
    small = [_view(images, side // 2, recipe.small_area, recipe, generator) for _ in range(SMALL_VIEWS)]
    return torch.cat(large), torch.cat(small)


def _view(images: Tensor, size: int, area: tuple[float, float], recipe: Recipe, generator: Generator) -> Tensor:
    view = recipe.colour(steps.crop(images, size, area, recipe.rotation, generator), generator=generator)
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


def _koleo(features: Tensor) -> Tensor:
    """Minus the mean logarithm of the distance of ``features [B, D]``, at unit length, to their nearest neighbours."""
    units = F.normalize(features, dim=1)
    nearest = (units @ units.T).detach().fill_diagonal_(-1).argmax(dim=1)
    return -(F.pairwise_distance(units, units[nearest]) + 1e-8).log().mean()
