"""Pre-trains the pocket CLIP: symmetric InfoNCE between images and captions (Radford et al., 2103.00020)."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from bench.data import scenes
from bench.training.losses.contrastive import contrastive
from teachers import _words as words
from teachers import prepare, unit
from teachers.clip import MEAN, STD, build_pocket
from teachers.pocket.steps import cosine, descend

STEPS, BATCH = 2600, 128
REFRESH = 64  # steps after which a new pool of scenes is drawn


def train(seed: int, report) -> nn.Module:
    """Train on freshly drawn scenes; each image meets one of its captions at random."""
    torch.manual_seed(seed)
    model = build_pocket()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    for step, (pixels, captions) in enumerate(scene_batches(STEPS, BATCH, seed)):
        ids = words.encode(captions, words.BEGIN)
        images = unit(model.encode_image(prepare(pixels, 32, MEAN, STD)))
        texts = unit(model.encode_text(F.pad(ids, (0, words.CONTEXT - ids.shape[1]), value=words.PAD)))
        loss = contrastive(model.logit_scale.exp() * images @ texts.T)
        descend(loss, optimiser, model.parameters(), cosine(step, STEPS, 100, 1e-3))
        with torch.no_grad():
            model.logit_scale.clamp_(0, np.log(100))
        if step % 100 == 99:
            report(step + 1, STEPS, loss=loss.item(), scale=model.logit_scale.exp().item())
    return model


def scene_batches(steps: int, batch: int, seed: int):
    """Batches of new scenes: pixels uint8 ``[B, 3, 32, 32]`` and one caption each. No scene comes twice."""
    rng = np.random.default_rng([seed, 0])
    for step in range(steps):
        if step % REFRESH == 0:
            pixels, captions, _ = scenes.draw_scenes(rng, REFRESH * batch)
            pixels = torch.from_numpy(pixels)
        rows = slice(step % REFRESH * batch, (step % REFRESH + 1) * batch)
        yield pixels[rows], [five[rng.integers(len(five))] for five in captions[rows]]
