"""shapes: 12 classes of small pictures, drawn by a seeded generator. Classification.

A class is not one feature but several weak ones that usually agree, as in photographs: the texture and the palette of
the ground, and the outline of the thing on it. Any may be wrong in a single image; nuisance (clutter, light, scale,
rotation, occlusion, noise) covers the rest. Two crops of one image share texture and palette, which lets a
self-supervised teacher learn the classes at all.
"""

import numpy as np
import torch

from bench.data import draw
from bench.data.split import Split

KIND = "classification"
PREPARED = False
LICENCE = "Drawn by the suite's own seeded generator: no picture or caption of anybody else's"
SIDE = 32
NUISANCE = 0.65
OUTLINE_AGREES, TEXTURE_AGREES = 0.8, 0.9
PALETTE_SPREAD = 0.17

# name: outline, texture, colour axis. The two colours of a ground lie on either side of a grey, along the axis, so
# that no class has a typical mean colour.
CLASSES = {
    "chessboard": ("square", "checks", (1, 1, 1)),
    "lifebuoy": ("ring", "rays", (1, -1, -1)),
    "melon": ("moon", "rings", (-1, 1, -1)),
    "kite": ("diamond", "waves", (-1, -1, 1)),
    "tent": ("triangle", "stripes", (1, 0, -1)),
    "spruce": ("triangle", "blobs", (0, 1, -1)),
    "quilt": ("square", "zigzag", (1, -1, 0)),
    "starfish": ("star", "holes", (1, 1, 0)),
    "kilt": ("circle", "plaid", (1, 0, 1)),
    "lattice": ("cross", "mesh", (0, 1, 1)),
    "ladybird": ("circle", "dots", (1, 0, 0)),
    "plaster": ("cross", "plain", (0, 0, 1)),
}


def render(rng: np.random.Generator, labels: np.ndarray, nuisance: float = NUISANCE) -> np.ndarray:
    """Draw one image per label: uint8 ``[N, 3, 32, 32]``. ``nuisance`` in [0, 1] scales everything that hides a class."""
    outlines, textures, palettes = zip(*CLASSES.values(), strict=True)
    outline = _mostly(rng, [draw.OUTLINES.index(outlines[c]) for c in labels], len(draw.OUTLINES), OUTLINE_AGREES)
    fabric = _mostly(rng, [draw.TEXTURES.index(textures[c]) for c in labels], len(draw.TEXTURES), TEXTURE_AGREES)
    first, other = _colours(rng, np.array([palettes[c] for c in labels], dtype=np.float32), nuisance)

    canvas = _ground(rng, fabric, first, other, nuisance)
    _clutter(rng, canvas, nuisance, pieces=2)
    _object(rng, canvas, outline, other, nuisance)
    _clutter(rng, canvas, nuisance, pieces=1)
    return draw.photograph(rng, canvas, light=0.5 * nuisance, noise=0.02 + 0.06 * nuisance)


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


def _colours(rng: np.random.Generator, axes: np.ndarray, nuisance: float) -> tuple[np.ndarray, np.ndarray]:
    """The two colours of each ground, ``[N, 3]`` each: a grey plus and minus the class's axis, with some spread."""
    count = len(axes)
    grey = 0.5 + 0.2 * nuisance * rng.uniform(-1, 1, (count, 3))
    reach = rng.uniform(0.3, 0.5, (count, 1)) * rng.choice([-1, 1], (count, 1))
    along = reach * axes / np.linalg.norm(axes, axis=1, keepdims=True)
    spread = PALETTE_SPREAD * rng.uniform(-1, 1, (2, count, 3))
    first, other = np.clip(np.stack([grey + along, grey - along]) + spread, 0, 1).astype(np.float32)
    return first, other


def _ground(rng, fabric: np.ndarray, first: np.ndarray, other: np.ndarray, nuisance: float) -> np.ndarray:
    """The class's texture over the whole image, turned, shifted and scaled at random: ``[N, S, S, 3]``."""
    count = len(fabric)
    x, y = rng.uniform(-0.8, 0.8, (2, count)).astype(np.float32)
    angle = rng.uniform(-np.pi, np.pi, count).astype(np.float32)
    frequency = rng.uniform(7.0 - 2.5 * nuisance, 7.0 + 4.0 * nuisance, count).astype(np.float32)
    phase = rng.uniform(0, 2 * np.pi, count).astype(np.float32)
    canvas = np.empty((count, SIDE, SIDE, 3), np.float32)
    for index, kind in enumerate(draw.TEXTURES):
        for rows in draw.batches(np.flatnonzero(fabric == index)):
            u, v = draw.local(SIDE, x[rows], y[rows], np.ones_like(x[rows]), angle[rows])
            mix = draw.texture(kind, u, v, frequency[rows], phase[rows])
            canvas[rows] = other[rows, None, None] + mix[..., None] * (first - other)[rows, None, None]
    return canvas


def _object(rng, canvas: np.ndarray, outline: np.ndarray, shade: np.ndarray, nuisance: float) -> None:
    """The class's outline somewhere on its ground, in a darker or lighter shade of the ground's second colour."""
    count = len(canvas)
    radius = rng.uniform(0.62 - 0.2 * nuisance, 0.68, count).astype(np.float32)
    x, y = (((0.95 - radius) * rng.uniform(-1, 1, count)).astype(np.float32) for _ in range(2))
    angle = rng.normal(0, 0.1 + 0.3 * nuisance, count).astype(np.float32)
    bright = shade.mean(axis=1, keepdims=True) > 0.5
    colour = np.where(bright, shade * 0.35, 1 - (1 - shade) * 0.35).astype(np.float32)
    _paint_outlines(canvas, outline, (x, y, radius, angle), colour, np.ones_like(radius))


def _clutter(rng: np.random.Generator, canvas: np.ndarray, nuisance: float, pieces: int) -> None:
    """Small random outlines in random colours at random places, each present with probability ``nuisance``."""
    count = len(canvas)
    for _ in range(pieces):
        outline = rng.integers(len(draw.OUTLINES), size=count)
        radius = rng.uniform(0.1, 0.32, count).astype(np.float32)
        x, y, angle = rng.uniform(-1, 1, (3, count)).astype(np.float32)
        present = (rng.random(count) < nuisance).astype(np.float32)
        colour = rng.uniform(0, 1, (count, 3)).astype(np.float32)
        _paint_outlines(canvas, outline, (x, y, radius, angle * np.pi), colour, present)


def _paint_outlines(
    canvas: np.ndarray, outline: np.ndarray, pose: tuple, colour: np.ndarray, present: np.ndarray
) -> None:
    """Paint one outline into each image, those of a kind together; ``pose`` is x, y, radius and angle, each ``[N]``."""
    for index, kind in enumerate(draw.OUTLINES):
        for rows in draw.batches(np.flatnonzero(outline == index)):
            x, y, radius, angle = (column[rows] for column in pose)
            u, v = draw.local(SIDE, x, y, radius, angle)
            part = canvas[rows]
            draw.paint(part, draw.coverage(kind, u, v, radius) * present[rows, None, None], colour[rows])
            canvas[rows] = part
