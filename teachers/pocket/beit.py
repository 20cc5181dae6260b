"""Pre-trains the pocket BEiT: masked image modelling on visual tokens, then fine-tuning on labels.

Follows Bao et al. (2106.08254), shrunk: the visual tokens come from k-means over patches instead of a discrete
VAE, and 40 % of the patches are masked. As the full-size checkpoint, it is fine-tuned on labels afterwards.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from teachers import prepare
from teachers.beit import build_pocket
from teachers.pocket import augment

MASKED_STEPS, LABEL_STEPS, BATCH, POOL = 1000, 1200, 96, 16384
TOKENS, MASKED = 256, 0.4
MEAN = STD = (0.5, 0.5, 0.5)


def train(pixels: Tensor, labels: Tensor, seed: int, report) -> nn.Module:
    """Train on ``pixels`` (uint8 ``[N, 3, 32, 32]``) and ``labels [N]``; returns the backbone without heads."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = build_pocket()
    _model_masked(model, pixels, generator, report)
    _fit_labels(model, pixels, labels, generator, report)
    return model


def _model_masked(model: nn.Module, pixels: Tensor, generator: torch.Generator, report) -> None:
    codebook = _codebook(_cut(pixels[:2048].float()).flatten(0, 1), generator)
    head, mask_token = nn.Linear(96, TOKENS), nn.Parameter(torch.zeros(1, 1, 96))
    optimiser = torch.optim.AdamW([*model.parameters(), *head.parameters(), mask_token], lr=1e-3, weight_decay=0.05)
    for step in range(MASKED_STEPS):
        images = _batch(pixels, optimiser, step, MASKED_STEPS, generator)
        patches = _cut(images)
        targets = torch.cdist(patches.flatten(0, 1), codebook).argmin(dim=1).view(len(images), -1)
        masked = torch.rand(targets.shape, generator=generator) < MASKED
        tokens = model.patch_embed(prepare(images, 32, MEAN, STD))
        tokens = torch.where(masked[..., None], mask_token, tokens)
        tokens = torch.cat([model.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
        for block in model.blocks:
            tokens = block(tokens)
        loss = F.cross_entropy(head(tokens[:, 1:][masked]), targets[masked])
        _descend(loss, optimiser, model)
        if step % 250 == 249:
            report(step + 1, MASKED_STEPS, masked_loss=loss.item())


def _fit_labels(model: nn.Module, pixels: Tensor, labels: Tensor, generator: torch.Generator, report) -> None:
    head = nn.Linear(96, int(labels.max()) + 1)
    optimiser = torch.optim.AdamW([*model.parameters(), *head.parameters()], lr=1e-3, weight_decay=0.05)
    for step in range(LABEL_STEPS):
        rows = torch.randint(len(pixels), (BATCH,), generator=generator)
        images = _batch(pixels, optimiser, step, LABEL_STEPS, generator, rows)
        features = model.forward_head(model.forward_features(prepare(images, 32, MEAN, STD)), pre_logits=True)
        loss = F.cross_entropy(head(features), labels[rows], label_smoothing=0.1)
        _descend(loss, optimiser, model)
        if step % 250 == 249:
            report(step + 1, LABEL_STEPS, label_loss=loss.item())


def _batch(pixels, optimiser, step, steps, generator, rows=None) -> Tensor:
    """Set the rate for this step and draw a lightly augmented batch ``[B, 3, 32, 32]`` in [0, 255]."""
    for group in optimiser.param_groups:
        group["lr"] = augment.cosine(step, steps, 100, 1e-3)
    if rows is None:
        rows = torch.randint(len(pixels), (BATCH,), generator=generator)
    views = augment.crop(pixels[rows].float(), 32, (0.7, 1.0), 0.3, generator)
    return augment.recolour(views, 0.05, generator)


def _descend(loss: Tensor, optimiser: torch.optim.Optimizer, model: nn.Module) -> None:
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 3.0)
    optimiser.step()


def _cut(images: Tensor) -> Tensor:
    """Images ``[B, 3, 32, 32]`` to patches ``[B, 64, 48]``, scaled to [0, 1]."""
    return F.unfold(images / 255, kernel_size=4, stride=4).transpose(1, 2)


def _codebook(patches: Tensor, generator: torch.Generator) -> Tensor:
    """k-means centres ``[TOKENS, 48]``, ten rounds from random patches."""
    centres = patches[torch.randperm(len(patches), generator=generator)[:TOKENS]].clone()
    for _ in range(10):
        nearest = torch.cdist(patches, centres).argmin(dim=1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, patches)
        sizes = torch.bincount(nearest, minlength=TOKENS).clamp_min(1)
        centres = torch.where((sizes > 1)[:, None], sums / sizes[:, None], centres)
    return centres
