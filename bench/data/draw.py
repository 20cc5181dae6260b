"""Vectorised drawing of small images: outlines, textures, light, clutter, noise.

Everything works on whole batches of numpy arrays. Local coordinates ``u, v`` are ``[N, S, S]`` with the
object's outline inside the unit circle. Anti-aliased coverage takes the place of hard masks, so that a
32-pixel image keeps sub-pixel information about scale and rotation.
"""

from collections.abc import Iterator

import numpy as np

BATCH = 256  # images that are drawn together: what is worked out of them stays in the cache


def batches(rows: np.ndarray) -> Iterator[np.ndarray]:
    """``rows [N]`` cut into parts of at most ``BATCH``; none where there are no rows."""
    return (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))


def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel-centre coordinates in [-1, 1]: two arrays ``[size, size]``, x to the right, y downwards."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) * (2.0 / size) - 1.0
    x, y = np.meshgrid(axis, axis)
    return x, y


def local(size: int, x: np.ndarray, y: np.ndarray, radius: np.ndarray, angle: np.ndarray):
    """Coordinates seen from objects at ``x, y`` (each ``[N]``), scaled and rotated: two ``[N, S, S]``."""
    gx, gy = grid(size)
    dx = (gx[None] - x[:, None, None]) / radius[:, None, None]
    dy = (gy[None] - y[:, None, None]) / radius[:, None, None]
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    return dx * cos + dy * sin, dy * cos - dx * sin


def _polygon(u: np.ndarray, v: np.ndarray, sides: int, apothem: float) -> np.ndarray:
    turns = 2 * np.pi * np.arange(sides) / sides
    return np.max([u * np.sin(t) - v * np.cos(t) for t in turns + np.pi / sides + np.pi], axis=0) - apothem


def _cross(u: np.ndarray, v: np.ndarray, r: np.ndarray) -> np.ndarray:
    arm = np.maximum(np.abs(u) - 0.3, np.abs(v) - 0.95)
    return np.minimum(arm, np.maximum(np.abs(v) - 0.3, np.abs(u) - 0.95))


# Of each outline about the signed distance, negative inside, in units of the object's radius; from u, v and the distance
# r from the centre.
_DISTANCES = {
    "circle": lambda u, v, r: r - 0.9,
    "square": lambda u, v, r: np.maximum(np.abs(u), np.abs(v)) - 0.76,
    "triangle": lambda u, v, r: _polygon(u, -v, 3, 0.5),
    "diamond": lambda u, v, r: (np.abs(u) * 1.5 + np.abs(v) - 1.0) * 0.7,
    "cross": _cross,
    "star": lambda u, v, r: (r - (0.66 + 0.34 * np.cos(5 * np.arctan2(u, -v)))) * 0.6,
    "ring": lambda u, v, r: np.abs(r - 0.68) - 0.24,
    "moon": lambda u, v, r: np.maximum(r - 0.95, 0.72 - np.hypot(u - 0.5, v)),
}
OUTLINES = tuple(_DISTANCES)

# Of each texture the wave, from u, v, the frequency f and the phase p.
_WAVES = {
    "plain": lambda u, v, f, p: 0.3 * np.sin(f * 0.5 * u + p),
    "stripes": lambda u, v, f, p: np.sin(f * u + p),
    "checks": lambda u, v, f, p: np.sin(f * u + p) * np.sin(f * v + p) * 1.6,
    "dots": lambda u, v, f, p: 1.5 - 2.2 * np.hypot(np.sin(f * u / 2 + p), np.sin(f * v / 2 + p)),
    "rings": lambda u, v, f, p: np.sin(f * np.hypot(u, v) + p),
    "waves": lambda u, v, f, p: np.sin(f * u + 1.6 * np.sin(f * 0.6 * v + p)),
    "mesh": lambda u, v, f, p: 2.0 * np.maximum(np.cos(f * 0.7 * u + p), np.cos(f * 0.7 * v + p)) - 1.3,
    "zigzag": lambda u, v, f, p: np.sin(f * u + 1.2 * np.abs((f * 0.5 * v + p) % (2 * np.pi) - np.pi)) * 1.3,
    "rays": lambda u, v, f, p: np.sin(8 * np.arctan2(v - 0.4 * np.sin(p), u - 0.4 * np.cos(p)) + p) * 1.3,
    "plaid": lambda u, v, f, p: np.sin(f * 0.8 * u + p) + np.sin(f * 0.8 * v + p),
    "holes": lambda u, v, f, p: 2.2 * np.hypot(np.sin(f / 3 * u + p), np.sin(f / 3 * v + p)) - 1.2,
    "blobs": lambda u, v, f, p: (
        np.sin(f * 0.5 * u + p) + np.sin(f * 0.35 * v - 2 * p) + np.sin(f * 0.4 * (u + v) + 3 * p)
    ),
}
TEXTURES = tuple(_WAVES)


