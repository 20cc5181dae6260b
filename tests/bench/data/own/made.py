"""Folders of small images, made for a test."""

import numpy as np
from PIL import Image


def picture(path, seed=0, size=(24, 20), **how):
    """Write an image of noise, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(path, **how)
    return path


def folder(path, *names):
    """Write an image of its own under each name."""
    for number, name in enumerate(names):
        picture(path / name, number)
    return path
