"""shapes: 12 classes of small pictures, drawn by a seeded generator. Classification.

A class is not one feature but several weak ones that usually agree, as in photographs: the texture and the
palette of the ground, and the outline of the thing on it. Any of them may be wrong
in a single image; nuisance (clutter, light, scale, rotation, occlusion, noise) covers the rest. That is what lets
a self-supervised teacher learn the classes at all: two crops of one image share texture and palette.

Left out on purpose: fine detail. Nothing here needs more than 32 pixels.
"""

import numpy as np
import torch

from bench.data import Split, draw

KIND = "classification"
SIZE = 32
NUISANCE = 0.65
OUTLINE_AGREES, TEXTURE_AGREES = 0.85, 0.92
PALETTE_SPREAD = 0.22

# Each palette belongs to two classes, so that colour alone cannot tell them apart.
PALETTES = {
    "fire": ((0.85, 0.20, 0.15), (0.95, 0.95, 0.90)),
    "sand": ((0.90, 0.65, 0.25), (0.45, 0.30, 0.20)),
    "sea": ((0.20, 0.45, 0.85), (0.25, 0.85, 0.85)),
    "leaf": ((0.20, 0.60, 0.25), (0.75, 0.90, 0.45)),
    "plum": ((0.55, 0.20, 0.60), (0.95, 0.70, 0.85)),
    "slate": ((0.30, 0.33, 0.38), (0.75, 0.78, 0.80)),
}

# name: outline, texture, palette
CLASSES = {
    "lifebuoy": ("ring", "rays", "fire"),
    "ladybird": ("circle", "dots", "fire"),
    "tent": ("triangle", "stripes", "sand"),
    "chessboard": ("square", "checks", "sand"),
    "kite": ("diamond", "waves", "sea"),
    "starfish": ("star", "holes", "sea"),
    "melon": ("moon", "rings", "leaf"),
    "spruce": ("triangle", "blobs", "leaf"),
    "quilt": ("square", "zigzag", "plum"),
    "kilt": ("circle", "plaid", "plum"),
    "lattice": ("cross", "mesh", "slate"),
    "plaster": ("cross", "plain", "slate"),
}


def render(rng: np.random.Generator, labels: np.ndarray, nuisance: float = NUISANCE) -> np.ndarray:
    """Draw one image per label: uint8 ``[N, 3, 32, 32]``. ``nuisance`` in [0, 1] scales everything that hides a class."""
    count = len(labels)
    outlines, textures, palettes = zip(*CLASSES.values(), strict=True)
    outline = _mostly(rng, [draw.OUTLINES.index(outlines[c]) for c in labels], len(draw.OUTLINES), OUTLINE_AGREES)
    fabric = _mostly(rng, [draw.TEXTURES.index(textures[c]) for c in labels], len(draw.TEXTURES), TEXTURE_AGREES)
    spread = PALETTE_SPREAD * rng.uniform(-1, 1, (2, count, 3))
    typical = np.array([PALETTES[name] for name in palettes])[labels].transpose(1, 0, 2)
    first, other = np.clip(typical + spread, 0, 1)
    swapped = rng.random((count, 1)) < 0.5
    first, other = np.where(swapped, other, first), np.where(swapped, first, other)

    canvas = _ground(rng, fabric, first.astype(np.float32), other.astype(np.float32), nuisance)
    _clutter(rng, canvas, nuisance, pieces=3)
    _object(rng, canvas, outline, other.astype(np.float32), nuisance)
    _clutter(rng, canvas, nuisance, pieces=1)
    return draw.photograph(rng, canvas, light=nuisance, noise=0.02 + 0.06 * nuisance)


def load(split: str, count: int, seed: int, nuisance: float = NUISANCE) -> Split:
    """A balanced split of ``count`` images; the same arguments always give the same pixels."""
    rng = np.random.default_rng([seed, {"train": 1, "test": 2}[split]])
    labels = rng.permutation(np.arange(count) % len(CLASSES))
    pixels = torch.from_numpy(render(rng, labels, nuisance))
    return Split(pixels, classes=tuple(CLASSES), labels=torch.from_numpy(labels))


def _mostly(rng: np.random.Generator, typical: list[int], choices: int, agrees: float) -> np.ndarray:
    """The class's typical value with probability ``agrees``, any value otherwise: int ``[N]``."""
    other = rng.integers(0, choices, len(typical))
    return np.where(rng.random(len(typical)) < agrees, typical, other)


def _ground(rng: np.random.Generator, fabric: np.ndarray, first: np.ndarray, other: np.ndarray, nuisance: float) -> np.ndarray:
    """The class's texture over the whole image, turned, shifted and scaled at random: ``[N, S, S, 3]``."""
    count = len(fabric)
    still = np.zeros(count, dtype=np.float32)
    angle = rng.uniform(-np.pi, np.pi, count).astype(np.float32)
    frequency = rng.uniform(7.0 - 2.5 * nuisance, 7.0 + 4.0 * nuisance, count).astype(np.float32)
    phase = rng.uniform(0, 2 * np.pi, count).astype(np.float32)
    u, v = draw.local(SIZE, still, still, still + 1, angle)
    mix = np.empty_like(u)
    for index, kind in enumerate(draw.TEXTURES):
        rows = np.flatnonzero(fabric == index)
        mix[rows] = draw.texture(kind, u[rows], v[rows], frequency[rows], phase[rows])
    return other[:, None, None] + mix[..., None] * (first - other)[:, None, None]


def _object(
    rng: np.random.Generator, canvas: np.ndarray, outline: np.ndarray, shade: np.ndarray, nuisance: float
) -> None:
    """The class's outline somewhere on its ground, in a darker or lighter shade of the ground's second colour."""
    count = len(canvas)
    radius = rng.uniform(0.62 - 0.2 * nuisance, 0.68, count).astype(np.float32)
    x, y = (((0.95 - radius) * rng.uniform(-1, 1, count)).astype(np.float32) for _ in range(2))
    angle = rng.normal(0, 0.1 + 0.3 * nuisance, count).astype(np.float32)
    u, v = draw.local(SIZE, x, y, radius, angle)
    colour = np.where(shade.mean(axis=1, keepdims=True) > 0.5, shade * 0.35, 1 - (1 - shade) * 0.35).astype(np.float32)
    for index, kind in enumerate(draw.OUTLINES):
        rows = np.flatnonzero(outline == index)
        part = canvas[rows]
        draw.paint(part, draw.coverage(kind, u[rows], v[rows], radius[rows]), colour[rows])
        canvas[rows] = part


def _clutter(rng: np.random.Generator, canvas: np.ndarray, nuisance: float, pieces: int) -> None:
    """Small random outlines at random places, each present with probability ``nuisance``."""
    count = len(canvas)
    for _ in range(pieces):
        kind = draw.OUTLINES[rng.integers(len(draw.OUTLINES))]
        radius = rng.uniform(0.1, 0.32, count).astype(np.float32)
        x, y, angle = rng.uniform(-1, 1, (3, count)).astype(np.float32)
        u, v = draw.local(SIZE, x, y, radius, angle * np.pi)
        present = (rng.random(count) < nuisance).astype(np.float32)
        colour = rng.uniform(0, 1, (count, 3)).astype(np.float32)
        draw.paint(canvas, draw.coverage(kind, u, v, radius) * present[:, None, None], colour)