def coverage(kind: str, u: np.ndarray, v: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Anti-aliased mask ``[N, S, S]`` in [0, 1]; ``radius`` in units of half the image."""
    size = u.shape[-1]
    return np.clip(0.5 - _DISTANCES[kind](u, v, np.hypot(u, v)) * radius[:, None, None] * (size / 2), 0.0, 1.0)


def texture(kind: str, u: np.ndarray, v: np.ndarray, frequency: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """Soft pattern ``[N, S, S]`` in [0, 1] that mixes an object's two colours."""
    wave = _WAVES[kind](u, v, frequency[:, None, None], phase[:, None, None])
    return 0.5 + 0.5 * np.tanh(1.5 * wave)


def paint(canvas: np.ndarray, mask: np.ndarray, colour: np.ndarray) -> None:
    """Blend ``colour`` (``[N, 3]`` or ``[N, S, S, 3]``) over ``canvas [N, S, S, 3]`` in place where ``mask`` says."""
    if colour.ndim == 2:
        colour = colour[:, None, None, :]
    canvas += mask[..., None] * (colour - canvas)


def background(rng: np.random.Generator, count: int, size: int, colour: float, contrast: float) -> np.ndarray:
    """Smooth gradients with a faint pattern: ``[N, S, S, 3]`` in [0, 1].

    ``colour`` is how far the hue strays from grey, ``contrast`` how strong the gradient is.
    """
    gx, gy = grid(size)
    grey = rng.uniform(0.3, 0.7, (count, 1))
    base = (grey + rng.uniform(-0.5, 0.5, (count, 3)) * colour).astype(np.float32)
    shift = rng.normal(0, 0.5, (count, 3)).astype(np.float32) * contrast
    angle = rng.uniform(0, 2 * np.pi, count).astype(np.float32)[:, None, None]
    frequency = rng.uniform(1, 9, count).astype(np.float32)[:, None, None]
    canvas = np.empty((count, size, size, 3), np.float32)
    for rows in batches(np.arange(count)):
        cos, sin = np.cos(angle[rows]), np.sin(angle[rows])
        ramp = 0.5 * (gx * cos + gy * sin) + 0.35 * np.sin(frequency[rows] * (gy * cos - gx * sin) + angle[rows] * 3)
        canvas[rows] = np.clip(base[rows, None, None] + ramp[..., None] * shift[rows, None, None], 0, 1)
    return canvas


def photograph(rng: np.random.Generator, canvas: np.ndarray, light: float, noise: float) -> np.ndarray:
    """Light (gain and tint per image) and sensor noise, then rounding: uint8 ``[N, 3, S, S]``."""
    count = len(canvas)
    gain = 1 + light * rng.uniform(-0.5, 0.5, (count, 1, 1, 1)) + 0.3 * light * rng.normal(0, 1, (count, 1, 1, 3))
    gain, pixels = gain.astype(np.float32), np.empty((count, 3, *canvas.shape[1:3]), np.uint8)
    for rows in batches(np.arange(count)):
        part = canvas[rows]
        grain = noise * rng.standard_normal(part.shape, dtype=np.float32)
        pixels[rows] = (np.clip(part * gain[rows] + grain, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(0, 3, 1, 2)
    return pixels
