"""Views of images, against torchvision's and Pillow's own augmentation of one image at a time."""

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as of_torchvision
from PIL import Image, ImageEnhance

from bench import data
from bench.data import views

SIDE, COUNT = 32, 200
PIXELS = data.load("shapes", "train", COUNT).pixels
NUMBERS = views.drawn(COUNT, SIDE, 3)


def test_numbers_follow_from_the_view_and_lie_within_their_bounds():
    numbers = views.drawn(5000, 64, 1)
    assert torch.equal(numbers, views.drawn(5000, 64, 1)) and not torch.equal(numbers, views.drawn(5000, 64, 2))
    top, left, height, width, flip, *colours = numbers.T
    assert all(torch.equal(part, part.round()) for part in (top, left, height, width, flip))
    assert min(top.min(), left.min()) == 0 and (top + height).max() == (left + width).max() == 64
    area, ratio = height * width / 64**2, width / height
    assert 0.22 < area.min() < 0.3 and area.mean() == pytest.approx(0.6, abs=0.05) and area.max() == 1
    assert 0.7 < ratio.min() < 0.8 and 1.25 < ratio.max() < 1.43 and ratio.log().mean().abs() < 0.02
    assert set(flip.tolist()) == {0, 1} and flip.mean() == pytest.approx(0.5, abs=0.03)
    for factors in colours:
        assert (
            0.6 <= factors.min() < 0.61 and 1.39 < factors.max() <= 1.4 and factors.mean() == pytest.approx(1, abs=0.02)
        )


def by_torchvision(image, top, left, height, width, flip, brightness, contrast, saturation):
    """In floats, so that there is but one rounding."""
    box, side = (int(top), int(left), int(height), int(width)), image.shape[-1]
    image = of_torchvision.resized_crop(image / 255, *box, [side, side], antialias=True)
    image = of_torchvision.hflip(image) if flip else image
    image = of_torchvision.adjust_brightness(image, brightness)
    image = of_torchvision.adjust_contrast(image, contrast)
    return 255 * of_torchvision.adjust_saturation(image, saturation)


def test_a_view_is_what_torchvision_makes_of_the_image():
    made = views.render(PIXELS, NUMBERS)
    assert made.dtype == torch.uint8 and made.shape == PIXELS.shape
    expected = torch.stack([by_torchvision(image, *row) for image, row in zip(PIXELS, NUMBERS.tolist(), strict=True)])
    assert (made.float() - expected).abs().max() < 0.51  # rounded
    assert (made != expected.round()).float().mean() < 1e-3  # where floats end on either side of a half


def test_a_view_is_what_pillow_makes_of_the_image():
    """Whose every step rounds or cuts off."""
    for image, row in zip(PIXELS[:50], NUMBERS.tolist(), strict=False):
        top, left, height, width, flip, *factors = row
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        picture = picture.crop((left, top, left + width, top + height)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else picture
        for enhance, factor in zip(
            (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color), factors, strict=True
        ):
            picture = enhance(picture).enhance(factor)
        expected = np.asarray(picture).transpose(2, 0, 1).astype(float)
        assert np.abs(views.render(image[None], torch.tensor([row]))[0].numpy() - expected).max() <= 5


def test_an_image_has_the_same_view_alone_as_among_others():
    made = views.render(PIXELS, NUMBERS)
    assert torch.equal(made[7:9], views.render(PIXELS[7:9], NUMBERS[7:9]))


def test_several_views_are_listed_view_by_view():
    split = data.load("shapes", "train", 5)
    assert torch.equal(views.several(3, split)[10:], views.drawn(5, SIDE, 2))
