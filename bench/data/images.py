"""Decodes pictures to square uint8 RGB, with Pillow's antialiased bicubic filter, as the libraries' own transforms do."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from xxhash import xxh3_128_hexdigest

from bench.data import jpeg

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

Result = TypeVar("Result")

DECODER = "Pillow, RGB, bicubic"
OWN_DECODER = "torchvision, RGB, torch's bicubic"
CROP = "short side fitted, middle cut out, as torchvision counts"
# All that the official sets consist of. Pillow's other readers are less tried, and one of them starts a program.
FORMATS = ("JPEG", "PNG")
# What folders of one's own hold beside these.
OWN_FORMATS = (*FORMATS, "WEBP", "BMP", "GIF", "TIFF", "PPM")
# Beyond that it is no photograph: fitted by its short side, a strip would take gigabytes before its middle is cut out.
MOST_ASPECT = 32


class AlteredPictureError(RuntimeError):
    """A file is not the picture that was prepared; the message names it."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What a picture's file is: the XXH3 checksum of its bytes, its width and height in pixels, what is wrong with it."""

    checksum: str = ""
    size: tuple[int, int] = (0, 0)
    fault: str | None = None


def examine(path: Path) -> Examined:
    """Look at all of a picture's file. Raises ``OSError`` where the disk does not give it, which is no fault of it."""

    def look(data: bytes) -> tuple[tuple[int, int], None]:
        with _opened(data, FORMATS) as file:
            size = file.size
            file.draft("RGB", (1, 1))  # a JPEG is read to its end, but only an eighth of its rows and columns computed
            file.convert("RGB")
        return size, None

    return _examined(path, look)[0]


def examine_and_decode(path: Path, size: int, short_side: int | None) -> tuple[Examined, np.ndarray | None]:
    """:func:`examine` and :func:`decode` in one: the file is read and decoded once. No pixels where something is wrong.

    Of ``OWN_FORMATS``. JPEGs are decoded by torchvision and all are resized by torch, in half of Pillow's time and to within
    two grey levels of it, but for tall strips, whose height Pillow 13 shrinks first. Raises ``OSError`` as :func:`examine`.
    """

    def look(data: bytes) -> tuple[tuple[int, int], np.ndarray]:
        whole, pixels = jpeg.plain_size(data), None
        if whole and not _is_strip(whole):
            pixels = jpeg.decode(data)
        if pixels is None:
            with _opened(data, OWN_FORMATS) as file:
                whole, pixels = file.size, _pixels(file, data)
        return whole, _fast_square(pixels, size, short_side)

    return _examined(path, look)


def _opened(data: bytes, formats: tuple[str, ...]) -> "Image.Image":
    """A picture. Raises what Pillow does where it cannot open it, ``ValueError`` where it is none that can be used."""
    from PIL import Image

    file = Image.open(BytesIO(data), formats=formats)
    if _is_strip(file.size):
        raise ValueError(f"a strip of {file.width} x {file.height} pixels")
    if file.mode.startswith(("I", "F")):
        raise ValueError("more than eight bits a channel, which conversion would cut off")
    return file


def _is_strip(size: tuple[int, int]) -> bool:
    return max(size) > MOST_ASPECT * min(size)


def _pixels(file: "Image.Image", data: bytes) -> "Tensor":
    """All pixels of an opened picture, ``[H, W, 3]``."""
    import torch

    pixels = None
    if file.format in ("JPEG", "MPO") and file.mode in ("RGB", "L"):
        pixels = jpeg.decode(data)
    return torch.from_numpy(np.array(file.convert("RGB"))) if pixels is None else pixels


def _fast_square(pixels: "Tensor", size: int, short_side: int | None) -> np.ndarray:
    """The square of :func:`decode`, of a picture's pixels ``[H, W, 3]``."""
    from torch.nn.functional import interpolate

    height, width = pixels.shape[:2]
    side = short_side or size
    target = (
        tuple(int(side * length / min(height, width)) for length in (height, width)) if short_side else (size, size)
    )
    # With the strides of channels last also along the batch of one: torch's fast kernel looks at all of them.
    batch = pixels[None].permute(0, 3, 1, 2)
    if target != (height, width):
        batch = interpolate(batch, target, mode="bicubic", antialias=True, align_corners=False)
    top, left = (round((length - size) / 2) - round((side - size) / 2) for length in target)
    return batch[0, :, top : top + side, left : left + side].numpy()


