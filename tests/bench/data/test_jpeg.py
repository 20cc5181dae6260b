"""JPEGs that are decoded without Pillow's opening them: only those that it would open, with the same outcome."""

import random
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms

from bench.data import images, jpeg

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\0"


def saved(mode="RGB", form="JPEG", size=(21, 13), **options) -> bytes:
    """A file of smooth colours."""
    file, colours = BytesIO(), np.random.default_rng(0).integers(0, 256, (3, 4, 3), np.uint8)
    Image.fromarray(colours).resize(size).convert(mode).save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {}), ("L", {}), ("RGB", {"progressive": True}), ("RGB", {"icc_profile": SRGB}), ("L", {"comment": b"x"}),
        ("RGB", {"restart_marker_rows": 1}),
    ],
)  # fmt: skip
def test_the_size_of_a_plain_jpeg_is_read_from_its_frame(mode, options):
    assert jpeg.plain_size(saved(mode, **options)) == (21, 13)


@pytest.mark.parametrize(
    "data",
    [saved("CMYK"), saved(exif=EXIF), saved(xmp=b"x"), saved(form="PNG"), b"", b"\xff\xd8\xff", saved()[:160]],
)
def test_any_other_file_is_left_to_pillow(data):
    assert jpeg.plain_size(data) is None


def test_a_picture_that_pillow_calls_too_large_is_left_to_it(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 21 * 13 - 1)
    assert jpeg.plain_size(saved()) is None


def damaged():
    """Files that were cut, or of which bytes were altered, lost or added, most of them before the pixels."""
    drawn = random.Random(0)
    kinds = ("RGB", {}), ("L", {"progressive": True}), ("RGB", {"icc_profile": SRGB})
    for whole in (saved(mode, **options) for mode, options in kinds):
        header = whole.index(b"\xff\xda") + 14
        # What libjpeg passes over: no marker, a segment too short for its name, a marker without one after the frame.
        yield whole[:2] + b"\x33" + whole[3:]
        yield whole[:2] + b"\xff\xe0\0\x08JFIF\0\1" + whole[20:]
        yield whole.replace(b"\xff\xc4", b"\xff\x01\xff\xc4", 1)
        for _ in range(100):
            place = drawn.randrange(header if drawn.random() < 0.8 else len(whole))
            other = bytes([drawn.choice((0, 1, 8, 0xC0, 0xD8, 0xDA, 0xE1, 0xFF, drawn.randrange(256)))])
            kept, rest = drawn.choice(
                ((other, place + 1), (b"", place + drawn.randint(1, 9)), (other, place), (b"", None))
            )
            yield whole[:place] + kept + (b"" if rest is None else whole[rest:])


def test_damaged_files_are_refused_and_decoded_as_when_pillow_opens_them(tmp_path, monkeypatch):
    def outcomes():
        for number, data in enumerate(damaged()):
            path = tmp_path / f"{number}.jpg"
            path.write_bytes(data)
            seen, pixels = images.examine_and_decode(path, 8, 8)
            yield seen, None if pixels is None else pixels.tobytes()

    quick = list(outcomes())
    monkeypatch.setattr(jpeg, "plain_size", lambda data: None)
    assert quick == list(outcomes())
    refused = sum(seen.fault is not None for seen, _ in quick)
    assert len(quick) // 4 < refused < len(quick)
