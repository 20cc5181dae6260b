"""Pre-trains the pocket BEiT: masked image modelling on visual tokens, then fine-tuning on labels.

Follows Bao et al. (2106.08254), shrunk: the visual tokens come from k-means over patches instead of a discrete
VAE, and 40 % of the patches are masked. As the full-size checkpoint, it is fine-tuned on labels afterwards.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from teachers import prepare, sent
from teachers.beit import build_pocket
from teachers.pocket import steps
from teachers.pocket.steps import cosine, descend

TOKENS, MASKED = 256, 0.4
WARMUP_STEPS, RATE = 100, 1e-3
MEAN = STD = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Recipe:
    """What differs between drawn and real images. ``area`` is a share of the image, rotation is in radians."""

    side: int
    masked_steps: int
    label_steps: int
    batch: int
    area: tuple[float, float]
    rotation: float
    recolour: float

    @property
    def length(self) -> str:
        return f"{self.masked_steps} masked and {self.label_steps} labelled steps of {self.batch} images"


DRAWN = Recipe(32, 1000, 1200, 96, (0.7, 1.0), 0.3, 0.05)
REAL = Recipe(64, 1500, 4500, 96, (0.25, 1.0), 0.1, 0.1)


def train(
    pixels: Tensor, labels: Tensor, seed: int, report, recipe: Recipe, mixed: AbstractContextManager
) -> nn.Module:
    """Train on ``pixels`` (uint8 ``[N, 3, side, side]``) and ``labels [N]``; returns the backbone without heads.

    All is computed where ``pixels`` and ``labels`` lie. ``mixed`` surrounds the forward passes: an autocast, or nothing.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = build_pocket(recipe.side).to(pixels.device)
    _model_masked(model, pixels, generator, report, recipe, mixed)
    _fit_labels(model, pixels, labels, generator, report, recipe, mixed)
    return model


def _model_masked(model: nn.Module, pixels: Tensor, generator: torch.Generator, report, recipe, mixed) -> None:
    codebook = _codebook(_cut(pixels[:2048].float()).flatten(0, 1), generator)
    device = pixels.device
    head, mask_token = nn.Linear(96, TOKENS).to(device), nn.Parameter(torch.zeros(1, 1, 96, device=device))
    optimiser = _optimiser([*model.parameters(), *head.parameters(), mask_token])
    for step in range(recipe.masked_steps):
        rows = torch.randint(len(pixels), (recipe.batch,), generator=generator)
        images = _augmented(pixels[sent(rows, device)], generator, recipe)
        patches = _cut(images)
        targets = torch.cdist(patches.flatten(0, 1), codebook).argmin(dim=1).view(len(images), -1)
        masked = torch.rand(targets.shape, generator=generator) < MASKED
        # Counted on the CPU: on CUDA the host would wait to be told how many they are.
        places = sent(masked.flatten().nonzero()[:, 0], device)
        with mixed:
            tokens = model.patch_embed(prepare(images, recipe.side, MEAN, STD))
            tokens = torch.where(sent(masked, device)[..., None], mask_token, tokens)
            tokens = torch.cat([model.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
            for block in model.blocks:
                tokens = block(tokens)
            guesses = head(tokens[:, 1:].flatten(0, 1)[places]).float()
        loss = F.cross_entropy(guesses, targets.flatten()[places])
        descend(loss, optimiser, model.parameters(), cosine(step, recipe.masked_steps, WARMUP_STEPS, RATE))
        if step % 250 == 249:
            report(step + 1, recipe.masked_steps, masked_loss=loss.item())


def _fit_labels(
    model: nn.Module, pixels: Tensor, labels: Tensor, generator: torch.Generator, report, recipe, mixed
) -> None:
    head = nn.Linear(96, int(labels.max()) + 1).to(pixels.device)
    optimiser = _optimiser([*model.parameters(), *head.parameters()])
    for step in range(recipe.label_steps):
        rows = sent(torch.randint(len(pixels), (recipe.batch,), generator=generator), pixels.device)
        images = _augmented(pixels[rows], generator, recipe)
        with mixed:
            tokens = model.forward_features(prepare(images, recipe.side, MEAN, STD))
            guesses = head(model.forward_head(tokens, pre_logits=True)).float()
        loss = F.cross_entropy(guesses, labels[rows], label_smoothing=0.1)
        descend(loss, optimiser, model.parameters(), cosine(step, recipe.label_steps, WARMUP_STEPS, RATE))
        if step % 250 == 249:
            report(step + 1, recipe.label_steps, label_loss=loss.item())


def _augmented(pixels: Tensor, generator: torch.Generator, recipe: Recipe) -> Tensor:
    """Light augmentation of images: ``[B, 3, side, side]`` in [0, 255]."""
    views = steps.crop(pixels.float(), recipe.side, recipe.area, recipe.rotation, generator)
    return steps.recolour(views, recipe.recolour, generator)


def _optimiser(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.05, fused=parameters[0].is_cuda)


def _cut(images: Tensor) -> Tensor:
    """Images ``[B, 3, side, side]`` to patches ``[B, 64, side * side * 3 / 64]``, scaled to [0, 1]."""
    patch = images.shape[-1] // 8
    return F.unfold(images / 255, kernel_size=patch, stride=patch).transpose(1, 2)


def _codebook(patches: Tensor, generator: torch.Generator) -> Tensor:
    """k-means centres ``[TOKENS, P]``, ten rounds from random patches."""
    first = torch.randperm(len(patches), generator=generator)[:TOKENS]
    centres = patches[sent(first, patches.device)].clone()
    for _ in range(10):
        nearest = torch.cdist(patches, centres).argmin(dim=1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, patches)
        sizes = torch.bincount(nearest, minlength=TOKENS).clamp_min(1)
        centres = torch.where((sizes > 1)[:, None], sums / sizes[:, None], centres)
    return centres