def _examined(path: Path, look: Callable[[bytes], tuple[tuple[int, int], Result]]) -> tuple[Examined, Result | None]:
    """What a picture's file is, with the width and height that ``look`` finds in it, and what else that returns."""
    from PIL import UnidentifiedImageError

    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Examined(fault="missing"), None
    if not data:
        return Examined(fault="empty"), None
    checksum = xxh3_128_hexdigest(data)  # before the pixels drive the file out of the processor's cache
    try:
        size, result = look(data)
    except MemoryError:
        raise
    except UnidentifiedImageError:
        return Examined(fault="not a picture"), None
    except Exception as error:  # damaged files make Pillow's readers stumble in many ways
        return Examined(fault=str(error) or type(error).__name__), None
    return Examined(checksum, size), result


def decode(
    path: Path,
    size: int,
    short_side: int | None,
    checksum: str = "",
    interpolation: str = "bicubic",
    floor: bool = False,
) -> np.ndarray:
    """One picture as uint8 RGB: all of it squashed, ``[3, size, size]``; or with ``short_side`` the square of so many pixels
    around the middle, its short side fitted.

    The central ``size`` pixels of that square are what torchvision's ``Resize(short_side)`` and ``CenterCrop(size)`` give,
    to the bit; with ``floor`` what transformers' do. Squashed it is as transformers squashes a tensor, within two grey levels.
    CMYK becomes RGB before anything else, as in timm and transformers. Raises :class:`AlteredPictureError` where the file is
    missing or has not the given checksum, ``OSError`` or ``ValueError`` where it is not a whole picture.
    """
    from PIL import Image

    with Image.open(BytesIO(_read(path, checksum)), formats=OWN_FORMATS) as file:
        picture = file.convert("RGB")
    side = short_side or size
    if short_side:
        shapes = [tuple(int(short_side * length / min(picture.size)) for length in picture.size)]
    else:
        # Width first, as always before Pillow 13, which takes the height first where that shrinks more: up to 19 grey levels
        # in photographs. The published models that squash are older.
        shapes = [(size, picture.height), (size, size)]
    for shape in shapes:
        picture = picture.resize(shape, Image.Resampling[interpolation.upper()])
    # Placed so that the central pixels are the same, cut out of this square or out of the whole.
    whole = math.floor if floor else round
    left, top = (whole((length - size) / 2) - whole((side - size) / 2) for length in picture.size)
    return np.asarray(picture.crop((left, top, left + side, top + side))).transpose(2, 0, 1)


def decode_all(
    paths: Sequence[Path],
    size: int,
    short_side: int | None,
    threads: ThreadPoolExecutor,
    checksums: Sequence[str] = (),
    interpolation: str = "bicubic",
    floor: bool = False,
) -> np.ndarray:
    """Several pictures as uint8 ``[N, 3, side, side]``, on the threads of a pool; see :func:`decode`."""
    side = short_side or size
    pixels = np.empty((len(paths), 3, side, side), np.uint8)

    def place(row: int) -> None:
        pixels[row] = decode(paths[row], size, short_side, checksums[row] if checksums else "", interpolation, floor)

    for _ in threads.map(place, range(len(paths))):
        pass
    return pixels


def is_intact(path: Path, checksum: str) -> bool:
    """Whether the file is there and has the checksum."""
    try:
        _read(path, checksum)
    except AlteredPictureError:
        return False
    return True


def _read(path: Path, checksum: str) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise AlteredPictureError(f"{path} is missing") from None
    if checksum and xxh3_128_hexdigest(data) != checksum:
        raise AlteredPictureError(f"{path} was altered after it was prepared")
    return data
