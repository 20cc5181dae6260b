"""A teacher of one's own that breaks the interface is named with what is wrong, before its pass."""

import dataclasses
import sys
from types import ModuleType

import pytest
import torch
from torch import nn

import teachers
from bench.kit.errors import UserError
from teachers import ImageFeatures, _interface, transform_of, unit


class Right(nn.Module):
    size, scale, reduce_to, tokenizer, provenance = 8, 10.0, None, None, None
    transform = transform_of(8, [0.5] * 3, [0.5] * 3)

    def vision(self):
        return self

    def image(self, pixels):
        pooled, count = pixels.float().mean(dim=(2, 3)), len(pixels)
        return ImageFeatures(pooled, torch.zeros(count, 4, 3), torch.full((count, 4), 0.25), unit(pooled))


def changed(**parts):
    """A teacher whose features have other ``parts``, each a function of the right ones."""

    class Wrong(Right):
        def image(self, pixels):
            features = super().image(pixels)
            return dataclasses.replace(features, **{name: part(features) for name, part in parts.items()})

    return Wrong()


def test_a_teacher_that_does_not_say_where_its_weights_come_from_has_its_file_for_it(monkeypatch):
    module = ModuleType("teachers.mine")
    module.load = lambda weights: Right()
    monkeypatch.setitem(sys.modules, "teachers.mine", module)
    provenance = teachers.load("mine", "random").provenance
    assert provenance["source"] == "teachers/mine.py" and provenance["revision"] is None


@pytest.mark.parametrize("teacher", [Right(), "efficientnet"])
def test_what_keeps_to_the_interface_is_accepted(teacher):
    _interface.require("mine", teachers.load(teacher, "random") if isinstance(teacher, str) else teacher)


class Bare(Right):
    vision = property()  # as if it were not there


class Pooled(Right):
    def image(self, pixels):
        return super().image(pixels).pooled


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (Bare(), "the teacher has no 'vision'"),
        (Pooled(), "image() returns Tensor, expected ImageFeatures"),
        (changed(pooled=lambda f: f.pooled[:1]), "pooled of 2 images is [1, 3], expected 2 dimensions, images first"),
        (changed(joint=lambda f: f.joint.numpy()), "joint is ndarray, expected a tensor"),
        (changed(attention=lambda f: None), "attention is NoneType, expected a tensor"),
        (changed(pooled=lambda f: torch.rand_like(f.pooled)), "pooled of the same images differs from one call"),
        (changed(patches=lambda f: f.patches[:, :3]), "there are 3 patches, expected a square grid"),
        (changed(patches=lambda f: f.patches[..., :2]), "patches are 2 wide, expected the 3 of pooled"),
        (changed(attention=lambda f: f.attention[:, :3]), "attention is over 3 of 4 patches"),
        (changed(attention=lambda f: 2 * f.attention), "attention over patches sums to 2, expected 1"),
        (changed(joint=lambda f: 3 * f.joint), "joint has the length 3, expected 1: teachers.unit makes it so"),
    ],
)
def test_what_breaks_the_interface_is_named_with_the_file(teacher, message):
    with pytest.raises(UserError) as raised:
        _interface.require("mine", teacher)
    assert str(raised.value).startswith(f"teachers/mine.py: {message}")
