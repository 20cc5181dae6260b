"""Files of pictures: what is wrong with each, and what pixels become of the good ones."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from bench.data import images
from tests.bench.prepare import made


def sixteen_bits() -> bytes:
    file = BytesIO()
    Image.new("I;16", (9, 9), 40_000).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (made.picture(1)[:-1], "image file is truncated"),
        (made.picture(1)[:20], "not a picture"),
        (made.picture(1, form="PNG")[:-30], "truncated"),
        (b"", "empty"),
        (made.picture(1, form="GIF"), "not a picture"),
        (made.picture(1, (2, 66)), "a strip of 2 x 66 pixels"),
        (sixteen_bits(), "more than eight bits a channel"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),  # no program is started for it
    ],
)
def test_what_is_wrong_with_a_picture_is_said(tmp_path, bad, fault):
    (tmp_path / "a.jpg").write_bytes(bad)
    assert fault in images.examine(tmp_path / "a.jpg").fault
    assert images.examine(tmp_path / "none.jpg").fault == "missing"


@pytest.mark.parametrize(("mode", "form"), [("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("L", "PNG")])
def test_a_good_picture_has_no_fault_and_becomes_rgb_squashed_or_cut(tmp_path, mode, form):
    path, content = tmp_path / "a.jpg", made.picture(1, (100, 60), mode, form)
    path.write_bytes(content)
    assert images.examine(path) == images.Examined(hashlib.sha256(content).hexdigest(), (100, 60))
    whole, bicubic = Image.fromarray(made.decoded(content).transpose(1, 2, 0)), Image.Resampling.BICUBIC
    with ThreadPoolExecutor() as threads:
        squashed, cut, same = (
            images.decode_all([path], side, crop, threads)[0] for side, crop in ((48, False), (48, True), (60, True))
        )
    assert np.array_equal(squashed, np.asarray(whole.resize((48, 48), bicubic)).transpose(2, 0, 1))
    assert np.array_equal(cut, np.asarray(whole.resize((80, 48), bicubic)).transpose(2, 0, 1)[:, :, 16:64])
    assert np.array_equal(same, made.decoded(content)[:, :, 20:80])  # nothing to shrink
    assert (mode == "L") == bool((same == same[:1]).all())
