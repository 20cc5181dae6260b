"""Files of pictures: what is wrong with each, and what pixels become of the good ones."""

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import open_clip
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, Resize
from xxhash import xxh3_128_hexdigest

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
    assert images.examine(path) == images.Examined(xxh3_128_hexdigest(content), (100, 60))
    whole, bicubic = Image.fromarray(made.decoded(content).transpose(1, 2, 0)), Image.Resampling.BICUBIC
    with ThreadPoolExecutor() as threads:
        squashed, cut, same = (
            images.decode_all([path], *sides, threads)[0] for sides in ((48, None), (48, 48), (60, 60))
        )
    assert np.array_equal(squashed, np.asarray(whole.resize((48, 48), bicubic)).transpose(2, 0, 1))
    assert np.array_equal(cut, np.asarray(whole.resize((80, 48), bicubic)).transpose(2, 0, 1)[:, :, 16:64])
    assert np.array_equal(same, made.decoded(content)[:, :, 20:80])  # nothing to shrink
    assert (mode == "L") == bool((same == same[:1]).all())


SIZES = [(640, 480), (500, 334), (427, 640), (333, 500), (224, 224), (225, 447), (1000, 61), (61, 1000), (1, 1), (3, 5), (1, 40),
         (40, 1), (17, 400), (300, 1000)]  # fmt: skip


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", SIZES)
def test_a_cut_picture_is_open_clips_own_to_the_bit(tmp_path, size, mode):
    path = tmp_path / "a.jpg"
    path.write_bytes(made.picture(1, size, mode))
    theirs = Image.open(path)
    for step in open_clip.image_transform(224, is_train=False).transforms[:3]:  # to a tensor and normalised after that
        theirs = step(theirs)
    assert np.array_equal(images.decode(path, 224, 224).transpose(1, 2, 0), np.asarray(theirs))


@given(width=st.integers(1, 90), height=st.integers(1, 90), size=st.integers(1, 40), margin=st.integers(0, 15))
@example(width=4, height=3, size=8, margin=1)
def test_around_the_cut_is_what_torchvision_cuts_whatever_the_margin(tmp_path_factory, width, height, size, margin):
    """Published models cut 224 out of 248 and 256; where the margin is odd, a middle of a middle is a pixel away."""
    path = tmp_path_factory.getbasetemp() / "margin.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
    theirs = Resize(size + margin, InterpolationMode.BICUBIC)(Image.open(path))
    ours = Image.fromarray(images.decode(path, size, size + margin).transpose(1, 2, 0))
    assert ours.size == (size + margin, size + margin)
    assert np.array_equal(CenterCrop(size)(ours), CenterCrop(size)(theirs))


@pytest.mark.parametrize("size", [(90, 60), (60, 90), (64, 64), (40, 33)])
@pytest.mark.parametrize(
    ("form", "mode"), [("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "P"), ("WEBP", "RGB")]
)
def test_one_pass_sees_what_examining_and_decoding_see(tmp_path, size, form, mode):
    path = tmp_path / f"a.{form}"
    smooth = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(smooth).resize(size).convert(mode).save(path, form)
    seen, pixels = images.examine_and_decode(path, 32, 32)
    assert (seen.checksum, seen.size, seen.fault) == (xxh3_128_hexdigest(path.read_bytes()), size, None)
    assert abs(pixels.astype(int) - images.decode(path, 32, 32)).max() <= 2
