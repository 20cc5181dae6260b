"""Scenes: captions that tell the truth, concepts that they name, and the very images that teachers were trained on."""

import hashlib
import re

import numpy as np
import torch

from bench import data
from bench.data import draw, scenes


def test_every_word_is_in_the_vocabulary():
    split = data.load("scenes", "test", 300)
    assert {word for caption in split.captions for word in caption.split()} <= set(scenes.vocabulary())
    assert torch.equal(split.owner, torch.arange(300).repeat_interleave(5))


def test_a_scene_of_one_object_is_of_the_concept_that_its_captions_name():
    split = data.load("scenes", "test", 500)
    concepts, spoken = split.concepts, []
    for row in range(500):
        # The fifth caption has each object's colour and outline, joined by "and"; no place contains that word.
        objects = split.captions[5 * row + 4].split(" and ")
        words = re.match(r"a (\w+ \w+) ", objects[0])
        spoken.append(words.group(1) if len(objects) == 1 else None)
    named = [concepts.names[label] if label >= 0 else None for label in concepts.labels.tolist()]
    assert named == spoken and concepts.labels.dtype == torch.int64
    assert abs(sum(name is not None for name in named) - 100) < 36  # 20 % of 500, four standard deviations


def test_the_concepts_of_scenes_are_all_pairs_of_colour_and_outline_each_asked_for_alike():
    concepts = data.load("scenes", "test", 40).concepts
    assert len(set(concepts.names)) == 64
    assert {name.split()[0] for name in concepts.names} == set(scenes.COLOURS)
    assert {name.split()[1] for name in concepts.names} == set(draw.OUTLINES)
    assert concepts.prompt_classes.tolist() == [number for number in range(64) for _ in range(5)]
    for prompt, number in zip(concepts.prompts, concepts.prompt_classes.tolist(), strict=True):
        assert [name for name in concepts.names if name in prompt] == [concepts.names[number]]
        assert set(prompt.split()) <= set(scenes.vocabulary())
    assert len(set(concepts.prompts)) == 320


def test_scenes_are_the_ones_that_the_shipped_teachers_were_trained_on():
    """Figures of the generator as it was then: one number more or less drawn on the way would change them all."""
    rng = np.random.default_rng([0, 4])
    pixels, captions, _ = scenes.draw_scenes(rng, 40)
    assert rng.integers(2**32) == 2658161621
    digest = hashlib.sha256(repr(captions).encode()).hexdigest()
    assert digest == "7072671ef7ca4521216962f400f7918102f039d23c477f991c9e6e1d4779fc26"
    sums = pixels.reshape(40, -1).sum(axis=1)[:6]
    # Each over 3,072 bytes; another processor's sine may round a few of them to the neighbour.
    assert np.abs(sums.astype(int) - [250743, 269494, 384834, 279189, 301741, 338253]).max() <= 5
    split = data.load("scenes", "test", 40)
    assert np.array_equal(split.pixels.numpy(), pixels)
    assert split.captions == tuple(caption for five in captions for caption in five)
