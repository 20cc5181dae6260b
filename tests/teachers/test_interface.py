"""A teacher of one's own that breaks the interface is named with what is wrong, before its pass."""

import dataclasses
import sys
from types import ModuleType

import pytest
import torch
from torch import nn

import teachers
from bench.kit.errors import UserError
from teachers import ImageFeatures, TextFeatures, _interface, transform_of, unit


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


class Reader(Right):
    """A token is a word's length, three times; a caption is their sum."""

    def lengths(self, captions):
        return torch.tensor([len(caption.split()) for caption in captions])

    def text(self, captions):
        words = [torch.tensor([float(len(word)) for word in caption.split()]) for caption in captions]
        tokens = nn.utils.rnn.pad_sequence(words, batch_first=True)[:, :, None].repeat(1, 1, 3) * torch.arange(1, 4)
        return TextFeatures(tokens.sum(dim=1), tokens, self.lengths(captions), unit(tokens.sum(dim=1)))


def reading(**parts):
    """One whose captions' features have other ``parts``."""

    class Wrong(Reader):
        def text(self, captions):
            features = super().text(captions)
            return dataclasses.replace(features, **{name: part(features) for name, part in parts.items()})

    return Wrong()


@pytest.mark.parametrize("teacher", [Right(), Reader(), "efficientnet", "clip", "blip"])
def test_what_keeps_to_the_interface_is_accepted(teacher):
    reads_text = isinstance(teacher, Reader) or teacher in ("clip", "blip")
    if isinstance(teacher, str):
        teacher = teachers.load(teacher, "pocket" if reads_text else "random")
    _interface.require("mine", teacher, reads_text)


class Bare(Right):
    vision = property()  # as if it were not there


class Sized(Right):
    size = "8"


class Pooled(Right):
    def image(self, pixels):
        return super().image(pixels).pooled


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (Bare(), "the teacher has no 'vision'"),
        (Sized(), "size is '8', expected a side in pixels, a whole number"),
        (changed(pooled=lambda f: f.pooled / 0), "pooled of images is not finite"),
        (Pooled(), "image() returns Tensor, expected ImageFeatures"),
        (changed(pooled=lambda f: f.pooled[:1]), "pooled of 2 images is [1, 3], expected 2 dimensions, images first"),
        (changed(joint=lambda f: f.joint.numpy()), "joint of images is ndarray, expected a tensor"),
        (changed(attention=lambda f: None), "attention of images is NoneType, expected a tensor"),
        (changed(pooled=lambda f: torch.rand_like(f.pooled)), "pooled of the same images differs from one call"),
        (changed(patches=lambda f: f.patches[:, :3]), "there are 3 patches, expected a square grid"),
        (changed(patches=lambda f: f.patches[..., :2]), "patches are 2 wide, expected the 3 of pooled"),
        (changed(attention=lambda f: f.attention[:, :3]), "attention is over 3 of 4 patches"),
        (changed(attention=lambda f: 2 * f.attention), "attention over patches sums to 2, expected 1"),
        (
            changed(joint=lambda f: 3 * f.joint),
            "joint of images has the length 3, expected 1: teachers.unit makes it so",
        ),
    ],
)
def test_what_breaks_the_interface_is_named_with_the_file(teacher, message):
    with pytest.raises(UserError) as raised:
        _interface.require("mine", teacher)
    assert str(raised.value).startswith(f"teachers/mine.py: {message}")


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (Right(), "the teacher has no 'text'"),
        (
            reading(tokens=lambda f: f.tokens[:, 0]),
            "tokens of 2 captions is [2, 3], expected 3 dimensions, captions first",
        ),
        (reading(joint=lambda f: f.pooled), "joint of captions has the length"),
        (reading(joint=lambda f: unit(f.pooled[:, :2])), "joint of captions is 2 wide, expected the 3 of images"),
        (reading(lengths=lambda f: f.lengths + 1), "lengths of captions are [3, 9], expected 1 to the 8 of tokens"),
        (reading(lengths=lambda f: f.lengths - 1), "lengths() differs from the lengths that text() returns"),
        (
            reading(joint=lambda f: unit(f.pooled + torch.tensor([f.tokens.shape[1] * 10.0, 0, 0]))),
            "joint of a caption depends on longer ones beside it: padding must not count",
        ),
    ],
)
def test_a_text_side_that_breaks_the_interface_is_named_too(teacher, message):
    """Hand counts: the captions have 2 and 8 words."""
    with pytest.raises(UserError) as raised:
        _interface.require("mine", teacher, reads_text=True)
    assert str(raised.value).startswith(f"teachers/mine.py: {message}")
