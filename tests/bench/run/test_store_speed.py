"""The speed report: the same epoch on stored features and with the teacher in the loop, and its ratios."""

import re

import pytest

from bench.kit import paths
from teachers import load as load_teacher
from tests.bench.run import store_speed


def test_both_ratios_are_reported_and_nothing_is_left_behind():
    before = paths.data_folder()
    text = store_speed.report("dino", "pocket", 64, "cpu", "fp32")
    assert "dino (pocket), 64 images of 32 px, cpu" in text and "captions" not in text
    passes = r"the same 64 images: bare forward loop [a-z ]+ [\d.]+ s, teacher's pass into the store [\d.]+ s: ratio [\d.]+\n"
    # On a busy machine what comes once may be less than nothing.
    assert re.search(passes + r"of which -?[\d.]+ s come once .*: ratio over the images themselves -?[\d.]+\n", text)
    assert re.findall(r"^(\w+): an epoch of 64 images", text, re.MULTILINE) == list(store_speed.HEADS)
    assert paths.data_folder() == before
    assert not list((before / "features").glob("speed-dino-*"))


def test_two_images_are_enough_and_captions_are_said_to_be_left_out():
    text = store_speed.report("clip", "pocket", 2, "cpu", "fp32")
    assert "an epoch of 2 images" in text and "clip (pocket), 2 images of 32 px (captions are not timed), cpu" in text


def test_what_comes_once_with_a_pass_is_not_counted_for_its_images():
    (first, second), rate = store_speed.pass_lines(count=16, bare_one=0.25, pass_one=1.25, bare=4.0, whole=5.2)
    assert first.endswith("tensors 4.00 s, teacher's pass into the store 5.20 s: ratio 1.300")
    assert second.startswith("of which 1.00 s come once") and second.endswith("themselves 1.050")  # (5.2 - 1) / 4
    assert rate == pytest.approx(16 / 4.2)


def test_the_sides_that_are_timed_run_on_one_image_and_on_all(monkeypatch):
    """Counted by the calls of the image tower and of the teacher, each with its number of images."""
    sizes: list[list[int]] = []
    batches: list[int] = []

    def alternate(sides, device):
        for side in sides:
            batches.clear()
            side()
            sizes.append(list(batches))
        return [1.0] * len(sides)

    teacher = load_teacher("dino", "pocket")
    image = teacher.image
    monkeypatch.setattr(teacher, "image", lambda pixels: batches.append(len(pixels)) or image(pixels))
    teacher.vision().register_forward_pre_hook(lambda _, inputs: batches.append(len(inputs[0])))
    monkeypatch.setattr(store_speed, "load", lambda *_: teacher)
    monkeypatch.setattr(store_speed, "_alternate", alternate)
    monkeypatch.setattr(store_speed, "_compare_epochs", lambda *_: [])
    store_speed.report("dino", "pocket", 130, "cpu", "fp32")
    bare_one, pass_one, bare, whole = sizes[:4]
    assert (bare_one, bare) == ([1], [128, 2])
    # Two examples that tell shapes and the test split's image, on both; then the training images.
    assert sorted(pass_one) == [1, 1, 1, 1] and sorted(whole) == [1, 1, 1, 2, 128]
