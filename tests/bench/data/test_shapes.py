"""Shapes: balanced, and neither trivial nor hopeless for raw pixels."""

import torch

from bench import data


def test_shapes_are_balanced_images_of_at_least_ten_classes():
    split = data.load("shapes", "train", 120)
    assert split.pixels.shape == (120, 3, 32, 32) and split.pixels.dtype == torch.uint8
    assert len(split.classes) == 12
    assert torch.bincount(split.labels).tolist() == [10] * 12


def test_a_class_has_no_typical_mean_colour():
    """What makes raw pixels a weak baseline: the two colours of a ground are opposite."""
    split = data.load("shapes", "train", 2400)
    means = split.pixels.float().mean(dim=(2, 3))
    centres = torch.stack([means[split.labels == label].mean(dim=0) for label in range(12)])
    assert (centres - means.mean(dim=0)).abs().max() < 0.75 * means.std(dim=0).min()
