"""Decodes JPEG files on all cores, to square uint8 pixels.

A picture is shrunk or enlarged with Pillow's antialiased bicubic filter, as the libraries' own transforms do. Gray
and CMYK pictures become RGB.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

DECODER = "Pillow, RGB, bicubic"


def decode(path: Path, side: int, crop: bool) -> np.ndarray:
    """One picture as uint8 ``[3, side, side]``: its short side fitted and the middle cut out, or all of it squashed.

    Raises ``OSError`` or ``ValueError`` where the file is not a whole picture.
    """
    from PIL import Image

    with Image.open(path) as file:
        picture = file.convert("RGB")
    width, height = picture.size
    if crop:
        scale = side / min(width, height)
        width, height = max(side, round(width * scale)), max(side, round(height * scale))
    else:
        width = height = side
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - side) // 2, (height - side) // 2
    return np.asarray(picture.crop((left, top, left + side, top + side))).transpose(2, 0, 1)


def decode_all(paths: Iterable[Path], side: int, crop: bool, threads: ThreadPoolExecutor) -> np.ndarray:
    """Several pictures as uint8 ``[N, 3, side, side]``, on the threads of a pool."""
    return np.stack(list(threads.map(lambda path: decode(path, side, crop), paths)))


def fault(path: Path, size: int | None = None) -> str | None:
    """What is wrong with a picture's file, or None; ``size`` is its expected bytes."""
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        return "missing"
    if size is not None and path.stat().st_size != size:
        return f"{path.stat().st_size} bytes instead of {size}"
    try:
        with Image.open(path) as file:
            file.convert("RGB")
    except UnidentifiedImageError:
        return "not a picture"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return str(error) or type(error).__name__
    return None
